//! apt fetches lists and packages through the cache, and verifies what it gets.

use std::path::Path;
use std::process::Command;

use crate::edge::{Edge, Nginx, digest, noise, run};

const PACKAGE: &str = "popnet-sample_1.0_all.deb";

/// A repository of one package, without folders.
fn repository(www: &Path) {
    let work = tempfile::tempdir().unwrap();
    let tree = work.path().join("tree");
    std::fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    std::fs::create_dir_all(tree.join("usr/share/popnet-sample")).unwrap();
    std::fs::write(tree.join("usr/share/popnet-sample/noise"), noise(400_000)).unwrap();
    let control = "Package: popnet-sample\nVersion: 1.0\nArchitecture: all\n\
                   Maintainer: Nobody <nobody@a.test>\nDescription: a sample\n";
    std::fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let file = www.join(PACKAGE);
    run(Command::new("dpkg-deb").arg("--root-owner-group").arg("--build").arg(&tree).arg(&file));
    let octets = file.metadata().unwrap().len();
    let list =
        format!("{control}Filename: ./{PACKAGE}\nSize: {octets}\nSHA256: {}\n\n", digest(&file));
    std::fs::write(www.join("Packages"), list).unwrap();
}

/// apt in a folder of its own, which knows one source.
struct Apt {
    folder: tempfile::TempDir,
}

impl Apt {
    fn new(source: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for sub in ["lists/partial", "archives/partial", "etc"] {
            std::fs::create_dir_all(at.join(sub)).unwrap();
        }
        std::fs::write(at.join("status"), "").unwrap();
        std::fs::write(at.join("sources.list"), format!("deb [trusted=yes] {source} ./\n"))
            .unwrap();
        let at = at.display();
        let config = format!(
            "Dir::State \"{at}\";\nDir::State::lists \"{at}/lists\";\n\
             Dir::State::status \"{at}/status\";\nDir::Cache \"{at}\";\n\
             Dir::Cache::archives \"{at}/archives\";\nDir::Etc \"{at}/etc\";\n\
             Dir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"-\";\n\
             APT::Architecture \"amd64\";\nAPT::Sandbox::User \"root\";\n\
             Acquire::Languages \"none\";\nAcquire::Retries \"0\";\n\
             Acquire::http::Proxy \"DIRECT\";\nAPT::Update::Error-Mode \"any\";\n"
        );
        std::fs::write(folder.path().join("apt.conf"), config).unwrap();
        Self { folder }
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).current_dir(self.folder.path());
        run(apt.env("APT_CONFIG", self.folder.path().join("apt.conf")).env("LC_ALL", "C"))
    }
}

#[test]
fn apt_by_two_machines() {
    let nginx = Nginx::start();
    repository(&nginx.www());
    let edge = Edge::before(nginx.port);
    let whole = digest(&nginx.www().join(PACKAGE));
    for machine in 1..=2 {
        let apt = Apt::new(&edge.url("/"));
        apt.run(&["update"]);
        let said = apt.run(&["download", "popnet-sample"]);
        assert_eq!(digest(&apt.folder.path().join(PACKAGE)), whole, "{machine}: {said}");
        // The same list again is not the same octets again.
        let said = apt.run(&["update"]);
        assert!(said.contains("Hit:") || said.contains("Ign:"), "{said}");
    }
    // What the second machine got came from the cache.
    let package = format!("/{PACKAGE}");
    for path in ["/Packages", &package] {
        let asked = nginx.asked_for(path);
        assert_eq!(asked.len(), 1, "{path}: {asked:?}");
    }
}
