//! The simulated disk's directory tree: names as a process sees them, names that would survive.
//!
//! Invariants:
//! - `durable` plus all of `pending`, in order, gives `seen`.
//! - `sync_dir(d)` makes every pending change that touches a name in `d` durable and leaves the others
//!   pending; nothing else shortens `pending` but a crash.
//! - After a crash both maps are equal and no entry stands in a missing directory.
//!
//! Keys are whole paths. The root (any path without a parent name) always exists.

use super::file::Inode;
use super::lock;
use crate::disk::Entry;
use crate::random::{Random, SeededRandom};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What a name stands for.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Dir,
    File(Arc<Mutex<Inode>>),
}

type Tree = BTreeMap<PathBuf, Node>;

#[derive(Debug, Clone)]
enum Change {
    Link(PathBuf, Node),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Change {
    fn touches(&self, dir: &Path) -> bool {
        match self {
            Self::Link(path, _) | Self::Unlink(path) => path.parent() == Some(dir),
            Self::Rename(from, to) => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }

    fn apply(&self, tree: &mut Tree) {
        match self {
            Self::Link(path, node) => {
                tree.insert(path.clone(), node.clone());
            }
            Self::Unlink(path) => {
                tree.retain(|name, _| !name.starts_with(path));
            }
            Self::Rename(from, to) => rename_in(tree, from, to),
        }
    }
}

/// Moves a name and, for a directory, all names below it.
fn rename_in(tree: &mut Tree, from: &Path, to: &Path) {
    let below: Vec<PathBuf> = tree
        .range(from.to_owned()..)
        .map(|(name, _)| name)
        .filter(|n| n.starts_with(from))
        .cloned()
        .collect();
    for name in below {
        let Some(node) = tree.remove(&name) else { continue };
        let target = match name.strip_prefix(from) {
            Ok(rest) if !rest.as_os_str().is_empty() => to.join(rest),
            _ => to.to_owned(),
        };
        tree.insert(target, node);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Names {
    seen: Tree,
    durable: Tree,
    pending: Vec<Change>,
}

impl Names {
    pub(crate) fn get(&self, path: &Path) -> Option<Node> {
        if is_root(path) { Some(Node::Dir) } else { self.seen.get(path).cloned() }
    }

    pub(crate) fn file(&self, path: &Path) -> io::Result<Arc<Mutex<Inode>>> {
        match self.get(path) {
            Some(Node::File(inode)) => Ok(inode),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(crate) fn files(&self) -> Vec<(PathBuf, Arc<Mutex<Inode>>)> {
        self.seen
            .iter()
            .filter_map(|(path, node)| match node {
                Node::File(inode) => Some((path.clone(), inode.clone())),
                Node::Dir => None,
            })
            .collect()
    }

    pub(crate) fn require_dir(&self, dir: &Path) -> io::Result<()> {
        match self.get(dir) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(crate) fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.require_dir(dir)?;
        let mut entries = Vec::new();
        for (path, node) in self.seen.range(dir.to_owned()..) {
            if !path.starts_with(dir) {
                break;
            }
            if path.parent() != Some(dir) {
                continue;
            }
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let (is_dir, len) = match node {
                Node::Dir => (true, 0),
                Node::File(inode) => (false, lock(inode).bytes().len() as u64),
            };
            entries.push(Entry { name: name.to_owned(), is_dir, len });
        }
        entries.sort();
        Ok(entries)
    }

    pub(crate) fn link(&mut self, path: &Path, node: Node) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            self.require_dir(parent)?;
        }
        self.change(Change::Link(path.to_owned(), node));
        Ok(())
    }

    pub(crate) fn unlink(&mut self, path: &Path) {
        self.change(Change::Unlink(path.to_owned()));
    }

    pub(crate) fn create_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut at = dir;
        loop {
            match self.get(at) {
                Some(Node::Dir) => break,
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => missing.push(at.to_owned()),
            }
            match at.parent() {
                Some(parent) => at = parent,
                None => break,
            }
        }
        for path in missing.into_iter().rev() {
            self.change(Change::Link(path, Node::Dir));
        }
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.get(from).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        if let Some(parent) = to.parent() {
            self.require_dir(parent)?;
        }
        if matches!(self.get(to), Some(Node::Dir)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    pub(crate) fn remove_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        self.require_dir(dir)?;
        self.unlink(dir);
        Ok(())
    }

    pub(crate) fn sync_dir(&mut self, dir: &Path) {
        let (now, later) =
            std::mem::take(&mut self.pending).into_iter().partition(|c| c.touches(dir));
        self.pending = later;
        for change in Vec::from_iter::<Vec<Change>>(now) {
            change.apply(&mut self.durable);
        }
    }

    pub(crate) fn crash(&mut self, random: &mut SeededRandom) {
        let pending = std::mem::take(&mut self.pending);
        let kept = random.below(pending.len() as u64 + 1) as usize;
        for change in &pending[..kept] {
            change.apply(&mut self.durable);
        }
        let all = self.durable.clone();
        self.durable.retain(|path, _| {
            path.ancestors().skip(1).all(|at| is_root(at) || all.contains_key(at))
        });
        self.seen = self.durable.clone();
        for (_, inode) in self.files() {
            lock(&inode).crash(random);
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }
}

fn is_root(path: &Path) -> bool {
    path.file_name().is_none()
}
