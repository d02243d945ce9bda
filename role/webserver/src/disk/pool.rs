//! A few threads for reads, with a bounded queue: a slow disk costs no more than these.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// Reads at once. A disk with queues works on about as many at a time.
const THREADS: usize = 8;

/// Reads that may wait; beyond it the disk is not keeping up and a read fails at once.
const WAITING_MAX: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;

/// The threads; they end when the pool is dropped.
#[derive(Debug)]
pub(super) struct Pool {
    queue: SyncSender<Job>,
}

impl Pool {
    pub(super) fn start() -> io::Result<Self> {
        let (queue, jobs) = sync_channel(WAITING_MAX);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..THREADS {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new().name(format!("disk-read-{number}")).spawn(move || {
                while let Some(job) = next(&jobs) {
                    job();
                }
            })?;
        }
        Ok(Self { queue })
    }

    /// Does `work` on one of the threads.
    pub(super) async fn run<T, F>(&self, work: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> io::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody waits any more when the client has gone.
            let _ = reply.send(work());
        });
        let busy = || io::Error::new(io::ErrorKind::WouldBlock, "too many reads are waiting");
        self.queue.try_send(job).map_err(|_| busy())?;
        answer.await.unwrap_or_else(|_| Err(busy()))
    }
}

fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
