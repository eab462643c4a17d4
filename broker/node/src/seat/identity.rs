//! The log directories' own identity: whose they are, and how their last run ended.
//!
//! Files of every directory:
//! - `meta.properties`: `version=1`, `cluster.id`, `node.id`, `directory.id` as in Kafka, and `run`,
//!   the number of starts, which grows by one at every start before anything else is done. That of
//!   the first directory also names the others: `directory.<id>=<path>`.
//! - `clean-shutdown-<shard>`: the run that closed logs cleanly, then one folder per line.
//!
//! Invariants:
//! - A clean shutdown is believed only when it is of the directory's very last run. So the files
//!   need not be removed durably before logs are written again: the next start has another run
//!   number.
//! - A directory of another cluster or broker is not touched, and neither is any other directory
//!   then.
//! - A directory that was here before is here, wherever it is mounted now, or the broker does not
//!   start: its partitions would come back empty elsewhere. Who gives it up removes its line.
//! - One that is here and does not work is offline from the start, unless it is the first or a new
//!   one. Its run is not counted, so that it is as it was when it works again.

use crate::config::NodeConfig;
use crate::event::ShardIndex;
use crate::log_dirs::LogDirIndex;
use crate::node::NodeError;
use mainstem_platform::{Disk, OpenMode, Random, replace_file};
use mainstem_protocol::TopicId;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

const FILE: &str = "meta.properties";
const CLEAN_PREFIX: &str = "clean-shutdown-";
const DIRECTORY_PREFIX: &str = "directory.";
const DIRECTORY_ID: &str = "directory.id";
/// Far more than either file holds; bounds what a damaged directory can make us read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Who the directories belong to.
pub(crate) struct Identity {
    pub(crate) cluster_id: Arc<str>,
    /// This start, counted from 1. It is the leader epoch of the metadata log.
    pub(crate) run: i32,
    /// Whether the first directory was there before.
    pub(crate) is_new: bool,
    /// By directory: folders that its last run closed cleanly.
    pub(crate) closed_cleanly: Arc<Vec<BTreeSet<String>>>,
    /// Directories that are known and do not work, and why.
    pub(crate) offline: Vec<(LogDirIndex, String)>,
}

/// What is known of one directory before it is written to.
struct Found<'a> {
    path: &'a Path,
    /// `None` for a new one, and for one that cannot be read.
    stored: Option<Stored>,
    /// Why it does not work.
    fault: Option<String>,
}

struct Stored {
    cluster_id: String,
    directory_id: Option<String>,
    run: i32,
    /// Only in the first directory: ids and paths of the others.
    others: BTreeMap<String, String>,
}

impl Identity {
    /// Reads the identities, or makes them for new directories, and counts this run.
    pub(crate) fn open(
        disk: &dyn Disk,
        config: &NodeConfig,
        random: &mut dyn Random,
    ) -> Result<Identity, NodeError> {
        let mut found = Vec::new();
        for path in config.log_dirs() {
            found.push(look(disk, path, config)?);
        }
        if let Some(fault) = &found[0].fault {
            return refuse(fault.clone());
        }
        if found[0].stored.is_none() {
            forget_unbegun(disk, &mut found)?;
        }
        refuse_strangers(&found)?;
        refuse_missing(&found)?;
        let (cluster_id, last_run) = match &found[0].stored {
            None => (config.cluster_id.clone().unwrap_or_else(|| new_id(random)), 0),
            Some(stored) => (stored.cluster_id.clone(), stored.run),
        };
        let run = last_run + 1;
        let ids: Vec<String> = (0..found.len())
            .map(|place| known_id(&found, place).unwrap_or_else(|| new_id(random)))
            .collect();
        let mut closed = vec![BTreeSet::new(); found.len()];
        let mut offline = Vec::new();
        // The first one last: it names only directories that have their name.
        for place in (0..found.len()).rev() {
            if place == 0 {
                offline = offline_ones(&found)?;
            }
            if found[place].fault.is_some() {
                continue;
            }
            let path = found[place].path;
            let mut text = format!(
                "version=1\ncluster.id={cluster_id}\nnode.id={}\ndirectory.id={}\nrun={run}\n",
                config.node_id, ids[place]
            );
            let others = found.iter().zip(&ids).skip(1).filter(|_| place == 0);
            for (other, id) in others {
                text.push_str(&format!("{DIRECTORY_PREFIX}{id}={}\n", other.path.display()));
            }
            let last_run = found[place].stored.as_ref().map_or(0, |stored| stored.run);
            match begin_run(disk, path, last_run, &text) {
                Ok(folders) => closed[place] = folders,
                Err(fault) if place == 0 => return refuse(fault),
                Err(fault) => found[place].fault = Some(fault),
            }
        }
        Ok(Identity {
            cluster_id: cluster_id.into(),
            run,
            is_new: found[0].stored.is_none(),
            closed_cleanly: Arc::new(closed),
            offline,
        })
    }
}

/// The first start of all gives the first directory its name last. Where that start was cut short,
/// the others hold theirs and nothing else: they are as good as new.
fn forget_unbegun(disk: &dyn Disk, found: &mut [Found<'_>]) -> Result<(), NodeError> {
    for Found { path, stored, .. } in found {
        if stored.as_ref().is_none_or(|stored| 1 < stored.run) {
            continue;
        }
        let entries = match disk.list(path) {
            Ok(entries) => entries,
            Err(error) => return refuse(format!("list {}: {error}", path.display())),
        };
        if entries.iter().all(|entry| !entry.is_dir && entry.name.starts_with(FILE)) {
            *stored = None;
        }
    }
    Ok(())
}

/// The id that a directory has had before.
fn known_id(found: &[Found<'_>], place: usize) -> Option<String> {
    let own = found[place].stored.as_ref().and_then(|stored| stored.directory_id.clone());
    own.or_else(|| {
        // One that cannot be read is known by its path.
        let path = found[place].path.display().to_string();
        let first = found[0].stored.as_ref().filter(|_| found[place].fault.is_some())?;
        let other = first.others.iter().find(|(_, at)| **at == path);
        other.map(|(id, _)| id.clone())
    })
}

/// Makes a directory ready for a run, and says what its last run closed cleanly.
fn begin_run(
    disk: &dyn Disk,
    path: &Path,
    last_run: i32,
    text: &str,
) -> Result<BTreeSet<String>, String> {
    let failed = |action: &'static str| {
        move |error: io::Error| format!("{action} {}: {error}", path.display())
    };
    make_dir(disk, path).map_err(failed("create"))?;
    let folders = closed_cleanly(disk, path, last_run).map_err(failed("list"))?;
    replace_file(disk, &path.join(FILE), text.as_bytes())
        .map_err(failed("write meta.properties of"))?;
    Ok(folders)
}

/// Directories that were there before and do not work. A new one must work.
fn offline_ones(found: &[Found<'_>]) -> Result<Vec<(LogDirIndex, String)>, NodeError> {
    let mut offline = Vec::new();
    for (place, directory) in found.iter().enumerate() {
        let Some(fault) = &directory.fault else { continue };
        if known_id(found, place).is_none() {
            return refuse(fault.clone());
        }
        offline.push((LogDirIndex(place as u16), fault.clone()));
    }
    Ok(offline)
}

fn refuse<T>(why: String) -> Result<T, NodeError> {
    Err(NodeError::LogDir(why))
}

/// All directories must be of one cluster, and each must be itself.
fn refuse_strangers(found: &[Found<'_>]) -> Result<(), NodeError> {
    let first = &found[0];
    let mut ids: BTreeMap<&str, &Path> = BTreeMap::new();
    for Found { path, stored, .. } in found {
        let Some(stored) = stored else { continue };
        let dir = path.display();
        let Some(of_first) = &first.stored else {
            let first = first.path.display();
            return refuse(format!(
                "{dir} was used before, and {first}, which shall hold its metadata, is new"
            ));
        };
        if stored.cluster_id != of_first.cluster_id {
            return refuse(format!(
                "{dir}/{FILE}: belongs to cluster {}, {} to {}",
                stored.cluster_id,
                first.path.display(),
                of_first.cluster_id
            ));
        }
        let Some(id) = &stored.directory_id else { continue };
        if let Some(other) = ids.insert(id, path) {
            return refuse(format!(
                "{} and {dir} both are directory {id}: one is the other under a second name, or a \
                 copy of it",
                other.display()
            ));
        }
    }
    Ok(())
}

/// Directories that hold partitions must be here.
fn refuse_missing(found: &[Found<'_>]) -> Result<(), NodeError> {
    let Some(first) = &found[0].stored else { return Ok(()) };
    let known: Vec<Option<String>> = (0..found.len()).map(|place| known_id(found, place)).collect();
    let here = |id: &String| known.iter().flatten().any(|known| known == id);
    match first.others.iter().find(|(id, _)| !here(id)) {
        None => Ok(()),
        Some((id, path)) => refuse(format!(
            "log directory {path} ({id}) is missing: it is not in log.dirs, not mounted or empty. To \
             give its partitions up, remove {DIRECTORY_PREFIX}{id} from {}/{FILE}",
            found[0].path.display()
        )),
    }
}

/// Writes down which folders of a directory a shard has closed cleanly in this run.
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

fn new_id(random: &mut dyn Random) -> String {
    loop {
        let bits = (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64());
        let id = TopicId(bits.to_be_bytes()).to_string();
        // Ids with a leading dash confuse command lines, as Kafka found.
        if !id.starts_with('-') {
            return id;
        }
    }
}

fn parse(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(k, v)| (k.trim(), v.trim())).collect()
}

/// What is stored in a directory, which must be ours or new.
fn look<'a>(disk: &dyn Disk, path: &'a Path, config: &NodeConfig) -> Result<Found<'a>, NodeError> {
    match read(disk, &path.join(FILE)) {
        Ok(text) => {
            let stored = text.map(|text| agree(&parse(&text), path, config)).transpose()?;
            Ok(Found { path, stored, fault: None })
        }
        Err(error) => {
            let fault = format!("read meta.properties of {}: {error}", path.display());
            Ok(Found { path, stored: None, fault: Some(fault) })
        }
    }
}

fn agree(
    properties: &BTreeMap<&str, &str>,
    dir: &Path,
    config: &NodeConfig,
) -> Result<Stored, NodeError> {
    let refuse = |why: String| refuse(format!("{}/{FILE}: {why}", dir.display()));
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
    let Some(run) = properties.get("run").and_then(|run| run.parse().ok()) else {
        return refuse("does not count its runs".to_owned());
    };
    let others = properties.iter().filter(|(key, _)| **key != DIRECTORY_ID);
    let others = others.filter_map(|(key, path)| {
        key.strip_prefix(DIRECTORY_PREFIX).map(|id| (id.to_owned(), (*path).to_owned()))
    });
    Ok(Stored {
        cluster_id: (*cluster_id).to_owned(),
        directory_id: properties.get(DIRECTORY_ID).map(|id| (*id).to_owned()),
        run,
        others: others.collect(),
    })
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
