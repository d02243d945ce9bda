#![expect(clippy::unwrap_used, reason = "a test fails loudly")]
//! `popnet publish` against a running network: every POP serves the new content at once, and no
//! cache the old.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{Demo, both, text, within};

const SITE: &str = "handbook.acme.test";

/// What a POP's cache answers: status and content.
fn get(demo: &Demo, pop: u8, path: &str) -> (String, String) {
    let output = Command::new("curl")
        .args(["-sS", "--path-as-is", "--max-time", "5", "-w", "\n%{http_code}"])
        .args(["--resolve", &format!("{SITE}:8080:{}", demo.at(pop))])
        .arg(format!("http://{SITE}:8080{path}"))
        .output()
        .expect("curl runs");
    let said = text(&output.stdout);
    let (content, status) = said.rsplit_once('\n').unwrap_or_default();
    (status.to_owned(), content.to_owned())
}

fn put(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn host(demo: &Demo, www: &Path) {
    let config = demo.ok(&["config", "show"]);
    let more = format!(
        "\n[origin_groups.handbook]\ndirectory = {www:?}\n\n[sites.{SITE:?}]\ncustomer = \"acme\"\n\
         kind = \"cached\"\norigins = \"handbook\"\ncache = {{ default_ttl = \"1h\" }}\n"
    );
    let file = demo.dir().join("hosted.toml");
    fs::write(&file, config + &more).unwrap();
    demo.ok(&["config", "push", file.to_str().unwrap(), "--yes"]);
}

#[test]
fn seen_whole_everywhere_and_purged() {
    let demo = Demo::start(61);
    let at = tempfile::tempdir().unwrap();
    let (www, new) = (at.path().join("www"), at.path().join("new"));
    fs::create_dir(&www).unwrap();
    host(&demo, &www);
    put(&new, "index.html", "first");
    put(&new, "a b.txt", "first");
    put(&new, "old.txt", "first");
    let folder = new.to_str().unwrap();

    let plan = demo.json(&["publish", folder, SITE, "--dry-run"]);
    assert_eq!((&plan["new"], &plan["release"]), (&3.into(), &serde_json::Value::Null));
    assert!(!www.join(".current").exists());
    let refused = demo.cli(&["publish", folder, SITE]);
    assert_eq!(refused.status.code(), Some(2), "{}", both(&refused));
    let said = demo.ok(&["publish", folder, SITE, "--yes"]);
    assert!(said.contains("3 new, 0 changed, 0 deleted") && said.contains("release 1"), "{said}");
    let paths = ["/", "/?x=1", "/index.html", "/a%20b.txt", "/%61%20b.txt?v=2"];
    for pop in 11..=13 {
        let ready = || get(&demo, pop, "/") == ("200".into(), "first".into());
        assert!(within(Duration::from_secs(10), ready), "{pop}: {:?}", get(&demo, pop, "/"));
        for path in paths.iter().chain(&["/old.txt"]) {
            assert_eq!(get(&demo, pop, path), ("200".into(), "first".into()), "{pop} {path}");
        }
    }
    assert!(demo.ok(&["publish", folder, SITE, "--yes"]).contains("nothing to do"));

    // While readers read, they see the one or the other.
    put(&new, "index.html", "second");
    put(&new, "a b.txt", "second");
    fs::remove_file(new.join("old.txt")).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let (status, content) = get(&demo, 12, "/");
                assert_eq!(status, "200");
                assert!(["first", "second"].contains(&content.as_str()), "{content}");
            }
        });
        let told = demo.json(&["publish", folder, SITE, "--yes", "--delete"]);
        done.store(true, Ordering::Relaxed);
        let figures = ["new", "changed", "deleted", "release"].map(|key| told[key].as_u64());
        assert_eq!(figures, [Some(0), Some(2), Some(1), Some(2)], "{told}");
        assert!(told["objects"].as_u64().unwrap() >= 9, "{told}");
    });
    for pop in 11..=13 {
        for path in paths {
            assert_eq!(get(&demo, pop, path), ("200".into(), "second".into()), "{pop} {path}");
        }
        assert_eq!(get(&demo, pop, "/old.txt").0, "404", "{pop}");
        assert_eq!(get(&demo, pop, "/.releases/1/old.txt").0, "404", "{pop}");
        assert_eq!(get(&demo, pop, "/%2e%2e/new/index.html").0, "404", "{pop}");
    }

    // Whoever was stopped between the switch and the purge is made good by the next call.
    fs::write(www.join(".unpurged"), "handbook:/index.html").unwrap();
    let made_good = demo.json(&["publish", folder, SITE, "--yes"]);
    assert_eq!(
        (&made_good["purges"], &made_good["release"]),
        (&1.into(), &serde_json::Value::Null)
    );
    assert!(!www.join(".unpurged").exists());
}
