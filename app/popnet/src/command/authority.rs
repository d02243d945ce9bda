//! `popnet authority`: the network's own certificate authority.

use popnet_runtime::identity::{Authority, IdentityError};
use popnet_wire::control::Problem;
use serde_json::json;

use crate::cli::AuthorityCommand;
use crate::output::{Done, Outcome, Style, print_json};

pub(crate) fn execute(command: &AuthorityCommand, style: Style) -> Outcome {
    let (schema, done, text) = match command {
        AuthorityCommand::Create { dir, network } => {
            if network.trim().is_empty() {
                let what = "a network has a name";
                return Err(Problem::new("U0033", what, "--network lab").with_exit(2));
            }
            Authority::create(dir, network).map_err(|error| error.problem())?;
            let text = format!("authority of network {network} made in {}", dir.display());
            ("authority.create/v1", json!({ "dir": dir, "network": network }), text)
        }
        AuthorityCommand::Issue { dir, hostname, out } => {
            let authority = Authority::load(dir).map_err(|error| {
                let mut problem = error.problem();
                if !dir.exists() {
                    "popnet authority create DIR --network NAME".clone_into(&mut problem.next);
                    problem.exit = 3;
                }
                problem
            })?;
            authority.issue(hostname, out).map_err(|error| {
                let mut problem = error.problem();
                if matches!(error, IdentityError::Name(_)) {
                    "--hostname edge1.fra1.cdn.example.net".clone_into(&mut problem.next);
                    problem.exit = 2;
                }
                problem
            })?;
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
