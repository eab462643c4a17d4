//! Turns the wire descriptions in `wire/` into Rust. The work is done by `generator/`.

#[path = "generator/mod.rs"]
mod generator;

use std::path::PathBuf;

fn main() -> Result<(), String> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?);
    let out = PathBuf::from(std::env::var("OUT_DIR").map_err(|e| e.to_string())?);
    println!("cargo::rerun-if-changed=wire");
    println!("cargo::rerun-if-changed=generator");
    println!("cargo::rerun-if-changed=build.rs");
    generator::run(&root.join("wire"), &out)
}
