//! The demo leaves nothing behind: not on Ctrl-C, not when its parent is killed, and it refuses
//! clearly when it cannot start.

mod support;

use std::net::TcpListener;
use std::time::Duration;

use support::{Demo, both, popnet, within};

fn lives(pid: i32) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_ok()
}

/// Whether every port of the demo can be opened again.
fn released(net: &str) -> bool {
    let ports = [
        ("0.1", 7600),
        ("0.1", 7681),
        ("0.11", 5300),
        ("0.12", 8080),
        ("0.13", 7604),
        ("0.10", 7601),
    ];
    ports.iter().all(|(rest, port)| TcpListener::bind(format!("{net}.{rest}:{port}")).is_ok())
}

#[test]
fn nothing_is_left_when_the_parent_is_killed() {
    let demo = Demo::start(35);
    let pids = demo.node_pids();
    Demo::kill_9(i32::try_from(demo.pid()).unwrap());
    assert!(
        within(Duration::from_secs(8), || !pids.iter().any(|pid| lives(*pid))),
        "nodes outlive the demo"
    );
    assert!(within(Duration::from_secs(2), || released(&demo.net)), "ports are still taken");
}

#[test]
fn interrupting_stops_everything() {
    let mut demo = Demo::start(36);
    let pids = demo.node_pids();
    let twice =
        popnet().args(["demo", "--net", "127.46"]).arg("--dir").arg(demo.dir()).output().unwrap();
    assert_eq!(twice.status.code(), Some(1));
    assert!(both(&twice).contains("a demo runs in"), "{}", both(&twice));
    demo.interrupt();
    assert!(!pids.iter().any(|pid| lives(*pid)), "nodes outlive the demo");
    assert!(released(&demo.net), "ports are still taken");
}

#[test]
fn a_taken_port_is_named_with_its_holder() {
    let holder = TcpListener::bind("127.37.0.21:9001").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = popnet()
        .args(["demo", "--dir", "d", "--net", "127.37"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let words = both(&output);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("127.37.0.21:9001"), "{words}");
    assert!(words.contains(&format!("pid {}", std::process::id())), "{words}");
    assert!(words.contains("next:"), "{words}");
    drop(holder);

    std::fs::create_dir(folder.path().join("mine")).unwrap();
    std::fs::write(folder.path().join("mine/thesis.txt"), "dear reader").unwrap();
    let output = popnet()
        .args(["demo", "--dir", "mine", "--net", "127.37"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(both(&output).contains("not empty"), "{}", both(&output));
    assert!(folder.path().join("mine/thesis.txt").is_file());
}
