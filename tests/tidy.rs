//! The style card as a test: what a reviewer would otherwise say by hand every time.
//!
//! Lists of exceptions may shrink and never grow. Generated code lives in `OUT_DIR` and is not read
//! here. What clippy can say is left to clippy (`make lint`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines after which a file has to be split.
const FILE_LINES_MAX: usize = 600;
/// Characters in a line, of code or of comment.
const LINE_COLUMNS_MAX: usize = 120;
/// Bytes of a checked-in file; the data sets of the examples are named below.
const BLOB_BYTES_MAX: u64 = 256 * 1024;
const LARGE_FILES: &[&str] = &["examples/data/flights-2013-01.csv.gz"];
/// Names that say nothing about what a room holds.
const ROOM_NAMES_REFUSED: &[&str] =
    &["utils", "util", "common", "helpers", "helper", "manager", "misc", "types", "impls"];
/// Leftovers, each written so that this file does not contain it.
const LEFTOVERS: &[(&str, &str)] = &[
    ("FIX", "ME"),
    ("dbg", "!("),
    ("todo", "!("),
    ("unimplemented", "!("),
    ("#[ig", "nore"),
    ("thread::sl", "eep"),
];
/// Files that may sleep: shells whose waiting is their work.
const MAY_SLEEP: &[&str] = &[];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Everything in the checkout that is ours, whether committed yet or not.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("list the checkout's files with git");
    let text = String::from_utf8(listed.stdout).expect("file names are UTF-8");
    text.lines().filter(|name| root().join(name).is_file()).map(str::to_owned).collect()
}

fn rust_files() -> Vec<(String, String)> {
    let names = files().into_iter().filter(|name| name.ends_with(".rs"));
    names
        .map(|name| {
            let text = fs::read_to_string(root().join(&name)).expect("read a source file");
            (name, text)
        })
        .collect()
}

fn report(wrong: &[String], rule: &str) {
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_opens_with_an_essay() {
    let mut wrong = Vec::new();
    for (name, text) in rust_files() {
        if !text.trim_start_matches("#![no_std]").trim_start().starts_with("//!") {
            wrong.push(name);
        }
    }
    report(&wrong, "a file says first what it holds (`//!`)");
}

#[test]
fn files_and_lines_stay_short() {
    let mut wrong = Vec::new();
    for (name, text) in rust_files() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{name}: {lines} lines; split it"));
        }
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > LINE_COLUMNS_MAX {
                wrong.push(format!("{name}:{}: wider than {LINE_COLUMNS_MAX}", number + 1));
            }
        }
    }
    report(&wrong, "small rooms");
}

#[test]
fn rooms_have_telling_names() {
    let mut wrong = Vec::new();
    for (name, _) in rust_files() {
        for part in Path::new(&name).iter() {
            let part = part.to_string_lossy();
            let stem = part.trim_end_matches(".rs");
            if ROOM_NAMES_REFUSED.contains(&stem) {
                wrong.push(format!("{name}: `{stem}` says nothing"));
            }
        }
    }
    report(&wrong, "names");
}

#[test]
fn nothing_is_left_over() {
    let mut wrong = Vec::new();
    for (name, text) in rust_files() {
        for (number, line) in text.lines().enumerate() {
            for (head, tail) in LEFTOVERS {
                let word = format!("{head}{tail}");
                let sleeps = *head == "thread::sl" && MAY_SLEEP.contains(&name.as_str());
                if line.contains(&word) && !sleeps {
                    wrong.push(format!("{name}:{}: {word}", number + 1));
                }
            }
        }
    }
    report(&wrong, "leftovers");
}

#[test]
fn every_file_is_imported() {
    let sources = rust_files();
    let mut wrong = Vec::new();
    for (name, _) in &sources {
        let path = Path::new(name);
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = path.parent().unwrap_or(Path::new(""));
        let top = matches!(stem.as_str(), "lib" | "main" | "build");
        let target = ["tests", "examples", "bench", "bin"].iter().any(|t| folder.ends_with(t));
        if top || target {
            continue;
        }
        let module = if stem == "mod" {
            folder.file_name().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
        } else {
            stem.clone()
        };
        let declared = sources.iter().any(|(other, text)| {
            other != name
                && (text.contains(&format!("mod {module};"))
                    || text.contains(&format!("{module}.rs\"")))
        });
        if !declared {
            wrong.push(name.clone());
        }
    }
    report(&wrong, "files that no module imports");
}

#[test]
fn unsafe_code_is_named_file_by_file() {
    let mut found = BTreeSet::new();
    for (name, text) in rust_files() {
        let unsafe_block = ["unsafe", "{"].join(" ");
        if text.lines().any(|line| line.contains(&unsafe_block) && !line.trim().starts_with("//")) {
            found.insert(name);
        }
    }
    // The mapping of index files and the loading of component code that we compiled ourselves.
    // In tests: an allocator that counts.
    let allowed = [
        "broker/platform/src/os.rs",
        "connect/runtime/src/compiled.rs",
        "broker/protocol/src/tests/meter.rs",
    ];
    let allowed: BTreeSet<String> = allowed.into_iter().map(str::to_owned).collect();
    let wrong: Vec<String> = found.difference(&allowed).cloned().collect();
    report(&wrong, "unsafe code outside the files that are named here");
}

#[test]
fn handlers_carry_their_card_and_stand_in_the_table() {
    let sources = rust_files();
    let table: String = sources
        .iter()
        .filter(|(name, _)| name.starts_with("broker/node/src/api"))
        .filter(|(name, _)| {
            name.ends_with("/mod.rs") || name.ends_with("api.rs") || name.ends_with("table.rs")
        })
        .map(|(_, text)| text.as_str())
        .collect();
    let mut wrong = Vec::new();
    for (name, text) in &sources {
        let Some(rest) = name.strip_prefix("broker/node/src/api/") else { continue };
        if rest.contains('/') || matches!(rest, "mod.rs" | "table.rs" | "tests.rs") {
            continue;
        }
        let stem = rest.trim_end_matches(".rs");
        let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        for word in ["key", "version"] {
            if !head.to_lowercase().contains(word) {
                wrong.push(format!("{name}: the card does not give its {word}"));
            }
        }
        if !table.contains(stem) {
            wrong.push(format!("{name}: not in the table"));
        }
    }
    report(&wrong, "API cards");
}

#[test]
fn the_map_names_every_crate() {
    let map =
        fs::read_to_string(root().join("docs/architecture.md")).expect("docs/architecture.md");
    let mut wrong = Vec::new();
    for name in files().iter().filter(|name| name.ends_with("Cargo.toml")) {
        let Some(folder) = Path::new(name).parent().map(|p| p.display().to_string()) else {
            continue;
        };
        if !folder.is_empty() && !map.contains(&folder) {
            wrong.push(folder);
        }
    }
    report(&wrong, "docs/architecture.md does not name these crates");
}

#[test]
fn checked_in_files_are_small() {
    let mut wrong = Vec::new();
    for name in files() {
        let bytes = fs::metadata(root().join(&name)).map(|meta| meta.len()).unwrap_or(0);
        if bytes > BLOB_BYTES_MAX && !LARGE_FILES.contains(&name.as_str()) {
            wrong.push(format!("{name}: {bytes} bytes"));
        }
    }
    report(&wrong, "large files");
}
