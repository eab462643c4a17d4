//! Threads for what blocks: syncs, and deletions.
//!
//! A shard has at most one sync under way, so as many threads as shards mean that no sync waits
//! for another shard's; deletions have a thread of their own, because removing a large file may
//! take long and nobody waits for it. Both queues are bounded by what the machines ask for: one
//! sync for each shard, one removal for each segment that retention lets go.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use mainstem_node::{Event, SyncJob, SyncToken};
use mainstem_platform::Disk;
use parking_lot::Mutex;

use crate::ServerError;
use crate::shard::{Mail, Mailbox};

/// Stack of a thread that only calls the kernel.
const STACK_BYTES: usize = 256 * 1024;

enum Job {
    Sync { token: SyncToken, job: SyncJob, reply: Mailbox },
    Remove { paths: Vec<PathBuf> },
}

/// The sending side, one for each shard; the threads end when all of them are gone.
#[derive(Clone)]
pub(crate) struct DiskPool {
    syncs: Sender<Job>,
    removals: Sender<Job>,
}

/// The threads, to be joined at the end.
pub(crate) struct DiskThreads(Vec<JoinHandle<()>>);

impl DiskPool {
    pub(crate) fn start(
        disk: &Arc<dyn Disk>,
        sync_threads: u16,
    ) -> Result<(Self, DiskThreads), ServerError> {
        let (syncs, sync_jobs) = channel();
        let (removals, removal_jobs) = channel();
        let sync_jobs = Arc::new(Mutex::new(sync_jobs));
        let mut threads = Vec::new();
        for index in 0..sync_threads {
            threads.push(spawn(format!("sync-{index}"), disk.clone(), sync_jobs.clone())?);
        }
        let removal_jobs = Arc::new(Mutex::new(removal_jobs));
        threads.push(spawn("removal".into(), disk.clone(), removal_jobs)?);
        Ok((Self { syncs, removals }, DiskThreads(threads)))
    }

    /// Runs the job; the result comes to the mailbox as an event.
    pub(crate) fn sync(&self, token: SyncToken, job: SyncJob, reply: Mailbox) {
        // A pool that is gone means that the server has failed already.
        let _ = self.syncs.send(Job::Sync { token, job, reply });
    }

    pub(crate) fn remove(&self, paths: Vec<PathBuf>) {
        let _ = self.removals.send(Job::Remove { paths });
    }
}

impl DiskThreads {
    pub(crate) fn join(self) {
        for thread in self.0 {
            let _ = thread.join();
        }
    }
}

fn spawn(
    name: String,
    disk: Arc<dyn Disk>,
    jobs: Arc<Mutex<Receiver<Job>>>,
) -> Result<JoinHandle<()>, ServerError> {
    let what = name.clone();
    std::thread::Builder::new()
        .name(name)
        .stack_size(STACK_BYTES)
        .spawn(move || {
            loop {
                // The lock is held while waiting: whoever holds it takes the next job.
                let job = jobs.lock().recv();
                match job {
                    Ok(job) => run(disk.as_ref(), job),
                    Err(_) => return,
                }
            }
        })
        .map_err(|source| ServerError::Spawn { what, source })
}

fn run(disk: &dyn Disk, job: Job) {
    match job {
        Job::Sync { token, job, reply } => {
            let result = job.run(disk);
            reply.send(Mail::Event(Event::Synced { token, result }));
        }
        Job::Remove { paths } => {
            for path in paths {
                let removed = match disk.list(&path) {
                    Ok(_) => disk.remove_dir_all(&path),
                    Err(_) => disk.remove_file(&path),
                };
                match removed {
                    Ok(()) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => {
                        tracing::warn!(path = %path.display(), %error, "a file was not removed");
                    }
                }
            }
        }
    }
}
