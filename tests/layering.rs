//! Who may see whom. THINK HARD BEFORE CHANGING THE TABLES IN THIS FILE: a new edge is a change of the architecture and
//! needs its reason in docs/architecture.md.
//!
//! Every `Cargo.toml` is compared with the table of allowed edges between our own crates and with the list of foreign
//! crates that a layer must not know (the invariants of absence). Dev-dependencies may point to the right only where
//! the table of exceptions says so. What the manifest cannot show (a machine that reads the clock through `std`) is
//! checked by reading the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Crate, folder, and the crates of ours that it may use. Left to right: a crate stands below all that name it.
const EDGES: &[(&str, &str, &[&str])] = &[
    ("mainstem-protocol", "broker/protocol", &[]),
    ("mainstem-platform", "broker/platform", &[]),
    ("mainstem-storage", "broker/storage", &["protocol", "platform"]),
    ("mainstem-metadata", "broker/metadata", &["protocol", "platform"]),
    ("mainstem-coordinator", "broker/coordinator", &["protocol", "platform"]),
    ("mainstem-client", "broker/client", &["protocol", "platform"]),
    ("mainstem-registry", "broker/registry", &["protocol", "platform"]),
    (
        "mainstem-node",
        "broker/node",
        &["protocol", "platform", "storage", "metadata", "coordinator", "registry"],
    ),
    ("mainstem-streams", "streams", &["protocol", "platform", "client"]),
    ("mainstem-connect", "connect/runtime", &["protocol", "platform", "client"]),
    (
        "mainstem-server",
        "broker/server",
        &["protocol", "platform", "storage", "metadata", "coordinator", "registry", "node"],
    ),
    (
        "mainstem-sim",
        "broker/sim",
        &["protocol", "platform", "storage", "metadata", "coordinator", "registry", "node"],
    ),
    (
        "mainstem-cli",
        "broker/cli",
        &["protocol", "platform", "client", "streams", "connect", "server"],
    ),
    ("mainstem-connect-sdk", "connect/sdk", &[]),
];

/// Machines: no runtime, no sockets, no threads' locks, no source of randomness.
const MACHINES: &[&str] = &[
    "broker/protocol",
    "broker/storage",
    "broker/metadata",
    "broker/coordinator",
    "broker/registry",
    "broker/node",
];

/// Crates that a machine must not depend upon, tests excepted.
const NOT_IN_MACHINES: &[&str] =
    &["tokio", "axum", "reqwest", "rand", "getrandom", "rustix", "memmap2", "libc", "parking_lot"];

/// What a machine's source must not say. The left side is searched for, the right side is the reason that is printed.
const NOT_IN_MACHINE_SOURCES: &[(&str, &str)] = &[
    ("Instant::now", "time is an argument: take `now`"),
    ("SystemTime", "time is an argument: take `now`"),
    ("thread::", "threads belong to the shells"),
    ("std::net", "sockets belong to the shells"),
    ("std::fs", "files are reached through platform::Disk"),
    ("HashMap", "its order is not deterministic: use BTreeMap"),
    ("HashSet", "its order is not deterministic: use BTreeSet"),
];

/// Folders of a shell crate whose files are machines all the same.
const MACHINE_FOLDERS: &[&str] = &["broker/client/src/core", "streams/src/task"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn manifest(folder: &str) -> toml::Table {
    let path = root().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let table = manifest.get("dependencies").and_then(|value| value.as_table());
    table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_crate_uses_only_what_stands_below_it() {
    let mut wrong = Vec::new();
    for (name, folder, allowed) in EDGES {
        let manifest = manifest(folder);
        let actual = manifest["package"]["name"].as_str().unwrap_or_default().to_owned();
        if actual != *name {
            wrong.push(format!("{folder} is named {actual}, not {name}"));
        }
        for dependency in dependencies(&manifest) {
            let Some(short) = dependency.strip_prefix("mainstem-") else { continue };
            if !allowed.contains(&short) {
                wrong.push(format!("{name} must not use {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that the architecture does not have:\n{}", wrong.join("\n"));
}

#[test]
fn every_member_of_the_workspace_stands_in_the_table() {
    let manifest = manifest(".");
    let members = manifest["workspace"]["members"].as_array().cloned().unwrap_or_default();
    let listed: BTreeSet<&str> = EDGES.iter().map(|(_, folder, _)| *folder).collect();
    for member in members {
        let member = member.as_str().unwrap_or_default().to_owned();
        assert!(listed.contains(member.as_str()), "{member} is not in tests/layering.rs");
    }
}

#[test]
fn a_connector_never_links_a_broker_crate() {
    for entry in fs::read_dir(root().join("connectors")).expect("connectors folder").flatten() {
        let path = entry.path();
        if !path.join("Cargo.toml").exists() {
            continue;
        }
        let folder = path.strip_prefix(root()).expect("below the root").display().to_string();
        for dependency in dependencies(&manifest(&folder)) {
            let ours = dependency.starts_with("mainstem-");
            assert!(
                !ours || dependency == "mainstem-connect-sdk",
                "{folder} must not use {dependency}"
            );
        }
    }
}

#[test]
fn machines_know_no_runtime_and_no_operating_system() {
    for folder in MACHINES {
        for dependency in dependencies(&manifest(folder)) {
            assert!(
                !NOT_IN_MACHINES.contains(&dependency.as_str()),
                "{folder} is a machine and must not use {dependency}"
            );
        }
    }
}

#[test]
fn machines_read_no_clock_and_open_no_file() {
    let mut wrong = Vec::new();
    let folders = MACHINES.iter().map(|folder| format!("{folder}/src"));
    for folder in folders.chain(MACHINE_FOLDERS.iter().map(|folder| (*folder).to_owned())) {
        let mut files = Vec::new();
        sources(&root().join(&folder), &mut files);
        for file in files {
            if file.ends_with("tests.rs")
                || file.ends_with("script.rs")
                || file.components().any(|part| part.as_os_str() == "tests")
            {
                continue;
            }
            let text = fs::read_to_string(&file).expect("read a source file");
            for (number, line) in text.lines().enumerate() {
                let code = line.trim_start();
                if code.starts_with("//") {
                    continue;
                }
                for (word, reason) in NOT_IN_MACHINE_SOURCES {
                    if code.contains(word) {
                        let place = file.strip_prefix(root()).unwrap_or(&file).display();
                        wrong.push(format!("{place}:{}: {word}: {reason}", number + 1));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "machines must be pure:\n{}", wrong.join("\n"));
}

#[test]
fn no_product_crate_knows_the_simulator() {
    let mut files = Vec::new();
    for (_, folder, _) in EDGES.iter().filter(|(name, _, _)| *name != "mainstem-sim") {
        sources(&root().join(folder).join("src"), &mut files);
    }
    for file in files {
        let text = fs::read_to_string(&file).expect("read a source file");
        assert!(!text.contains("cfg(simulator"), "{} knows the simulator", file.display());
    }
}
