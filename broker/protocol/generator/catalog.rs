//! Writes what spans files: the API keys, the module of each description with its constants
//! and traits, and macros that visit every message in tests.

use super::code::Code;
use super::model::{Description, Kind};

/// The `ApiKey` enum with its conversions and its facts about versions.
pub(super) fn api_keys(code: &mut Code, descriptions: &[Description]) {
    let apis: Vec<(i16, &Description)> = descriptions
        .iter()
        .filter_map(|d| match d.kind {
            Kind::Api { key } => Some((key, d)),
            Kind::Data { .. } => None,
        })
        .collect();
    code.line("/// The APIs that are described here, under Kafka's numbers.");
    code.line("#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]");
    code.line("#[repr(i16)]");
    code.open("pub enum ApiKey");
    for (key, api) in &apis {
        code.line(&format!("{} = {key},", api.name));
    }
    code.close();
    code.open("impl ApiKey");
    code.line("/// Every described API, in the order of the numbers.");
    let all: Vec<String> = apis.iter().map(|(_, api)| format!("ApiKey::{}", api.name)).collect();
    code.line(&format!("pub const ALL: &'static [ApiKey] = &[{}];", all.join(", ")));
    table(code, &apis, "/// Kafka's name of the API.", "name(self) -> &'static str", |api| {
        format!("\"{}\"", api.name)
    });
    table(code, &apis, "/// The first described version.", "min_version(self) -> i16", |api| {
        api.versions.first.to_string()
    });
    table(code, &apis, "/// The last described version.", "max_version(self) -> i16", |api| {
        api.versions.last.to_string()
    });
    table(
        code,
        &apis,
        "/// The first version with compact lengths and tagged fields; `i16::MAX` for never.",
        "flexible_from(self) -> i16",
        |api| flexible_from(api).to_string(),
    );
    code.close();
    code.open("impl TryFrom<i16> for ApiKey");
    code.line("/// The number that no described API has.");
    code.line("type Error = i16;");
    code.open("fn try_from(key: i16) -> Result<Self, i16>");
    code.open("Ok(match key");
    for (key, api) in &apis {
        code.line(&format!("{key} => ApiKey::{},", api.name));
    }
    code.line("other => return Err(other),");
    code.close_with("})");
    code.close();
    code.close();
}

fn table(
    code: &mut Code,
    apis: &[(i16, &Description)],
    doc: &str,
    signature: &str,
    value: impl Fn(&Description) -> String,
) {
    code.line(doc);
    code.open(&format!("pub const fn {signature}"));
    code.open("match self");
    for (_, api) in apis {
        code.line(&format!("ApiKey::{} => {},", api.name, value(api)));
    }
    code.close();
    code.close();
}

fn flexible_from(description: &Description) -> i16 {
    description.flexible_from.unwrap_or(i16::MAX)
}

pub(super) fn module_head(code: &mut Code, description: &Description) {
    let name = &description.name;
    code.line(&format!("/// `{name}`: generated from its wire description."));
    code.open(&format!("pub mod {}", description.module()));
    code.line("use crate::codec::generated::*;");
    code.line(&format!("const NAME: &str = \"{name}\";"));
    code.line(&format!("const MIN_VERSION: i16 = {};", description.versions.first));
    code.line(&format!("const MAX_VERSION: i16 = {};", description.versions.last));
    code.line(&format!("const FLEXIBLE_FROM: i16 = {};", flexible_from(description)));
}

pub(super) fn module_tail(code: &mut Code, description: &Description) {
    let name = &description.name;
    let module = description.module();
    match description.kind {
        Kind::Api { .. } => {
            code.open(&format!("impl Request for {name}Request"));
            code.line(&format!("type Response = {name}Response;"));
            code.line(&format!("const API_KEY: ApiKey = ApiKey::{name};"));
        }
        Kind::Data { key } => {
            code.open(&format!("impl Data for {name}"));
            code.line("const NAME: &'static str = NAME;");
            code.line(&format!("const KEY: Option<i16> = {key:?};"));
        }
    }
    code.line("const MIN_VERSION: i16 = MIN_VERSION;");
    code.line("const MAX_VERSION: i16 = MAX_VERSION;");
    code.open("fn is_flexible(version: i16) -> bool");
    code.line("version >= FLEXIBLE_FROM");
    code.close();
    code.close();
    code.close();
    match description.kind {
        Kind::Api { .. } => {
            code.line(&format!("pub use {module}::{{{name}Request, {name}Response}};"));
        }
        Kind::Data { .. } => code.line(&format!("pub use {module}::{name};")),
    }
}

/// Macros that apply another macro to every API and to every data record: for tests and for fuzzing,
/// which is why they leave the crate, hidden.
pub(super) fn for_each(code: &mut Code, descriptions: &[Description]) {
    for (macro_name, apis) in [("for_each_api", true), ("for_each_data", false)] {
        code.line("#[doc(hidden)]");
        code.line("#[macro_export]");
        code.open(&format!("macro_rules! {macro_name}"));
        code.open("($visit:ident) =>");
        for description in descriptions {
            let is_api = matches!(description.kind, Kind::Api { .. });
            let name = &description.name;
            if is_api == apis && apis {
                code.line(&format!("$visit!({name}Request, {name}Response);"));
            } else if is_api == apis {
                code.line(&format!("$visit!({name});"));
            }
        }
        code.close();
        code.close();
        code.line("#[cfg(test)]");
        code.line(&format!("pub(crate) use {macro_name};"));
    }
}
