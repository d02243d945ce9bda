//! The table that each kind of service probe needs, and what may be in it.

use super::foreign;
use crate::check::{At, Checker};
use crate::network::{Probe, ProbeKind};
use crate::path::TreePath;

pub(super) fn tables(checker: &mut Checker<'_>, probe: &Probe, path: &TreePath) {
    let all = [
        ("tcp", ProbeKind::Tcp, probe.tcp.is_some()),
        ("ftp", ProbeKind::Ftp, probe.ftp.is_some()),
        ("dns", ProbeKind::Dns, probe.dns.is_some()),
        ("stream", ProbeKind::Stream, probe.stream.is_some()),
        ("command", ProbeKind::Command, probe.command.is_some()),
        ("snmp", ProbeKind::Snmp, probe.snmp.is_some()),
    ];
    for (key, kind, is_set) in all {
        if kind != probe.kind {
            foreign(checker, "each kind of probe has a table of its own", &[(key, is_set)], path);
        } else if !is_set && kind != ProbeKind::Tcp {
            let message = format!("this kind of probe needs a table `{key}`");
            let found = checker.error("E0410", message, path, At::Key);
            found.help = format!("add {key} = {{ {} }}", example(kind));
        }
    }
    contents(checker, probe, path);
}

fn example(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Ftp => "path = \"/pub/check.txt\"",
        ProbeKind::Dns => "name = \"www.example.com\"",
        ProbeKind::Stream => "path = \"/live/index.m3u8\", format = \"hls\"",
        ProbeKind::Command => "program = \"/usr/lib/nagios/plugins/check_tcp\"",
        ProbeKind::Snmp => "community_file = \"/etc/popnet/community\"",
        ProbeKind::Tcp
        | ProbeKind::Http
        | ProbeKind::Icmp
        | ProbeKind::Metrics
        | ProbeKind::Latency => "",
    }
}

fn contents(checker: &mut Checker<'_>, probe: &Probe, path: &TreePath) {
    let mut wrong = |keys: [&str; 2], message: String, help: &str| {
        let path = path.key(keys[0]).key(keys[1]);
        checker.error("E0305", message, &path, At::Value).help = help.into();
    };
    // A line break in a command would be another command to the server.
    let is_word = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    if let Some(ftp) = &probe.ftp {
        for (key, text) in [("path", Some(&ftp.path)), ("user", ftp.user.as_ref())] {
            if text.is_some_and(|text| !is_word(text)) {
                wrong(["ftp", key], "empty, or with a line break".into(), "one line of text");
            }
        }
    }
    if let Some(dns) = &probe.dns {
        if dns.name.parse::<popnet_dns::Name>().is_err() {
            wrong(["dns", "name"], format!("{:?} is no name", dns.name), "a name of the DNS");
        }
        if dns.rtype.as_ref().is_some_and(|text| text.parse::<popnet_dns::Rtype>().is_err()) {
            wrong(["dns", "type"], "no record type".into(), "such as A, AAAA or MX");
        }
    }
    if let Some(stream) = &probe.stream
        && !(stream.path.starts_with('/') && is_word(&stream.path))
    {
        wrong(
            ["stream", "path"],
            format!("{:?} is not a path", stream.path),
            "a path begins with /",
        );
    }
    if let Some(command) = &probe.command
        && !command.program.is_absolute()
    {
        let message = format!("{} is not a whole path", command.program.display());
        wrong(["command", "program"], message, "it begins with /; no shell looks for it");
    }
    let Some(snmp) = &probe.snmp else { return };
    let is_two = snmp.community_file.is_some();
    let is_three = snmp.user.is_some() && snmp.auth_file.is_some();
    if is_two == is_three {
        let found = checker.error(
            "E0410",
            "neither version 2c nor version 3",
            &path.key("snmp"),
            At::Value,
        );
        found.help = "either community_file, or user and auth_file".into();
    }
}
