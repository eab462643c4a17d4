//! The log directory's own identity: whose it is, and how its last run ended.
//!
//! Files:
//! - `meta.properties`: `version=1`, `cluster.id`, `node.id` as in Kafka, and `run`, the number of
//!   starts of this directory, which grows by one at every start before anything else is done.
//! - `clean-shutdown-<shard>`: the run that closed logs cleanly, then one folder per line.
//!
//! Invariants:
//! - A clean shutdown is believed only when it is of the very last run. So the files need not be
//!   removed durably before logs are written again: the next start has another run number.
//! - A directory of another cluster or broker is not touched.

use crate::config::NodeConfig;
use crate::event::ShardIndex;
use crate::node::NodeError;
use mainstem_platform::{Disk, OpenMode, Random, replace_file};
use mainstem_protocol::TopicId;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

const FILE: &str = "meta.properties";
const CLEAN_PREFIX: &str = "clean-shutdown-";
/// Far more than either file holds; bounds what a damaged directory can make us read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Who the directory belongs to.
pub(crate) struct Identity {
    pub(crate) cluster_id: Arc<str>,
    /// This start, counted from 1. It is the leader epoch of the metadata log.
    pub(crate) run: i32,
    /// Whether the directory was there before.
    pub(crate) is_new: bool,
    /// Folders that the last run closed cleanly.
    pub(crate) closed_cleanly: Arc<BTreeSet<String>>,
}

impl Identity {
    /// Reads the identity, or makes one for a new directory, and counts this run.
    pub(crate) fn open(
        disk: &dyn Disk,
        config: &NodeConfig,
        random: &mut dyn Random,
    ) -> Result<Identity, NodeError> {
        let dir = &config.log_dir;
        let failed = |action: &str, error: io::Error| {
            NodeError::LogDir(format!("{action} {}: {error}", dir.display()))
        };
        make_dir(disk, dir).map_err(|error| failed("create", error))?;
        let path = dir.join(FILE);
        let stored = read(disk, &path).map_err(|error| failed("read meta.properties of", error))?;
        let stored = stored.as_deref().map(parse);
        let (cluster_id, last_run) = match &stored {
            None => (config.cluster_id.clone().unwrap_or_else(|| new_cluster_id(random)), 0),
            Some(properties) => agree(properties, config)?,
        };
        let closed_cleanly =
            closed_cleanly(disk, dir, last_run).map_err(|error| failed("list", error))?;
        let run = last_run + 1;
        let text =
            format!("version=1\ncluster.id={cluster_id}\nnode.id={}\nrun={run}\n", config.node_id);
        replace_file(disk, &path, text.as_bytes())
            .map_err(|error| failed("write meta.properties of", error))?;
        Ok(Identity {
            cluster_id: cluster_id.into(),
            run,
            is_new: stored.is_none(),
            closed_cleanly: Arc::new(closed_cleanly),
        })
    }
}

/// Writes down which folders a shard has closed cleanly in this run.
pub(crate) fn write_clean_shutdown(
    disk: &dyn Disk,
    log_dir: &Path,
    shard: ShardIndex,
    run: i32,
    folders: &[String],
) -> io::Result<()> {
    let text = format!("run={run}\n{}\n", folders.join("\n"));
    replace_file(disk, &log_dir.join(format!("{CLEAN_PREFIX}{}", shard.0)), text.as_bytes())
}

/// Makes the directory, and its name durable: what is synced in it would be lost with it.
fn make_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    if disk.exists(dir)? {
        return Ok(());
    }
    disk.create_dir_all(dir)?;
    let parents = dir.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
    for parent in parents {
        disk.sync_dir(parent)?;
    }
    Ok(())
}

fn new_cluster_id(random: &mut dyn Random) -> String {
    let bits = (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64());
    TopicId(bits.to_be_bytes()).to_string()
}

fn parse(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(k, v)| (k.trim(), v.trim())).collect()
}

/// The stored cluster id and run, if the directory is ours.
fn agree(
    properties: &BTreeMap<&str, &str>,
    config: &NodeConfig,
) -> Result<(String, i32), NodeError> {
    let dir = config.log_dir.display();
    let refuse = |why: String| Err(NodeError::LogDir(format!("{dir}/{FILE}: {why}")));
    let Some(cluster_id) = properties.get("cluster.id") else {
        return refuse("has no cluster.id".to_owned());
    };
    if let Some(wanted) = config.cluster_id.as_ref().filter(|wanted| wanted != cluster_id) {
        return refuse(format!("belongs to cluster {cluster_id}, the settings say {wanted}"));
    }
    let node_id = config.node_id.to_string();
    match properties.get("node.id") {
        Some(stored) if *stored == node_id => {}
        stored => {
            let stored = stored.unwrap_or(&"none");
            return refuse(format!("belongs to node.id {stored}, the settings say {node_id}"));
        }
    }
    let run = properties.get("run").and_then(|run| run.parse().ok());
    match run {
        Some(run) => Ok(((*cluster_id).to_owned(), run)),
        None => refuse("does not count its runs".to_owned()),
    }
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<String>> {
    if !disk.exists(path)? {
        return Ok(None);
    }
    let file = disk.open(path, OpenMode::Read)?;
    let mut bytes = vec![0_u8; file.len()?.min(FILE_BYTES_MAX) as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn closed_cleanly(disk: &dyn Disk, dir: &Path, last_run: i32) -> io::Result<BTreeSet<String>> {
    let mut folders = BTreeSet::new();
    for entry in disk.list(dir)? {
        if entry.is_dir || !entry.name.starts_with(CLEAN_PREFIX) {
            continue;
        }
        let text = read(disk, &dir.join(&entry.name))?.unwrap_or_default();
        let mut lines = text.lines();
        if lines.next() == Some(&format!("run={last_run}")) {
            folders.extend(lines.map(str::to_owned));
        }
    }
    Ok(folders)
}
