//! Plugins: the components of the plugin directory, loaded, described and kept.
//!
//! A file that cannot be loaded does not stop the worker. It is remembered with the reason, and
//! whoever asks for it is told. The directory is looked through again when somebody asks for a
//! class that is not known.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use wasmtime::component::{Component, Linker};

use crate::compiled::CompileCache;
use crate::convert::Format;
use crate::limits;
use crate::sandbox::bindings::capabilities::mainstem::connect::types::Encoding;
use crate::sandbox::guest::{CallError, DescribedGuest, wit_plugin};
use crate::sandbox::{Sandbox, Tenant};

/// Which way a connector moves data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Source,
    Sink,
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Direction::Source => "source",
            Direction::Sink => "sink",
        }
    }
}

/// One loaded component and what it says about itself.
pub(crate) struct Plugin {
    pub class: String,
    pub version: String,
    pub direction: Direction,
    pub keys: Vec<wit_plugin::Key>,
    pub key_encoding: Encoding,
    pub value_encoding: Encoding,
    /// The converter of values when a connector names none.
    pub value_converter: String,
    pub component: Component,
}

/// What a file of the directory turned out to be.
struct Found {
    modified: SystemTime,
    size: u64,
    plugin: Result<Arc<Plugin>, String>,
}

/// All plugins of this worker.
pub(crate) struct Plugins {
    sandbox: Sandbox,
    linker: Linker<Tenant>,
    directory: PathBuf,
    cache: CompileCache,
    value_converter: String,
    found: Mutex<BTreeMap<PathBuf, Found>>,
}

impl Plugins {
    /// Sets up the sandbox; loads nothing yet.
    pub(crate) fn new(
        directory: PathBuf,
        cache_dir: PathBuf,
        value_converter: String,
    ) -> Result<Plugins, String> {
        let sandbox = Sandbox::new().map_err(|error| format!("{error:#}"))?;
        let linker = sandbox.linker().map_err(|error| format!("{error:#}"))?;
        let cache = CompileCache::new(cache_dir);
        let found = Mutex::default();
        Ok(Plugins { sandbox, linker, directory, cache, value_converter, found })
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub(crate) fn linker(&self) -> &Linker<Tenant> {
        &self.linker
    }

    /// Looks through the directory. Blocks while new files are compiled.
    pub(crate) fn scan(&self) {
        let mut found = self.found.lock();
        let mut seen = Vec::new();
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!("plugin directory {}: {error}", self.directory.display());
                return;
            }
        };
        for entry in entries.flatten().take(limits::PLUGINS_MAX) {
            let path = entry.path();
            let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
            if hidden || path.extension().is_none_or(|extension| extension != "wasm") {
                continue;
            }
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let size = metadata.len();
            let known = found.get(&path).is_some_and(|f| f.modified == modified && f.size == size);
            if !known {
                let plugin = self.load(&path, size).map(Arc::new);
                match &plugin {
                    Ok(p) => {
                        tracing::info!("plugin {} {} ({})", p.class, p.version, path.display());
                    }
                    Err(error) => tracing::warn!("plugin {}: {error}", path.display()),
                }
                found.insert(path.clone(), Found { modified, size, plugin });
            }
            seen.push(path);
        }
        found.retain(|path, _| seen.contains(path));
    }

    /// The plugin of this class; the error is a sentence for the user.
    pub(crate) fn get(&self, class: &str) -> Result<Arc<Plugin>, String> {
        if let Some(plugin) = self.known(class) {
            return Ok(plugin);
        }
        self.scan();
        if let Some(plugin) = self.known(class) {
            return Ok(plugin);
        }
        let found = self.found.lock();
        let broken = found.iter().find_map(|(path, found)| {
            let reason = found.plugin.as_ref().err()?;
            (path.file_stem()?.to_string_lossy() == class).then_some((path, reason))
        });
        if let Some((path, reason)) = broken {
            return Err(format!("plugin {} does not load: {reason}", path.display()));
        }
        let classes: Vec<&str> = found
            .values()
            .filter_map(|found| found.plugin.as_ref().ok())
            .map(|plugin| plugin.class.as_str())
            .collect();
        Err(format!(
            "Failed to find any class that matches {class}; available connectors are: {}",
            if classes.is_empty() { "none".to_string() } else { classes.join(", ") }
        ))
    }

    /// All plugins that loaded, by class.
    pub(crate) fn list(&self) -> Vec<Arc<Plugin>> {
        let found = self.found.lock();
        let mut plugins: Vec<Arc<Plugin>> =
            found.values().filter_map(|found| found.plugin.as_ref().ok().cloned()).collect();
        plugins.sort_by(|left, right| left.class.cmp(&right.class));
        plugins
    }

    fn known(&self, class: &str) -> Option<Arc<Plugin>> {
        let found = self.found.lock();
        let mut plugins = found.values().filter_map(|found| found.plugin.as_ref().ok());
        plugins.find(|plugin| plugin.class == class).cloned()
    }

    fn load(&self, path: &Path, size: u64) -> Result<Plugin, String> {
        if limits::PLUGIN_BYTES_MAX < size {
            return Err(format!("larger than {} bytes", limits::PLUGIN_BYTES_MAX));
        }
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        let component = self.cache.component(self.sandbox.engine(), &bytes)?;
        let direction = self.direction(&component)?;
        let manifest = self
            .describer(&component, &path.display().to_string())?
            .describe()
            .map_err(|error| explain(&error))?;
        if manifest.name.is_empty() {
            return Err("its manifest has no name".to_string());
        }
        Ok(Plugin {
            class: manifest.name,
            version: manifest.version,
            direction,
            keys: manifest.keys,
            key_encoding: manifest.key_encoding,
            value_encoding: manifest.value_encoding,
            value_converter: self.default_converter(direction, manifest.value_encoding),
            component,
        })
    }

    /// The worker's converter, or the nearest one that goes with what the plugin speaks.
    fn default_converter(&self, direction: Direction, encoding: Encoding) -> String {
        let fits = |name: &&str| match (Format::parse(name), direction) {
            (Some(format), Direction::Source) => format.takes_from(encoding),
            (Some(format), Direction::Sink) => format.gives_to(encoding),
            (None, _) => false,
        };
        let choices = [self.value_converter.as_str(), "json", "bytes"];
        choices.into_iter().find(fits).unwrap_or("bytes").to_string()
    }

    fn direction(&self, component: &Component) -> Result<Direction, String> {
        let kind = component.component_type();
        let exports = |interface: &str| {
            kind.exports(self.sandbox.engine()).any(|(name, _)| name == interface)
        };
        let imports = |interface: &str| {
            kind.imports(self.sandbox.engine()).any(|(name, _)| name == interface)
        };
        match (exports("mainstem:connect/source@0.1.0"), exports("mainstem:connect/sink@0.1.0")) {
            (false, true) if imports("mainstem:connect/state@0.1.0") => {
                Err("a sink has no state of its own: its target remembers".to_string())
            }
            (true, false) => Ok(Direction::Source),
            (false, true) => Ok(Direction::Sink),
            (true, true) => Err("it is source and sink at once".to_string()),
            (false, false) => {
                Err("it exports neither mainstem:connect/source@0.1.0 nor sink@0.1.0".to_string())
            }
        }
    }

    fn describer(&self, component: &Component, name: &str) -> Result<DescribedGuest, String> {
        let tenant = Tenant::describing(name);
        DescribedGuest::start(&self.sandbox, &self.linker, component, tenant)
            .map_err(|error| format!("{error:#}"))
    }

    /// A guest of this plugin that answers questions about configurations.
    pub(crate) fn describe(&self, plugin: &Plugin) -> Result<DescribedGuest, String> {
        self.describer(&plugin.component, &plugin.class)
    }
}

/// A failed call as a sentence.
pub(crate) fn explain(error: &CallError) -> String {
    match error {
        CallError::Refused(error) => error.message.clone(),
        CallError::Broken(reason) => format!("the plugin broke down: {reason}"),
    }
}
