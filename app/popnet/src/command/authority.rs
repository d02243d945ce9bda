//! `popnet authority`: the network's own certificate authority.

use popnet_runtime::identity::Authority;
use popnet_wire::control::Problem;
use serde_json::json;

use crate::cli::AuthorityCommand;
use crate::output::{Done, Outcome, Style, print_json};

pub(crate) fn execute(command: &AuthorityCommand, style: Style) -> Outcome {
    let (schema, done, text) = match command {
        AuthorityCommand::Create { dir, network } => {
            Authority::create(dir, network).map_err(|error| error.problem())?;
            let text = format!("authority of network {network} made in {}", dir.display());
            ("authority.create/v1", json!({ "dir": dir, "network": network }), text)
        }
        AuthorityCommand::Issue { dir, hostname, out } => {
            let authority = Authority::load(dir).map_err(|error| error.problem())?;
            authority.issue(hostname, out).map_err(|error| error.problem())?;
            let text = format!("certificate of {hostname} written to {}", out.display());
            ("authority.issue/v1", json!({ "hostname": hostname, "out": out }), text)
        }
    };
    if style.json {
        print_json(schema, &done);
    } else {
        println!("{text}");
    }
    Ok::<_, Problem>(Done::WELL)
}
