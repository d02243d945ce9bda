//! `popnet import`: another name server's configuration, said in ours.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use popnet_import::{Imported, KeyFile, Kind, Note, Wanted};
use popnet_wire::control::Problem;
use serde_json::json;

use crate::cli::{ImportBindArguments, ImportCommand};
use crate::output::{Done, Outcome, Style, print_json};

/// No configuration is longer: a hundred thousand zones are a tenth of this.
const FILE_MAX: u64 = 256 << 20;

pub(crate) fn execute(command: &ImportCommand, style: Style) -> Outcome {
    match command {
        ImportCommand::Bind(arguments) => bind(arguments, style),
    }
}

fn bind(arguments: &ImportBindArguments, style: Style) -> Outcome {
    let wanted = Wanted {
        network: &arguments.network,
        domain: &arguments.domain,
        addresses: &arguments.address,
    };
    let imported = popnet_import::bind(&arguments.file, &wanted, &mut read).map_err(|mistake| {
        let next = "named-checkconf FILE   says what BIND thinks of it";
        Problem::new("U0040", mistake.to_string(), next)
    })?;
    // What was written has to be good for the program that wrote it.
    let found = popnet_config::load(&imported.toml, "import").err().filter(|_| !style.json);
    if let Some(found) = found {
        let what = popnet_config::render(&found, &imported.toml, "import");
        let next = "popnet config validate FILE, once it is mended by hand";
        eprintln!("the result needs a person's hand:\n{what}  next: {next}");
    }
    if let Some(folder) = &arguments.keys {
        keys(folder, &imported.keys)?;
    }
    if let Some(out) = &arguments.out {
        popnet_runtime::files::write_atomic(out, imported.toml.as_bytes()).map_err(|error| {
            let what = format!("{}: {error}", out.display());
            Problem::new("U0041", what, "popnet import bind FILE   without --out prints it")
        })?;
    }
    print(arguments, &imported, style);
    let open = imported.notes.iter().any(|note| note.kind.is_open());
    Ok(if open { Done::FOUND_PROBLEMS } else { Done::WELL })
}

fn read(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_MAX {
        return Err(format!("{length} octets; the limit is {FILE_MAX}"));
    }
    let octets = std::fs::read(path).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

/// Writes keys where only their owner reads them; what is there already stays.
fn keys(folder: &Path, keys: &[KeyFile]) -> Result<(), Problem> {
    let failed = |path: &Path, error: &std::io::Error| {
        let what = format!("{}: {error}", path.display());
        Problem::new("U0042", what, "an empty folder for --keys; no key is written over")
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    for key in keys {
        let path = folder.join(&key.name);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == key.content) {
            continue;
        }
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let written =
            options.open(&path).and_then(|mut file| file.write_all(key.content.as_bytes()));
        written.map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

fn print(arguments: &ImportBindArguments, imported: &Imported, style: Style) {
    let names: Vec<&str> = imported.keys.iter().map(|key| key.name.as_str()).collect();
    if style.json {
        print_json(
            "import.bind/v1",
            &json!({
                "zones": imported.zones,
                "toml": arguments.out.is_none().then_some(&imported.toml),
                "out": arguments.out,
                "keys": names,
                "keys_written": arguments.keys,
                "notes": imported.notes.iter().map(note_json).collect::<Vec<_>>(),
            }),
        );
        return;
    }
    let mut report = String::new();
    for note in &imported.notes {
        report.push_str(&format!("{note}\n"));
    }
    let count = |kind| imported.notes.iter().filter(|note| note.kind == kind).count();
    report.push_str(&format!(
        "{} zones; statements: {} taken, {} unneeded, {} left, {} unknown\n",
        imported.zones,
        count(Kind::Taken),
        count(Kind::Unneeded),
        count(Kind::Left),
        count(Kind::Unknown),
    ));
    if !names.is_empty() {
        report.push_str(&match &arguments.keys {
            Some(folder) => format!("keys in {}: {}\n", folder.display(), names.join(", ")),
            None => format!("keys not written: {}; --keys DIR writes them\n", names.join(", ")),
        });
    }
    // The report is the answer when the configuration goes into a file.
    if arguments.out.is_some() {
        print!("{report}");
    } else {
        print!("{}", imported.toml);
        eprint!("{report}");
    }
}

fn note_json(note: &Note) -> serde_json::Value {
    json!({
        "kind": note.kind.word(),
        "file": note.place.file.display().to_string(),
        "line": note.place.line,
        "column": note.place.column,
        "what": note.what,
        "why": note.why,
    })
}
