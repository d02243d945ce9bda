//! Transcripts of one relay: what goes in, and after it, indented, what it wants done.
//! `UPDATE_EXPECT=1` rewrites them; read the difference.
#![expect(clippy::unwrap_used, reason = "a script that cannot be read fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use expect_test::{Expect, expect};
use popnet_rollout::{Action, Ledger, Relay, Tree};
use popnet_terms::{NodeName, Timestamp};
use popnet_wire::rollout::{Digest, Down, Epoch, Outcome, Up, Version};

#[test]
fn a_push_through_a_relay() {
    check(
        "prepare 1 by m
         checked 1
         persisted
         up a prepared
         up b prepared
         commit 1
         persisted
         up a switched
         up b switched
         persisted",
        expect![[r#"
            prepare 1 by m
                check v1
            checked 1
                persist committed v0, staged v1
            persisted
                send prepare v1 to a
                send prepare v1 to b
            up a prepared
                progress a:prepared a1:prepared
            up b prepared
                progress b:prepared b1:prepared
                answer r:prepared a:prepared a1:prepared b:prepared b1:prepared
            commit 1
                persist committed v1, staged -
            persisted
                switch to v1
                send commit v1 to a
                send commit v1 to b
            up a switched
                progress a:switched a1:switched
            up b switched
                progress b:switched b1:switched
                answer r:switched a:switched a1:switched b:switched b1:switched
                persist committed v1, staged -
            persisted
        "#]],
    );
}

#[test]
fn a_silent_child_is_passed_over() {
    check(
        "prepare 1 by m
         checked 1
         persisted
         up a gone
         up b prepared
         wait 60
         up a1 prepared",
        expect![[r#"
            prepare 1 by m
                check v1
            checked 1
                persist committed v0, staged v1
            persisted
                send prepare v1 to a
                send prepare v1 to b
            up a gone
                progress a:unreachable(connection refused)
                send prepare v1 to a1
            up b prepared
                progress b:prepared b1:prepared
            wait 60
                progress a1:unreachable(no answer in time)
                answer r:prepared a:unreachable(connection refused) a1:unreachable(no answer in time) b:prepared b1:prepared
            up a1 prepared
        "#]],
    );
}

#[test]
fn a_refusal_ends_the_asking() {
    check(
        "prepare 1 by m
         checked 1
         persisted
         up a refused
         up b gone
         abort 1
         persisted
         up a aborted
         up b aborted
         up b1 aborted",
        expect![[r#"
            prepare 1 by m
                check v1
            checked 1
                persist committed v0, staged v1
            persisted
                send prepare v1 to a
                send prepare v1 to b
            up a refused
                progress a:refused(no certificate)
            up b gone
                progress b:unreachable(connection refused)
                answer r:prepared a:refused(no certificate) b:unreachable(connection refused)
            abort 1
                persist committed v0, staged -
            persisted
                send abort v1 to a
                send abort v1 to b
            up a aborted
                progress a:aborted a1:aborted
            up b aborted
                progress b:aborted b1:aborted
                answer r:aborted a:aborted a1:aborted b:aborted b1:aborted
            up b1 aborted
        "#]],
    );
}

#[test]
fn a_node_that_cannot_run_it_asks_nobody() {
    check(
        "prepare 1 by m\nunfit 1\nprepare 1 by m",
        expect![[r#"
        prepare 1 by m
            check v1
        unfit 1
            answer r:refused(no certificate)
        prepare 1 by m
            check v1
    "#]],
    );
}

#[test]
fn two_masters_at_once() {
    check(
        "prepare 2 by m
         checked 2
         persisted
         up a prepared
         up b prepared
         prepare 3 by n
         wait 200
         prepare 3 by n
         checked 3
         persisted
         commit 2",
        expect![[r#"
            prepare 2 by m
                check v2
            checked 2
                persist committed v0, staged v2
            persisted
                send prepare v2 to a
                send prepare v2 to b
            up a prepared
                progress a:prepared a1:prepared
            up b prepared
                progress b:prepared b1:prepared
                answer r:prepared a:prepared a1:prepared b:prepared b1:prepared
            prepare 3 by n
                answer r:refused(a push of v2 by m is under way)
            wait 200
            prepare 3 by n
                check v3
            checked 3
                persist committed v0, staged v3
            persisted
                send prepare v3 to a
                send prepare v3 to b
            commit 2
                catch up
                answer r:unreachable(v2 is not stored here; it is being fetched)
        "#]],
    );
}

#[test]
fn a_commit_for_what_was_missed() {
    check(
        "commit 4\nnewer 4\npersisted\ncommit 4\nprepare 3 by m",
        expect![[r#"
        commit 4
            catch up
            answer r:unreachable(v4 is not stored here; it is being fetched)
        newer 4
            persist committed v4, staged -
        persisted
            switch to v4
        commit 4
            answer r:switched
        prepare 3 by m
            answer r:refused(runs v4, which is not older than v3)
    "#]],
    );
}

#[test]
fn back_from_the_dead_between_prepare_and_commit() {
    check(
        "prepare 1 by m
         checked 1
         persisted
         die
         commit 1
         persisted
         die
         up a switched",
        expect![[r#"
            prepare 1 by m
                check v1
            checked 1
                persist committed v0, staged v1
            persisted
                send prepare v1 to a
                send prepare v1 to b
            die
            commit 1
                persist committed v1, staged -
            persisted
                switch to v1
                send commit v1 to a
                send commit v1 to b
            die
                send commit v1 to a
                send commit v1 to b
            up a switched
                progress a:switched a1:switched
        "#]],
    );
}

#[test]
fn a_master_gives_up_its_own_undecided_push() {
    check(
        "prepare 1 by r\nchecked 1\npersisted\ndie\npersisted",
        expect![[r#"
        prepare 1 by r
            check v1
        checked 1
            persist committed v0, staged v1
        persisted
            send prepare v1 to a
            send prepare v1 to b
        die
            persist committed v0, staged -
        persisted
            send abort v1 to a
            send abort v1 to b
    "#]],
    );
}

#[test]
fn a_full_disk_refuses() {
    check(
        "prepare 1 by m\nchecked 1\ndisk-full\ncommit 1",
        expect![[r#"
        prepare 1 by m
            check v1
        checked 1
            persist committed v0, staged v1
        disk-full
            answer r:refused(disk full)
        commit 1
            catch up
            answer r:unreachable(v1 is not stored here; it is being fetched)
    "#]],
    );
}

/// Plays `script` to relay `r` over a, b and their children a1, b1.
#[expect(clippy::needless_pass_by_value, reason = "expectations are written in place")]
fn check(script: &str, transcript: Expect) {
    let mut relay = Relay::new("r".into(), Ledger::default());
    let mut now = Timestamp(0);
    let mut round = 0;
    let mut disk = Ledger::default();
    let mut said = String::new();
    for line in script.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["prepare", epoch, "by", master] => {
                relay.handle_down(1, Down::Prepare(version(epoch, master)), now);
            }
            ["commit", epoch] => {
                let (epoch, digest) = (number(epoch), digest(epoch));
                relay.handle_down(1, Down::Commit { epoch, digest, fenced: Vec::new() }, now);
            }
            ["abort", epoch] => relay.handle_down(1, Down::Abort { epoch: number(epoch) }, now),
            ["newer", epoch] => relay.handle_newer(version(epoch, "m")),
            ["checked", epoch] => relay.handle_checked(number(epoch), Ok(tree()), now),
            ["unfit", epoch] => {
                relay.handle_checked(number(epoch), Err("no certificate".to_owned()), now);
            }
            ["persisted"] => relay.handle_persisted(Ok(()), now),
            ["disk-full"] => relay.handle_persisted(Err("disk full".to_owned()), now),
            ["up", child, word] => {
                relay.handle_up(round, &NodeName::new(child), up(child, word), now);
            }
            ["wait", seconds] => {
                now = now.after(Duration::from_secs(seconds.parse().unwrap()));
                relay.handle_timeout(now);
            }
            ["die"] => {
                relay = Relay::new("r".into(), disk.clone());
                relay.handle_start(now);
            }
            other => panic!("cannot read {other:?}"),
        }
        writeln!(said, "{line}").unwrap();
        while let Some(action) = relay.poll_action() {
            if let Action::Persist(ledger) = &action {
                disk = (**ledger).clone();
            }
            if let Action::Send { round: of, .. } = &action {
                round = *of;
            }
            writeln!(said, "    {}", print(&action)).unwrap();
        }
    }
    transcript.assert_eq(&said);
}

fn tree() -> Tree {
    let names = |list: &[&str]| list.iter().map(|name| NodeName::new(name)).collect::<Vec<_>>();
    let relay = BTreeMap::from([
        ("r".into(), names(&["a", "b"])),
        ("a".into(), names(&["a1"])),
        ("b".into(), names(&["b1"])),
    ]);
    let nodes: BTreeSet<NodeName> = names(&["r", "a", "b", "a1", "b1"]).into_iter().collect();
    Tree::of(&"r".into(), &nodes, &relay)
}

fn number(text: &str) -> Epoch {
    Epoch(text.parse().unwrap())
}

fn digest(epoch: &str) -> Digest {
    Digest([epoch.parse().unwrap(); 32])
}

fn version(epoch: &str, master: &str) -> Version {
    Version {
        epoch: number(epoch),
        digest: digest(epoch),
        text: String::new(),
        author: String::new(),
        message: String::new(),
        at: Timestamp(0),
        master: master.into(),
    }
}

/// A child's word; it speaks for its own child too, unless it refuses or cannot be reached.
#[expect(clippy::panic_in_result_fn, reason = "a script that cannot be read fails the test")]
fn up(child: &str, word: &str) -> Result<Up, String> {
    let outcome = match word {
        "gone" => return Err("connection refused".to_owned()),
        "prepared" => Outcome::Prepared,
        "switched" => Outcome::Switched,
        "aborted" => Outcome::Aborted,
        "refused" => Outcome::Refused("no certificate".to_owned()),
        other => panic!("cannot read {other:?}"),
    };
    let mut list = vec![(NodeName::new(child), outcome.clone())];
    if child.len() == 1 && word != "refused" {
        list.push((NodeName::new(&format!("{child}1")), outcome));
    }
    Ok(Up::Outcomes(list))
}

fn print(action: &Action) -> String {
    match action {
        Action::Check(version) => format!("check {}", version.epoch),
        Action::Persist(ledger) => {
            let staged = ledger.staged.as_ref();
            let staged = staged.map_or("-".to_owned(), |staged| staged.version.epoch.to_string());
            format!("persist committed {}, staged {staged}", ledger.epoch())
        }
        Action::Switch(version) => format!("switch to {}", version.epoch),
        Action::Send { to, down, .. } => format!("send {} to {to}", print_down(down)),
        Action::Progress(news) => format!("progress {}", print_outcomes(news)),
        Action::Answer { up: Up::Outcomes(list), .. } => format!("answer {}", print_outcomes(list)),
        Action::Answer { up: Up::Current(version), .. } => {
            format!("answer current {:?}", version.as_ref().map(|version| version.epoch))
        }
        Action::CatchUp => "catch up".to_owned(),
    }
}

fn print_down(down: &Down) -> String {
    match down {
        Down::Prepare(version) => format!("prepare {}", version.epoch),
        Down::Commit { epoch, .. } => format!("commit {epoch}"),
        Down::Abort { epoch } => format!("abort {epoch}"),
        Down::Current => "current".to_owned(),
        Down::Newer(epoch) => format!("newer than {epoch}"),
    }
}

fn print_outcomes(list: &[(NodeName, Outcome)]) -> String {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Prepared => "prepared".to_owned(),
        Outcome::Switched => "switched".to_owned(),
        Outcome::Aborted => "aborted".to_owned(),
        Outcome::Refused(why) => format!("refused({why})"),
        Outcome::Unreachable(why) => format!("unreachable({why})"),
    };
    let words: Vec<String> =
        list.iter().map(|(node, outcome)| format!("{node}:{}", word(outcome))).collect();
    words.join(" ")
}
