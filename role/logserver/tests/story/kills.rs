//! Whoever is killed in between, counters stay exact.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use popnet_runtime::ship::{Locate, Shipper};
use popnet_terms::Role;
use popnet_wire::asking::{Answer, RecordKind, Scope, What};
use popnet_wire::control::Ask;

use crate::lab::{EDGE, Lab, access, until};

const FOLDER: &str = "POPNET_TEST_LOGSERVER";

/// Not a test of its own: the log server's process for the stories below, which start this binary
/// again with a folder in the environment. It ends with the process that started it.
#[test]
fn log_server_process() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Lab::at(Path::new(&folder)).server().await;
        let mut line = String::new();
        let _ = tokio::task::spawn_blocking(move || std::io::stdin().read_line(&mut line)).await;
        server.stop().await;
    });
}

/// Not a test of its own: a sender that counts as fast as it can until it is killed.
#[test]
fn sender_process() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let lab = Lab::at(Path::new(&folder));
    let shipper = lab.shipper(lab.locate());
    let parent = std::thread::spawn(|| std::io::stdin().read_line(&mut String::new()));
    let mut n = 0;
    while !parent.is_finished() {
        n += 1;
        shipper.count(&"acme".into(), &"www.acme.test".into(), |counter| counter.requests += 1);
        shipper.record(&"acme".into(), access(n));
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// This binary again as a process of its own, for one role; killed when dropped.
struct Process(Child);

impl Process {
    fn start(lab: &Lab, role: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("kills::{role}_process"), "--test-threads=1"])
            .env(FOLDER, &lab.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL on Unix.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_while_the_log_server_is_killed_again_and_again() {
    let lab = Lab::new();
    let shipper = lab.shipper(lab.locate());
    let (acme, site) = (Arc::new("acme".into()), Arc::new("www.acme.test".into()));
    let workers: Vec<_> = (0..4u64)
        .map(|worker| {
            let (shipper, acme, site) = (shipper.clone(), Arc::clone(&acme), Arc::clone(&site));
            std::thread::spawn(move || {
                for n in 0..2_500u64 {
                    shipper.count(&acme, &site, |counter| {
                        counter.requests += 1;
                        counter.bytes_out += worker * 10_000 + n;
                        counter.status[1] += 1;
                    });
                    shipper.record(&acme, access(i64::try_from(worker * 2_500 + n).unwrap()));
                    if n % 25 == 0 {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            })
        })
        .collect();
    for _ in 0..4 {
        let server = Process::start(&lab, "log_server");
        tokio::time::sleep(Duration::from_millis(550)).await;
        drop(server);
    }
    let _server = Process::start(&lab, "log_server");
    for worker in workers {
        worker.join().unwrap();
    }
    shipper.drain(Duration::from_secs(20)).await;
    let statistics = shipper.statistics();
    assert_eq!((statistics.spooled_batches, statistics.dropped), (0, 0), "{statistics:?}");

    let bytes: u64 = (0..4u64).map(|w| (0..2_500).map(|n| w * 10_000 + n).sum::<u64>()).sum();
    assert_eq!(lab.sums("acme").await, (10_000, bytes));
    let arrivals = lab.arrivals().await;
    assert_eq!((arrivals.len(), arrivals[0].missing), (1, 0), "{arrivals:?}");

    // The raw files hold every batch; one twice only where a kill fell between its two writes.
    let mut numbers = lab.raw_numbers("acme");
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (1..=arrivals[0].last_seq).collect::<Vec<_>>());

    let newest = What::Records { kind: RecordKind::Access, site: None, before: None, limit: 5_000 };
    let Answer::Records(records) = lab.question(Scope::Customer("acme".into()), newest).await
    else {
        panic!("records answer records")
    };
    assert_eq!(records.len(), 1_000, "the limit of an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_server_that_is_back_is_found_without_waiting_for_silence() {
    let lab = Lab::new();
    let (acme, site) = ("acme".into(), "www.acme.test".into());
    let shipper = lab.shipper(lab.locate());
    let count = || shipper.count(&acme, &site, |counter| counter.requests += 1);
    let ready = async || lab.try_ask(&Ask::RoleStatus).await.is_some();
    let sums = async |expected| ready().await && lab.sums("acme").await.0 == expected;

    let first = Process::start(&lab, "log_server");
    count();
    until(Duration::from_secs(10), "stored", async || sums(1).await).await;
    drop(first);
    let _second = Process::start(&lab, "log_server");
    until(Duration::from_secs(10), "back", ready).await;
    // The sender holds a connection that only the first knew.
    let start = Instant::now();
    count();
    until(Duration::from_millis(1_500), "stored anew", async || sums(2).await).await;
    println!("stored {:?} after the first record", start.elapsed());
    shipper.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_ends_and_starts_again_goes_on_where_it_was() {
    let lab = Lab::new();
    let (acme, site) = ("acme".into(), "www.acme.test".into());
    let count = |shipper: &Shipper, requests: u64| {
        shipper.count(&acme, &site, |counter| counter.requests += requests);
    };
    // Nobody knows a log server; the process ends without a drain.
    for requests in [1, 10] {
        let shipper = lab.shipper(Arc::new(|_| Box::pin(async { None })));
        count(&shipper, requests);
        drop(shipper);
        let files = || std::fs::read_dir(lab.spool("acme")).map_or(0, Iterator::count);
        let expected = if requests == 1 { 1 } else { 2 };
        until(Duration::from_secs(5), "in the spool", async || files() == expected).await;
    }
    let server = lab.server().await;
    let shipper = lab.shipper(lab.locate());
    until(Duration::from_secs(5), "the spool goes out", async || {
        shipper.statistics().spooled_batches == 0
    })
    .await;
    assert_eq!(lab.sums("acme").await.0, 11);

    // Fresh: from the request to the customer's page within a second.
    let start = Instant::now();
    count(&shipper, 100);
    until(Duration::from_secs(1), "visible", async || lab.sums("acme").await.0 == 111).await;
    println!("visible after {:?}", start.elapsed());
    shipper.drain(Duration::from_secs(5)).await;

    // The node's disk is replaced: it numbers from 1 again, and nothing is lost or mistaken.
    std::fs::remove_dir_all(lab.spool("acme")).unwrap();
    let shipper = lab.shipper(lab.locate());
    count(&shipper, 1_000);
    shipper.drain(Duration::from_secs(5)).await;
    assert_eq!(lab.sums("acme").await.0, 1_111);
    assert_eq!(lab.dropped("number taken").await, 1);
    let arrivals = lab.arrivals().await;
    assert_eq!((arrivals[0].last_seq, arrivals[0].missing), (4, 0), "{arrivals:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_wait_in_memory_while_the_spool_cannot_be_written() {
    let lab = Lab::new();
    let server = lab.server().await;
    std::fs::create_dir_all(lab.spool("")).unwrap();
    std::fs::write(lab.spool("acme"), "in the way").unwrap();
    let shipper = lab.shipper(lab.locate());
    let (acme, site) = ("acme".into(), "www.acme.test".into());
    shipper.count(&acme, &site, |counter| counter.requests += 7);
    shipper.record(&acme, access(1));
    until(Duration::from_secs(5), "given up", async || shipper.statistics().dropped == 1).await;
    std::fs::remove_file(lab.spool("acme")).unwrap();
    until(Duration::from_secs(5), "counted", async || lab.sums("acme").await.0 == 7).await;
    assert_eq!(lab.arrivals().await[0].dropped, 1, "the log server knows of the lost detail");
    shipper.drain(Duration::from_secs(5)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_gives_up_details_and_keeps_counters() {
    let lab = Lab::new();
    let server = lab.server().await;
    let reachable = Arc::new(AtomicBool::new(false));
    let (place, open) = (lab.locate(), Arc::clone(&reachable));
    let locate: Locate = Arc::new(move |customer| {
        let found = open.load(Ordering::Relaxed).then(|| place(customer));
        Box::pin(async move {
            match found {
                Some(found) => found.await,
                None => None,
            }
        })
    });
    let context = lab.context(EDGE);
    let most = 6_000;
    let shipper = Shipper::start(&context, Role::Webcache, "fra1".into(), locate, most).unwrap();
    for round in 0..4u64 {
        for customer in ["acme", "globex"] {
            for n in 0..1_500 {
                let (customer, site) = (customer.into(), format!("s{}.test", n % 3));
                shipper.count(&customer, &(&*site).into(), |counter| counter.requests += 1);
                shipper.record(&customer, access(n));
            }
        }
        let closed = 2 * (round + 1);
        until(Duration::from_secs(5), "closed", async || {
            shipper.statistics().spooled_batches >= closed
        })
        .await;
    }
    until(Duration::from_secs(5), "shed", async || shipper.statistics().spooled_bytes <= most)
        .await;
    let dropped = shipper.statistics().dropped;
    assert!(dropped > 3_000, "{dropped}");
    reachable.store(true, Ordering::Relaxed);
    shipper.drain(Duration::from_secs(10)).await;
    assert_eq!((lab.sums("acme").await.0, lab.sums("globex").await.0), (6_000, 6_000));
    let told: u64 = lab.arrivals().await.iter().map(|arrival| arrival.dropped).sum();
    assert_eq!(told, dropped, "the log server knows how many details are lost");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sender_loses_nothing_that_was_spooled() {
    let lab = Lab::new();
    let server = lab.server().await;
    for _ in 0..3 {
        let sender = Process::start(&lab, "sender");
        tokio::time::sleep(Duration::from_millis(900)).await;
        drop(sender);
    }
    // What was on its way when the sender died is stored within moments.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut batches: BTreeMap<u64, u64> = BTreeMap::new();
    let mut note = |packed: &[u8]| {
        let batch = popnet_runtime::ship::unpack(packed).unwrap();
        batches.insert(batch.id.seq, batch.counters.iter().map(|c| c.requests).sum());
    };
    for entry in std::fs::read_dir(lab.spool("acme")).unwrap() {
        let octets = std::fs::read(entry.unwrap().path()).unwrap();
        if let Some((_, packed)) = popnet_runtime::ship::unseal(&octets) {
            note(packed);
        }
    }
    lab.raw_entries("acme").iter().for_each(|packed| note(packed));
    assert!(batches.len() > 4, "{batches:?}");

    let shipper = lab.shipper(lab.locate());
    shipper.drain(Duration::from_secs(5)).await;
    assert_eq!(shipper.statistics().spooled_batches, 0);
    assert_eq!(lab.sums("acme").await.0, batches.values().sum::<u64>());
    let arrivals = lab.arrivals().await;
    assert_eq!(
        (arrivals[0].missing, Some(arrivals[0].last_seq)),
        (0, batches.keys().max().copied())
    );
    server.stop().await;
}
