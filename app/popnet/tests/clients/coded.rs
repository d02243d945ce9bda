//! Pages in every coding that curl decodes: the same octets, fetched once.

use std::process::Command;
use std::time::Duration;

use crate::edge::{Edge, Nginx, digest, run};
use crate::support::within;

/// A client: what it sends, and the coding that it is to get in the end.
const CLIENTS: [(&[&str], &str); 7] = [
    (&["--compressed"], "zstd"),
    (&["--compressed", "-H", "Accept-Encoding: br, gzip"], "br"),
    (&["--compressed", "-H", "Accept-Encoding: gzip"], "gzip"),
    (&["--compressed", "-H", "Accept-Encoding: gzip;q=1, br;q=0.5, identity;q=0"], "gzip"),
    (&["--compressed", "--http2", "-H", "Accept-Encoding: br"], "br"),
    (&["-H", "Accept-Encoding: identity"], ""),
    (&[], ""),
];

#[test]
fn curl_decodes_what_it_asked_for() {
    let nginx = Nginx::start();
    let file = nginx.www().join("page.html");
    let line = |at| format!("<p>Line {at}, and what stands in it.</p>\n");
    std::fs::write(&file, (0..5_000).map(line).collect::<String>()).unwrap();
    let octets = std::fs::metadata(&file).unwrap().len();
    let edge = Edge::before(nginx.port);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("got");
    let resolve = format!("a.test:{}:127.0.0.1", edge.https);
    let url = format!("https://a.test:{}/page.html", edge.https);
    // The coding, the tag and the octets that came.
    let ask = |more: &[&str]| -> Vec<String> {
        let write = "%header{content-encoding}|%header{etag}|%{size_download}|%header{vary}";
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "--max-time", "30", "-k", "--resolve", &resolve, "-w", write]);
        let said = run(curl.arg("-o").arg(&out).args(more).arg(&url));
        assert_eq!(digest(&out), digest(&file), "{more:?}: {said}");
        said.split('|').map(str::to_owned).collect()
    };
    for (more, coding) in CLIENTS {
        let mut said = Vec::new();
        let is_coded = || {
            said = ask(more);
            said[0] == coding
        };
        assert!(within(Duration::from_secs(10), is_coded), "{more:?}");
        let came: u64 = said[2].parse().unwrap();
        assert!(if coding.is_empty() { came == octets } else { came * 5 < octets }, "{said:?}");
        assert_eq!(said[1].ends_with(&format!("~{coding}\"")), !coding.is_empty(), "{said:?}");
        assert_eq!(said[3], "Accept-Encoding", "{said:?}");
    }
    let asked = nginx.asked_for("/page.html");
    assert_eq!(asked.len(), 1, "{asked:?}");

    // What curl has kept with its tag is confirmed, in the coding in which it came.
    let tags = folder.path().join("tag");
    let tags = tags.to_str().unwrap();
    let again = |option: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-k", "--compressed", "--resolve", &resolve, option, tags]);
        run(curl.args(["-w", "%{http_code} %header{etag}", "-o", "/dev/null"]).arg(&url))
    };
    let first = again("--etag-save");
    assert!(first.starts_with("200 ") && first.ends_with("~zstd\""), "{first}");
    assert_eq!(again("--etag-compare"), first.replace("200", "304"));
}
