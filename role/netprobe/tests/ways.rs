//! A way of two routers in network namespaces: the measurements that look at ICMP. Only root may
//! make them; without, the test says so and is over.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::process::Command;
use std::time::Duration;

use popnet_config::network::LatencyMethod;
use popnet_netprobe::resolver::{PORT, measure};
use popnet_netprobe::trace::last_hop;
use popnet_probe::{JobId, MeasureJob, Turns};
use popnet_wire::probing::Method;

#[test]
fn a_silent_resolver_behind_two_routers() {
    let Some(way) = Way::new() else {
        eprintln!("skipped: network namespaces need root");
        return;
    };
    // Everything that is opened on this thread from now on is in the namespace of the near end.
    let file = std::fs::File::open(format!("/run/netns/{}", way.name(0))).unwrap();
    nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let far = "10.9.3.2".parse().unwrap();
        let hop = last_hop(far).await.unwrap();
        assert_eq!((hop.steps, hop.address), (3, far));
        // An echo answers though nobody listens on port 53.
        let burst =
            measure(&job(&[LatencyMethod::DnsQuery, LatencyMethod::Icmp]), PORT, Turns::default())
                .await;
        assert_eq!((burst.method, burst.rtts.len()), (Some(Method::Icmp), 2));

        // The far end goes silent altogether: the last router speaks for it.
        way.inside(3, "ip link set lo down; ip link set in0 down");
        way.inside(2, "ip neigh replace 10.9.3.2 lladdr 02:00:00:00:00:99 dev out2");
        let hop = last_hop(far).await.unwrap();
        assert_eq!((hop.steps, hop.address), (2, "10.9.2.2".parse().unwrap()));
        let burst =
            measure(&job(&[LatencyMethod::Icmp, LatencyMethod::Trace]), PORT, Turns::default())
                .await;
        assert_eq!((burst.method, burst.rtts.len()), (Some(Method::Trace), 1));
    });
}

fn job(methods: &[LatencyMethod]) -> MeasureJob {
    MeasureJob {
        id: JobId(1),
        resolver: "10.9.3.2".parse().unwrap(),
        methods: methods.to_vec(),
        samples: 2,
        timeout: Duration::from_millis(300),
        asked: None,
    }
}

/// Four namespaces in a row; 10.9.N.1 and 10.9.N.2 are the ends of link N.
struct Way {
    prefix: String,
}

impl Way {
    fn new() -> Option<Self> {
        let way = Self { prefix: format!("pn{}", std::process::id()) };
        nix::unistd::geteuid().is_root().then_some(())?;
        run(&format!("ip netns add {}", way.name(0))).then_some(())?;
        for at in 1..4 {
            assert!(run(&format!("ip netns add {}", way.name(at))));
        }
        for at in 0..3 {
            let (near, far) = (way.name(at), way.name(at + 1));
            let link = at + 1;
            let text = format!(
                "ip link add out{at} netns {near} type veth peer name in0 netns {far}; \
                 ip -n {near} addr add 10.9.{link}.1/24 dev out{at}; \
                 ip -n {far} addr add 10.9.{link}.2/24 dev in0; \
                 ip -n {near} link set out{at} up; ip -n {far} link set in0 up; \
                 ip -n {near} link set lo up; ip -n {far} link set lo up"
            );
            assert!(run(&text), "{text}");
        }
        way.inside(0, "ip route add default via 10.9.1.2");
        way.inside(
            1,
            "echo 1 > /proc/sys/net/ipv4/ip_forward; ip route add 10.9.3.0/24 via 10.9.2.2",
        );
        way.inside(
            2,
            "echo 1 > /proc/sys/net/ipv4/ip_forward; ip route add 10.9.1.0/24 via 10.9.2.1",
        );
        way.inside(3, "ip route add default via 10.9.3.1");
        Some(way)
    }

    fn name(&self, at: usize) -> String {
        format!("{}-{at}", self.prefix)
    }

    fn inside(&self, at: usize, text: &str) {
        assert!(run(&format!("ip netns exec {} sh -ec '{text}'", self.name(at))), "{text}");
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        for at in 0..4 {
            run(&format!("ip netns del {}", self.name(at)));
        }
    }
}

fn run(text: &str) -> bool {
    Command::new("sh").args(["-ec", text]).status().is_ok_and(|status| status.success())
}
