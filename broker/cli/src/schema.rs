//! `mainstem schema`: subjects, versions, checks and levels over the registry's REST API.
//!
//! Works against any registry that speaks Confluent's paths.

use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;

use crate::arguments::SchemaCommand;
use crate::failure::Failure;
use crate::http::{call, segment};
use crate::output::{self, Listing};

/// Runs one command.
pub(crate) async fn run(command: SchemaCommand, json: bool) -> Result<(), Failure> {
    match command {
        SchemaCommand::Subjects { registry } => subjects(&registry.registry, json).await,
        SchemaCommand::Get { subject, version, registry } => {
            let path = format!("subjects/{}/versions/{}", segment(&subject), segment(&version));
            let answer = call(Method::GET, &registry.registry, &path, None).await?;
            let text = answer["schema"].as_str().unwrap_or_default().to_owned();
            output::fact(&text, &answer, json);
            Ok(())
        }
        SchemaCommand::Register { subject, file, registry } => {
            let path = format!("subjects/{}/versions", segment(&subject));
            let body = json!({ "schema": read(&file)? });
            let answer = call(Method::POST, &registry.registry, &path, Some(&body)).await?;
            output::fact(&format!("{subject}: schema id {}", answer["id"]), &answer, json);
            Ok(())
        }
        SchemaCommand::Check { subject, file, registry } => {
            check(&registry.registry, &subject, &file, json).await
        }
        SchemaCommand::Delete { subject, permanent, registry } => {
            let path = format!("subjects/{}?permanent={permanent}", segment(&subject));
            let answer = call(Method::DELETE, &registry.registry, &path, None).await?;
            output::fact(&format!("{subject}: deleted versions {answer}"), &answer, json);
            Ok(())
        }
        SchemaCommand::Config { subject, set, registry } => {
            config(&registry.registry, subject.as_deref(), set.as_deref(), json).await
        }
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::doing(&file.display().to_string(), &error))
}

async fn subjects(registry: &str, json: bool) -> Result<(), Failure> {
    let names = call(Method::GET, registry, "subjects", None).await?;
    let mut listing = Listing::new(&["subject", "version", "id", "type"]);
    for name in names.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let path = format!("subjects/{}/versions/latest", segment(name));
        let latest = call(Method::GET, registry, &path, None).await?;
        let kind = latest.get("schemaType").cloned().unwrap_or_else(|| json!("AVRO"));
        listing.row(vec![json!(name), latest["version"].clone(), latest["id"].clone(), kind]);
    }
    output::listing(&listing, json);
    Ok(())
}

async fn check(registry: &str, subject: &str, file: &Path, json: bool) -> Result<(), Failure> {
    let path = format!("compatibility/subjects/{}/versions/latest?verbose=true", segment(subject));
    let body = json!({ "schema": read(file)? });
    let answer = call(Method::POST, registry, &path, Some(&body)).await?;
    if answer["is_compatible"] == json!(true) {
        output::fact(&format!("{subject}: compatible"), &answer, json);
        return Ok(());
    }
    let reasons = answer["messages"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let reasons: Vec<&str> = reasons.collect();
    Err(Failure::new(format!("{subject}: not compatible: {}", reasons.join("; "))))
}

async fn config(
    registry: &str,
    subject: Option<&str>,
    set: Option<&str>,
    json: bool,
) -> Result<(), Failure> {
    let path = subject.map_or_else(|| "config".to_owned(), |s| format!("config/{}", segment(s)));
    let answer = match set {
        Some(level) => {
            let body = json!({ "compatibility": level.to_uppercase() });
            call(Method::PUT, registry, &path, Some(&body)).await?
        }
        None => {
            let path = format!("{path}?defaultToGlobal=true");
            call(Method::GET, registry, &path, None).await?
        }
    };
    let level = answer.get("compatibilityLevel").or_else(|| answer.get("compatibility"));
    let level = level.and_then(Value::as_str).unwrap_or_default().to_owned();
    output::fact(&level, &answer, json);
    Ok(())
}
