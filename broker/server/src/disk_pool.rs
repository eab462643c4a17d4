//! Threads for what blocks: syncs, compactions, copies between log directories, and deletions.
//!
//! A shard has at most one sync of each log directory under way, and several threads take its
//! partitions in turns: a file system joins syncs that wait at the same time, while one after the other
//! each pays for a journal commit of its own. Compactions share one thread, so that they never take
//! more than a core from those who wait for answers; so do copies. Deletions have a thread of their
//! own, because removing a large file may take long and nobody waits for it. All queues are bounded by
//! what the machines ask for: one sync for each shard and directory, one step of a compaction for each
//! shard, one copy for each partition that moves, one removal for each segment that is let go.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use mainstem_node::{CompactionToken, CopyJob, CopyToken, Event, SyncJob, SyncToken};
use mainstem_platform::Disk;
use mainstem_storage::CompactionTask;
use parking_lot::Mutex;

use crate::ServerError;
use crate::shard::{Mail, Mailbox};

/// Stack of a thread that calls the kernel, and decompresses batches at the most.
const STACK_BYTES: usize = 512 * 1024;
/// How many threads take part in one sync.
const THREADS_PER_SYNC: usize = 4;
/// More threads, but one for each shard, would only wait for the same few disks.
const SYNC_THREADS_MAX: usize = 64;

enum Job {
    Sync(Arc<SharedSync>),
    Compact { token: CompactionToken, task: Box<CompactionTask>, reply: Mailbox },
    Copy { token: CopyToken, job: CopyJob, reply: Mailbox },
    Remove { paths: Vec<PathBuf> },
}

/// A sync that several threads carry out. Each takes the next partition that nobody has taken; the
/// one that ends the last of them answers.
struct SharedSync {
    token: SyncToken,
    job: SyncJob,
    taken: AtomicUsize,
    ended: AtomicUsize,
    /// The first error: the whole sync has failed, what is not taken yet is left alone.
    error: Mutex<Option<String>>,
    reply: Mailbox,
}

impl SharedSync {
    fn take_part(&self, disk: &dyn Disk) {
        let tasks = &self.job.tasks;
        while let Some(task) = tasks.get(self.taken.fetch_add(1, Ordering::Relaxed)) {
            let has_failed = self.error.lock().is_some();
            if !has_failed && let Err(error) = SyncJob::run_task(task, disk) {
                self.error.lock().get_or_insert(error);
            }
            // Whoever counts last has seen all errors, and all files synced before its answer.
            if self.ended.fetch_add(1, Ordering::AcqRel) + 1 == tasks.len() {
                let result = self.error.lock().take().map_or(Ok(()), Err);
                self.reply.send(Mail::Event(Event::Synced { token: self.token, result }));
            }
        }
    }
}

/// The sending side, one for each shard; the threads end when all of them are gone.
#[derive(Clone)]
pub(crate) struct DiskPool {
    syncs: Sender<Job>,
    compactions: Sender<Job>,
    removals: Sender<Job>,
    copies: Sender<Job>,
}

/// The threads, to be joined at the end.
pub(crate) struct DiskThreads(Vec<JoinHandle<()>>);

impl DiskPool {
    pub(crate) fn start(
        disk: &Arc<dyn Disk>,
        shards: u16,
        log_dirs: usize,
    ) -> Result<(Self, DiskThreads), ServerError> {
        let (syncs, sync_jobs) = channel();
        let (compactions, compaction_jobs) = channel();
        let (removals, removal_jobs) = channel();
        let (copies, copy_jobs) = channel();
        let sync_jobs = Arc::new(Mutex::new(sync_jobs));
        let mut threads = Vec::new();
        let shards = usize::from(shards);
        let sync_threads = shards * log_dirs * THREADS_PER_SYNC;
        for index in 0..sync_threads.min(SYNC_THREADS_MAX).max(shards) {
            threads.push(spawn(format!("sync-{index}"), disk.clone(), sync_jobs.clone())?);
        }
        let others =
            [("compaction", compaction_jobs), ("removal", removal_jobs), ("copy", copy_jobs)];
        for (name, jobs) in others {
            threads.push(spawn(name.into(), disk.clone(), Arc::new(Mutex::new(jobs)))?);
        }
        Ok((Self { syncs, compactions, removals, copies }, DiskThreads(threads)))
    }

    /// Runs the job; the result comes to the mailbox as an event.
    pub(crate) fn sync(&self, token: SyncToken, job: SyncJob, reply: Mailbox) {
        if job.tasks.is_empty() {
            reply.send(Mail::Event(Event::Synced { token, result: Ok(()) }));
            return;
        }
        let threads = job.tasks.len().min(THREADS_PER_SYNC);
        let (taken, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let sync = SharedSync { token, job, taken, ended, error: Mutex::new(None), reply };
        let sync = Arc::new(sync);
        for _ in 0..threads {
            // A pool that is gone means that the server has failed already.
            let _ = self.syncs.send(Job::Sync(Arc::clone(&sync)));
        }
    }

    /// Does a step of a compaction; the task comes to the mailbox as an event.
    pub(crate) fn compact(
        &self,
        token: CompactionToken,
        task: Box<CompactionTask>,
        reply: Mailbox,
    ) {
        let _ = self.compactions.send(Job::Compact { token, task, reply });
    }

    /// Runs the job; the result comes to the mailbox as an event.
    pub(crate) fn copy(&self, token: CopyToken, job: CopyJob, reply: Mailbox) {
        let _ = self.copies.send(Job::Copy { token, job, reply });
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
        Job::Sync(sync) => sync.take_part(disk),
        Job::Compact { token, mut task, reply } => {
            let result = task.step(disk);
            reply.send(Mail::Event(Event::Compacted { token, task, result }));
        }
        Job::Copy { token, job, reply } => {
            let result = job.run(disk);
            reply.send(Mail::Event(Event::Copied { token, result }));
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
