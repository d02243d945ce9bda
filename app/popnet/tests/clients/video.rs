//! ffmpeg seeks in a video through the cache: the picture is the right one, and the origin gave a
//! part of the file.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::edge::{Edge, Nginx, run};
use crate::support::within;

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]);
    command
}

/// A minute of test pictures, about 15 MB, a key frame each second.
fn film(file: &Path) {
    run(ffmpeg()
        .args(["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25", "-t", "60"])
        .args(["-c:v", "mpeg4", "-b:v", "2M", "-minrate", "2M", "-maxrate", "2M"])
        .args(["-bufsize", "2M", "-g", "25", "-pix_fmt", "yuv420p", "-movflags", "+faststart"])
        .arg(file));
}

/// The hash of the one picture at `second`.
fn picture(of: &str, second: u32) -> String {
    run(ffmpeg().args(["-ss", &second.to_string(), "-i", of]).args([
        "-frames:v",
        "1",
        "-f",
        "md5",
        "-",
    ]))
}

#[test]
fn ffmpeg_seeks() {
    let nginx = Nginx::start();
    let file = nginx.www().join("film.mp4");
    film(&file);
    let octets = file.metadata().unwrap().len();
    assert!(octets > 8 << 20, "a film of {octets} octets shows nothing");
    let edge = Edge::before(nginx.port);
    let (url, local) = (edge.url("/film.mp4"), file.to_str().unwrap());
    let pictures = [50, 20, 50, 5].map(|second| {
        let seen = picture(&url, second);
        assert_eq!(seen, picture(local, second), "at second {second}");
        seen
    });
    assert!(pictures[0] != pictures[1], "every picture is its own");
    // ffmpeg begins with `Range: bytes=0-`, which brings the whole; all other places come from it.
    let asked = nginx.asked_for("/film.mp4");
    assert!(asked.len() <= 2, "{asked:?}");
    let sent: u64 = asked.iter().map(|asked| asked.sent).sum();
    assert!(sent <= octets + octets / 4, "{asked:?}");
}

/// An origin that takes half a minute for the whole: who looks for a place near the end does not
/// wait for what lies before it.
#[test]
fn a_place_far_behind_is_there_at_once() {
    let nginx = Nginx::with("limit_rate 500k;");
    let file = nginx.www().join("film.mp4");
    film(&file);
    let octets = file.metadata().unwrap().len();
    let edge = Edge::before(nginx.port);
    let begun = Instant::now();
    let seen = picture(&edge.url("/film.mp4"), 58);
    let took = begun.elapsed();
    assert_eq!(seen, picture(file.to_str().unwrap(), 58));
    assert!(took < Duration::from_secs(15), "{took:?}");
    // The origin was asked for the place, and has not yet given all.
    let is_told = || nginx.asked_for("/film.mp4").iter().any(|asked| asked.range != "-");
    assert!(within(Duration::from_secs(10), is_told), "{:?}", nginx.asked());
    let asked = nginx.asked_for("/film.mp4");
    let sent: u64 = asked.iter().map(|asked| asked.sent).sum();
    assert!(sent < octets / 4, "{sent} of {octets}: {asked:?}");
}
