//! The generator: wire descriptions in, Rust source out.
//!
//! Every `*.wire` file describes one API (a request and a response) or one data record. The way
//! through this room is the way of the data: `notation` parses text into the `model`, `check`
//! refuses descriptions that contradict themselves, and one file per concern writes Rust:
//! `structs`, `decode`, `encode`, `size`, `arbitrary` (test values), `catalog` (what spans files).
//!
//! Deliberately absent: formatting of the generated text, and any knowledge of a particular API.

mod arbitrary;
mod catalog;
mod check;
mod code;
mod decode;
mod encode;
mod expression;
mod model;
mod notation;
mod size;
mod structs;

use code::Code;
use model::{Description, Kind};
use std::fs;
use std::path::{Path, PathBuf};

/// Reads every description below `wire` and writes `messages.rs` and `arbitrary.rs` into `out`.
pub(super) fn run(wire: &Path, out: &Path) -> Result<(), String> {
    let mut descriptions = Vec::new();
    for path in wire_files(wire)? {
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let description = notation::parse(&text)
            .and_then(|d| check::check(&d).map(|()| d))
            .and_then(|d| check::check_essay(&d, &text).map(|()| d))
            .map_err(|e| format!("{}: {e}", path.display()))?;
        descriptions.push(description);
    }
    descriptions.sort_by_key(|d| (d.kind.order(), d.name.clone()));
    check::check_keys(&descriptions)?;
    write(out, "messages.rs", &messages(&descriptions))?;
    write(out, "arbitrary.rs", &arbitrary::all(&descriptions))
}

fn messages(descriptions: &[Description]) -> String {
    let mut code = Code::default();
    catalog::api_keys(&mut code, descriptions);
    for description in descriptions.iter().filter(|d| matches!(d.kind, Kind::Api { .. })) {
        module(&mut code, description);
    }
    code.open(
        "/// Blobs and log records: what is stored or passed through, not asked.\npub mod records",
    );
    for description in descriptions.iter().filter(|d| matches!(d.kind, Kind::Data { .. })) {
        module(&mut code, description);
    }
    code.close();
    catalog::for_each(&mut code, descriptions);
    code.finish()
}

fn module(code: &mut Code, description: &Description) {
    catalog::module_head(code, description);
    for message in &description.messages {
        for item in &message.structs {
            structs::write(code, description, item);
            code.open(&format!("impl Message for {}", item.name));
            decode::write(code, description, item);
            encode::write(code, description, item);
            size::write(code, description, item);
            code.close();
        }
    }
    catalog::module_tail(code, description);
}

/// All `*.wire` files below a folder, in a stable order.
fn wire_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.is_dir() {
            found.extend(wire_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "wire") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn write(out: &Path, name: &str, text: &str) -> Result<(), String> {
    fs::write(out.join(name), text).map_err(|e| format!("{name}: {e}"))
}
