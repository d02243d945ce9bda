//! Who moves when targets come, go and shed, whatever they can carry (steering model, section 14).

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use popnet_config::network::Network;
use popnet_steering::{Board, Client, Family, Question, Rules, View, choose};
use popnet_terms::{NodeName, PopId, TargetId, Timestamp};
use popnet_wire::probing::{Finding, Report, Sample, Shed};
use popnet_wire::rollout::Epoch;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_900_000_000_000_000);

/// Targets that nobody watches, so that they count as they are configured.
struct Lab {
    rules: Rules,
    board: Board,
}

impl Lab {
    /// One POP for each capacity: `p0`, `p1` … of which `without` is not there.
    fn new(capacities: &[u32], without: Option<usize>) -> Self {
        let pops = capacities.iter().copied().enumerate();
        Self::listing(pops.filter(|(at, _)| without != Some(*at)))
    }

    /// POPs by number and capacity, in the order in which the file lists them.
    fn listing(pops: impl IntoIterator<Item = (usize, u32)>) -> Self {
        let mut text = String::from(
            "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n[customers.acme]\n\
             [origin_groups.www.servers]\nmain = { address = \"203.0.113.1\" }\n\
             [policies.spread]\npreset = \"spread\"\nanswer = { max = 1 }\n\
             [sites.\"www.test\"]\ncustomer = \"acme\"\nkind = \"cached\"\npolicy = \"spread\"\n\
             origins = \"www\"\n",
        );
        for (at, requests) in pops {
            text += &format!(
                "[pops.p{at}]\ncapacity = {{ requests = {requests} }}\n[pops.p{at}.nodes]\n\
                 edge1 = {{ roles = [\"webcache\"], address = [\"192.0.2.{at}\"] }}\n\
                 probe1 = {{ roles = [\"netprobe\"], address = [\"192.0.2.1{at}\"] }}\n"
            );
        }
        let network: Network = toml_edit::de::from_str(&text).unwrap();
        let mut board = Board::new();
        board.configure(&network, None, NOW);
        Self { rules: Rules::compile(&network), board }
    }

    fn shed(&mut self, seq: u64, shed: u16) {
        let shed = Shed { target: target(0), shed, load: None, period: 20 };
        let report = Report {
            publisher: NodeName::of("probe1", &PopId::new("p0")),
            boot: 1,
            seq,
            epoch: Epoch(0),
            sent: NOW,
            samples: vec![Sample { at: NOW, finding: Finding::Shed(shed) }],
        };
        assert_eq!(self.board.record(&report, NOW).accepted, 1);
    }

    fn homes(&mut self, clients: u32) -> Vec<TargetId> {
        let view = self.board.view(NOW);
        (0..clients).map(|n| self.home(&view, n)).collect()
    }

    fn home(&self, view: &View, n: u32) -> TargetId {
        let client = format!("10.{}.{}.0/24", n / 256, n % 256).parse().unwrap();
        let question = Question { client: Client::Unit(client), family: Family::V4, bound: None };
        let choice = choose(view, self.rules.site("www.test").unwrap(), &question);
        choice.targets.first().unwrap().target.clone()
    }
}

fn target(at: usize) -> TargetId {
    TargetId::Pop(PopId::new(&format!("p{at}")))
}

/// How many of `clients` differ between two lists, of those whom `counts` names.
fn differ(
    one: &[TargetId],
    other: &[TargetId],
    counts: impl Fn(&TargetId, &TargetId) -> bool,
) -> usize {
    one.iter().zip(other).filter(|(a, b)| a != b && counts(a, b)).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn removing_one_moves_its_own_clients_only(
        capacities in prop::collection::vec(1_u32..100_000, 2..8),
        pick in any::<prop::sample::Index>(),
    ) {
        let gone = pick.index(capacities.len());
        let before = Lab::new(&capacities, None).homes(1_000);
        let after = Lab::new(&capacities, Some(gone)).homes(1_000);
        let others = differ(&before, &after, |home, _| *home != target(gone));
        // Shares are counted anew beside the largest one: a rounding, one in a thousand at most.
        prop_assert!(others <= 1, "{others} of 1000 moved that were not at {gone}");
        prop_assert!(!after.contains(&target(gone)));
    }

    /// Whoever moves for a share moves for each larger one too, and nobody comes who did not.
    #[test]
    fn the_order_of_the_list_is_nothing(
        listed in prop::collection::vec(1_u32..5_000, 2..8).prop_flat_map(|capacities| {
            let pops: Vec<(usize, u32)> = capacities.into_iter().enumerate().collect();
            (Just(pops.clone()), Just(pops).prop_shuffle())
        }),
    ) {
        let (straight, shuffled) = listed;
        prop_assert_eq!(Lab::listing(straight).homes(500), Lab::listing(shuffled).homes(500));
    }

    #[test]
    fn a_larger_share_moves_more(
        capacities in prop::collection::vec(1_u32..100_000, 2..6),
        (less, more) in (0_u16..=1_000, 0_u16..=1_000).prop_map(|(a, b)| (a.min(b), a.max(b))),
    ) {
        let mut lab = Lab::new(&capacities, None);
        let all = lab.homes(1_000);
        lab.shed(1, less);
        let few = lab.homes(1_000);
        lab.shed(2, more);
        let many = lab.homes(1_000);
        prop_assert_eq!(differ(&few, &many, |a, _| *a != target(0)), 0);
        prop_assert_eq!(differ(&all, &few, |a, _| *a != target(0)), 0);
        let own = all.iter().filter(|home| **home == target(0)).count();
        let away = own - many.iter().filter(|home| **home == target(0)).count();
        let wanted = own * usize::from(more) / 1_000;
        // Five standard deviations of the draws.
        let off = 5 * (own / 4).isqrt() + 5;
        prop_assert!(away.abs_diff(wanted) <= off, "{away} of {own} moved at {more}");
    }
}

#[test]
fn adding_one_moves_its_share_at_most() {
    for count in 2..6 {
        let capacities = vec![100; count + 1];
        let before = Lab::new(&capacities, Some(count)).homes(6_000);
        let after = Lab::new(&capacities, None).homes(6_000);
        let moved = differ(&before, &after, |_, _| true);
        assert!(
            moved <= 6_000 / (count + 1) + 60,
            "{moved} of 6000 moved to one more than {count}"
        );
        assert_eq!(moved, after.iter().filter(|home| **home == target(count)).count());
    }
}
