//! NetView over a made-up network, for looking at its pages: `cargo run -p popnet-netview
//! --example made_up -- 7600` prints a link that logs in.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    dead_code,
    reason = "a toy for developers"
)]

#[path = "../tests/fake/mod.rs"]
mod fake;

use std::sync::atomic::Ordering;
use std::time::Duration;

use popnet_netview::users::UserRole;
use popnet_runtime::clock;

#[tokio::main]
async fn main() {
    let port = std::env::args().nth(1).map_or(0, |text| text.parse().unwrap());
    let net = fake::Fake::start(port).await;
    let users = net.users();
    users.create("ada", &UserRole::Owner, Some("a made-up password"), clock::now()).unwrap();
    let acme = UserRole::CustomerAdmin("acme".into());
    users.create("ann", &acme, Some("a made-up password"), clock::now()).unwrap();
    for user in ["ada", "ann"] {
        let once = users.once(user, clock::now()).unwrap();
        println!("http://{}/login?once={once}", net.address);
    }
    let mut beat = 0_u64;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        beat += 1;
        let more = 300 + (beat * beat * 37) % 220;
        net.world.requests.fetch_add(more, Ordering::Relaxed);
    }
}
