//! The coordinators, driven by text scripts.
//!
//! A script is a conversation: lines that begin with `>` are what happens, the lines after them are
//! what the machine does about it. `#` begins a remark. The whole script is compared; with
//! `UPDATE_SCRIPTS=1` in the environment the answers are written anew, to be read in the diff.
//!
//! The commands are listed in `script/group.rs` and `script/transaction.rs`.

mod script;

use std::fs;
use std::path::{Path, PathBuf};

fn scripts(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(folder);
    let entries = fs::read_dir(&folder).expect("the folder of scripts is there");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scripts in {}", folder.display());
    paths
}

#[test]
fn groups_behave_as_written() {
    for path in scripts("group") {
        script::check(&path, &mut script::group::World::new());
    }
}

#[test]
fn consumer_groups_behave_as_written() {
    for path in scripts("consumer_group") {
        script::check(&path, &mut script::group::World::new());
    }
}

#[test]
fn transactions_behave_as_written() {
    for path in scripts("transaction") {
        script::check(&path, &mut script::transaction::World::new());
    }
}
