//! `popnet user`: people who may use NetView. Passwords come by standard input, never by argument.

use std::io::{BufRead, IsTerminal, stdin};
use std::path::{Path, PathBuf};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use popnet_admin::{Admin, Endpoint};
use popnet_netview::users::{UserRole, Users, UsersError};
use popnet_runtime::clock;
use popnet_terms::{CustomerId, Role};
use popnet_wire::control::{ADMIN_SOCKET, Problem};
use serde_json::json;

use super::{admin, known_customer, network};
use crate::cli::{NetviewPlace, UserCommand};
use crate::output::{Done, Outcome, Style, print_json};
use crate::place::Place;

pub(crate) async fn execute(
    command: &UserCommand,
    context: Option<&Path>,
    style: Style,
) -> Outcome {
    let (place, name) = match command {
        UserCommand::Add { place, name, .. }
        | UserCommand::Reset { place, name }
        | UserCommand::Once { place, name } => (place, name),
    };
    let state = state(place, context)?;
    let users = Users::open(&state.join(Role::Netview.name())).map_err(|error| problem(&error))?;
    let password = || password(style);
    let text = match command {
        UserCommand::Add { role, customer, .. } => {
            let role = user_role(role, customer.as_ref())?;
            if let Some(customer) = customer {
                let admin = match &place.state_dir {
                    Some(_) => Admin::to(Endpoint::Local(state.join("run").join(ADMIN_SOCKET))),
                    None => admin(context)?,
                };
                known_customer(customer, &network(&admin).await?.2)?;
            }
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

/// The state folder of the node that runs NetView.
fn state(place: &NetviewPlace, context: Option<&Path>) -> Result<PathBuf, Problem> {
    let state: PathBuf = match &place.state_dir {
        Some(folder) => folder.clone(),
        None => Place::find(context)?.netview_state().ok_or_else(|| {
            let what = "the context does not say where NetView keeps its people";
            Problem::new("U0038", what, "--state-dir DIR of the node that runs NetView")
        })?,
    };
    // A mistyped folder would get people of its own, whom no NetView knows.
    if !state.is_dir() {
        let what = format!("there is no folder {}", state.display());
        let next = "--state-dir DIR of the node that runs NetView";
        return Err(Problem::new("U0032", what, next).with_exit(3));
    }
    Ok(state)
}

fn problem(error: &UsersError) -> Problem {
    let (next, exit) = match error {
        UsersError::Unknown(_) => ("popnet user add NAME", 3),
        UsersError::Taken(_) => ("popnet user reset NAME   sets a new password", 5),
        UsersError::Name | UsersError::Password(_) => ("popnet user --help", 2),
        UsersError::Newer(_) => ("popnet --version", 1),
        UsersError::Store(_) | UsersError::Io(_) => ("popnet user --help", 1),
    };
    Problem::new("U0023", error.to_string(), next).with_exit(exit)
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

/// One line of standard input; asked for, and not shown while it is typed, when that is a terminal.
fn password(style: Style) -> Result<String, Problem> {
    let input = stdin();
    let hidden = if input.is_terminal() && !style.json { Some(Hidden::ask()) } else { None };
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    drop(hidden);
    read.map_err(|error| {
        Problem::new("U0019", format!("no password on standard input: {error}"), "")
    })?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Option<Termios>);

impl Hidden {
    fn ask() -> Self {
        eprint!("password: ");
        let before = tcgetattr(stdin()).ok();
        if let Some(mut silent) = before.clone() {
            silent.local_flags.remove(LocalFlags::ECHO);
            // A terminal that cannot hide it still takes it.
            let _ = tcsetattr(stdin(), SetArg::TCSANOW, &silent);
        }
        Self(before)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        eprintln!();
        if let Some(before) = &self.0 {
            let _ = tcsetattr(stdin(), SetArg::TCSANOW, before);
        }
    }
}
