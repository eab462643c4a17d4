//! Compiled components, kept on disk by the hash of their source.
//!
//! Compiling costs a few hundred milliseconds, loading what was compiled a few hundred
//! microseconds. A file is named `<sha256 of the component>-<hash of engine version and
//! settings>.cwasm`.
//!
//! Loading machine code from a file is trusting the file. Therefore: the directory is made for the
//! owner only, a file is used only if it belongs to us and nobody else may write it, and it appears
//! under its name only when it is complete.
#![expect(unsafe_code, reason = "compiled code is loaded from files that this module wrote")]

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

pub(crate) struct CompileCache {
    directory: PathBuf,
}

impl CompileCache {
    pub(crate) fn new(directory: PathBuf) -> CompileCache {
        CompileCache { directory }
    }

    /// Compiles the component, or loads what was compiled before.
    pub(crate) fn component(&self, engine: &Engine, bytes: &[u8]) -> Result<Component, String> {
        let path = self.directory.join(file_name(engine, bytes));
        if is_ours(&path) {
            // SAFETY: the file was written completely by `store` below, for this engine's version
            // and settings (both are in its name), and since then nobody but this user could write
            // it.
            match unsafe { Component::deserialize_file(engine, &path) } {
                Ok(component) => return Ok(component),
                Err(error) => tracing::warn!("compile again, {}: {error:#}", path.display()),
            }
        }
        let component = Component::new(engine, bytes)
            .map_err(|error| format!("not a usable component: {error:#}"))?;
        // A cache that cannot be written costs time at the next start, no more.
        if let Err(error) = self.store(&component, &path) {
            tracing::warn!("keep compiled plugin in {}: {error}", path.display());
        }
        Ok(component)
    }

    fn store(&self, component: &Component, path: &Path) -> Result<(), String> {
        let code = component.serialize().map_err(|error| format!("{error:#}"))?;
        let written = (|| {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            let new = path.with_extension(format!("{}.new", std::process::id()));
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(&code)?;
            file.sync_all()?;
            fs::rename(&new, path)
        })();
        written.map_err(|error: std::io::Error| error.to_string())
    }
}

fn file_name(engine: &Engine, bytes: &[u8]) -> String {
    let mut settings = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut settings);
    env!("CARGO_PKG_VERSION").hash(&mut settings);
    let mut name = String::new();
    for byte in Sha256::digest(bytes) {
        name.push_str(&format!("{byte:02x}"));
    }
    format!("{name}-{:016x}.cwasm", settings.finish())
}

/// Does the file exist, belong to this user, and lie where nobody else may write?
fn is_ours(path: &Path) -> bool {
    let closed = |metadata: &fs::Metadata| metadata.mode() & 0o022 == 0;
    let (Ok(file), Some(Ok(directory))) = (fs::metadata(path), path.parent().map(fs::metadata))
    else {
        return false;
    };
    let user = rustix::process::geteuid().as_raw();
    file.is_file()
        && file.uid() == user
        && directory.uid() == user
        && closed(&file)
        && closed(&directory)
}
