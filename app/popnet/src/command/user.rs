//! `popnet user`: people who may use NetView. Passwords come by standard input, never by argument.

use std::io::{BufRead, stdin};
use std::path::{Path, PathBuf};

use popnet_netview::users::{self, Users};
use popnet_terms::Role;
use popnet_wire::control::Problem;
use serde_json::json;

use crate::cli::{NetviewPlace, UserCommand};
use crate::output::{Done, Outcome, Style, print_json};
use crate::place::Place;

pub(crate) fn execute(command: &UserCommand, context: Option<&Path>, style: Style) -> Outcome {
    let (place, name) = match command {
        UserCommand::Add { place, name, .. }
        | UserCommand::Reset { place, name }
        | UserCommand::Once { place, name } => (place, name),
    };
    let users = open(place, context)?;
    let text = match command {
        UserCommand::Add { role, customer, .. } => {
            users.add(name, &password()?, role, customer.as_ref())?;
            format!("{name} may log in")
        }
        UserCommand::Reset { .. } => {
            users.reset(name, &password()?)?;
            format!("{name} has a new password; all sessions are closed")
        }
        UserCommand::Once { .. } => {
            let token = users.once(name)?;
            if style.json {
                print_json("user.once/v1", &json!({ "name": name, "token": token }));
                return Ok(Done::WELL);
            }
            format!("/login?once={token}   (works once, within an hour)")
        }
    };
    if style.json {
        print_json("user/v1", &json!({ "name": name, "done": text }));
    } else {
        println!("{text}");
    }
    Ok(Done::WELL)
}

fn open(place: &NetviewPlace, context: Option<&Path>) -> Result<Users, Problem> {
    let state: PathBuf = match &place.state_dir {
        Some(folder) => folder.clone(),
        None => Place::find(context)?.netview_state().ok_or_else(|| {
            let what = "the context does not say where NetView keeps its people";
            Problem::new("U0003", what, "--state-dir DIR of the node that runs NetView")
        })?,
    };
    users::open(&state.join(Role::Netview.name()))
}

fn password() -> Result<String, Problem> {
    eprint!("password: ");
    let mut line = String::new();
    stdin().lock().read_line(&mut line).map_err(|error| {
        Problem::new("U0019", format!("no password on standard input: {error}"), "")
    })?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
