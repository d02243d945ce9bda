//! `popnet user`: people who may use NetView. Passwords come by standard input, never by argument.

use std::io::{BufRead, stdin};
use std::path::{Path, PathBuf};

use popnet_netview::users::{UserRole, Users, UsersError};
use popnet_runtime::clock;
use popnet_terms::{CustomerId, Role};
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
            let role = user_role(role, customer.as_ref())?;
            users.create(name, &role, Some(&password()?), clock::now()).map_err(|e| problem(&e))?;
            format!("{name} may log in")
        }
        UserCommand::Reset { .. } => {
            users.reset(name, Some(&password()?)).map_err(|error| problem(&error))?;
            format!("{name} has a new password; all sessions are closed")
        }
        UserCommand::Once { .. } => {
            let token = users.once(name, clock::now()).map_err(|error| problem(&error))?;
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
    Users::open(&state.join(Role::Netview.name())).map_err(|error| problem(&error))
}

fn problem(error: &UsersError) -> Problem {
    Problem::new("U0023", error.to_string(), "popnet user --help")
}

/// `customer-*` roles belong to a customer, the others to none.
fn user_role(role: &str, customer: Option<&CustomerId>) -> Result<UserRole, Problem> {
    let text = customer.map_or_else(|| role.to_owned(), |customer| format!("{role}:{customer}"));
    text.parse().map_err(|error| {
        Problem::new(
            "U0024",
            format!("{error}"),
            "--role observer   or   --role customer-admin --customer acme",
        )
        .with_exit(2)
    })
}

fn password() -> Result<String, Problem> {
    eprint!("password: ");
    let mut line = String::new();
    stdin().lock().read_line(&mut line).map_err(|error| {
        Problem::new("U0019", format!("no password on standard input: {error}"), "")
    })?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
