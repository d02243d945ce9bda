//! `popnet key`: keys for transfers and updates, as files on the node that uses them. A secret is
//! written into its file and shown nowhere.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use data_encoding::BASE64;
use popnet_dns::Name;
use popnet_runtime::files::create_private_dir;
use popnet_transfer::Key;
use popnet_wire::control::Problem;
use serde_json::json;

use super::zone::name_of;
use crate::cli::{KeyCommand, TsigAlgorithm, TsigCommand};
use crate::output::{Done, Outcome, Style, print_json, table};

/// No key file is longer.
const FILE_MAX: u64 = 64 << 10;

pub(crate) fn execute(command: &KeyCommand, style: Style) -> Outcome {
    match command {
        KeyCommand::Tsig(TsigCommand::Create { name, algorithm, state_dir }) => {
            create(name, *algorithm, &state_dir.join("keys").join("tsig"), style)
        }
        KeyCommand::Tsig(TsigCommand::List { state_dir }) => {
            list(&state_dir.join("keys").join("tsig"), style)
        }
    }
}

/// The file's form is the one of `tsig-keygen`: peers can take it as it is.
fn create(name: &str, algorithm: TsigAlgorithm, folder: &Path, style: Style) -> Outcome {
    let key = key_name(name)?;
    let (word, octets) = match algorithm {
        TsigAlgorithm::HmacSha256 => ("hmac-sha256", 32),
        TsigAlgorithm::HmacSha384 => ("hmac-sha384", 48),
        TsigAlgorithm::HmacSha512 => ("hmac-sha512", 64),
    };
    let path = folder.join(format!("{key}.key"));
    let failed = |what: String| Problem::new("U0071", what, "popnet key tsig create NAME");
    let mut secret = vec![0; octets];
    getrandom::fill(&mut secret).map_err(|error| failed(format!("no random octets: {error}")))?;
    let secret = BASE64.encode(&secret);
    let text = format!("key \"{key}\" {{\n\talgorithm {word};\n\tsecret \"{secret}\";\n}};\n");
    let written = create_private_dir(folder).and_then(|()| {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let what = format!("{} is there already: it stays as it is", path.display());
            let next = format!("popnet key tsig create {key}-2   (or remove the file first)");
            return Err(Problem::new("U0070", what, next).with_exit(5));
        }
        Err(error) => return Err(failed(format!("{}: {error}", path.display()))),
    }
    let lines = format!("[zones.\"ZONE\"]\ntsig_key = \"{key}\"");
    if style.json {
        let made = json!({ "key": key, "algorithm": word, "file": path, "configuration": lines });
        print_json("key.tsig.create/v1", &made);
    } else {
        println!("key {key} ({word}) is in {}, for its user alone", path.display());
        println!("\nAdd to the configuration:\n\n{lines}\n");
        println!("The peer gets the same file; its key statement is for named.conf as it stands:");
        println!("\ninclude \"{key}.key\";");
    }
    Ok(Done::WELL)
}

/// A key's name is a name in messages, and the name of a file.
fn key_name(text: &str) -> Result<String, Problem> {
    let plain = name_of(text)?.to_host();
    let is_good = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_.".contains(letter)
    };
    if plain.chars().all(is_good) && !plain.starts_with('.') {
        return Ok(plain);
    }
    let what = format!("{text:?} cannot name a key: names are of a-z, 0-9, hyphens and dots");
    Err(Problem::new("U0072", what, "popnet key tsig create xfr").with_exit(2))
}

fn list(folder: &Path, style: Style) -> Outcome {
    let entries = fs::read_dir(folder).map_err(|error| {
        let what = format!("{}: {error}", folder.display());
        Problem::new("U0073", what, "popnet key tsig create NAME --state-dir DIR").with_exit(3)
    })?;
    let mut found = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let is_key = path.extension().is_some_and(|end| end == "key");
        let Some(name) = stem.filter(|_| is_key).and_then(|stem| stem.parse::<Name>().ok()) else {
            continue;
        };
        found.push((name.to_host(), look(&name, &path), path));
    }
    found.sort();
    let is_well = found.iter().all(|(_, looked, _)| looked.is_ok());
    if style.json {
        let keys = found.iter().map(|(name, looked, path)| {
            json!({
                "key": name,
                "algorithm": looked.as_ref().ok(),
                "problem": looked.as_ref().err(),
                "file": path,
            })
        });
        print_json("key.tsig.list/v1", &json!({ "keys": keys.collect::<Vec<_>>() }));
    } else {
        let mut rows = vec![["key", "algorithm", "file"].map(str::to_owned).to_vec()];
        rows.extend(found.into_iter().map(|(name, looked, path)| {
            vec![name, looked.unwrap_or_else(|why| why), path.display().to_string()]
        }));
        print!("{}", table(&rows));
    }
    Ok(if is_well { Done::WELL } else { Done::FOUND_PROBLEMS })
}

/// The key's algorithm, else what is wrong with its file.
fn look(name: &Name, path: &Path) -> Result<String, String> {
    let data = fs::metadata(path).map_err(|error| error.to_string())?;
    if data.len() > FILE_MAX {
        return Err(format!("{} octets are too many for a key", data.len()));
    }
    if data.mode() & 0o077 != 0 {
        return Err("others can read it: chmod 600".to_owned());
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let key = Key::read(name, &text).map_err(|error| error.to_string())?;
    Ok(key.algorithm().word().to_owned())
}
