//! The schema registry over HTTP, with Confluent's paths, codes and content types.
//!
//! Every handler makes one command and shows one answer. What is wrong with a name, a version or
//! a schema is said by the registry's machine; here only what is not HTTP or not JSON is refused.

mod answer;
mod request;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use mainstem_node::{LocalCommand, LocalReply};
use mainstem_registry::{Command, SchemaId, VersionSelector};

use super::Broker;
use answer::{Refusal, json, show};
use request::{Body, Flags};

/// Every path of the registry.
pub(super) fn router(broker: Broker) -> Router {
    let settings = Router::new()
        .route("/config", get(get_level).put(set_level).delete(delete_level))
        .route("/config/{subject}", get(get_level).put(set_level).delete(delete_level))
        .route("/mode", get(get_mode).put(set_mode).delete(delete_mode))
        .route("/mode/{subject}", get(get_mode).put(set_mode).delete(delete_mode));
    let schemas = Router::new()
        .route("/schemas/types", get(|| async { json(StatusCode::OK, &["AVRO"]) }))
        .route("/schemas/ids/{id}", get(by_id))
        .route("/schemas/ids/{id}/schema", get(text_by_id))
        .route("/schemas/ids/{id}/subjects", get(subjects_by_id))
        .route("/schemas/ids/{id}/versions", get(versions_by_id));
    Router::new()
        .route("/", get(|| async { json(StatusCode::OK, &serde_json::json!({})) }))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(lookup).delete(delete_subject))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version).delete(delete_version))
        .route("/subjects/{subject}/versions/{version}/schema", get(text))
        .route("/subjects/{subject}/versions/{version}/referencedby", get(referenced_by))
        .route("/compatibility/subjects/{subject}/versions", post(test_all))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(test_one))
        .merge(settings)
        .merge(schemas)
        .fallback(|| async { Refusal::of_status(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async {
            Refusal::of_status(StatusCode::METHOD_NOT_ALLOWED)
        })
        .with_state(broker)
}

type Subject = Path<String>;
type SubjectVersion = Path<(String, String)>;
type Answer = Result<Response, Refusal>;

impl Broker {
    /// Asks the registry's machine, on the first shard.
    async fn registry(&self, command: Command) -> Result<mainstem_registry::Response, Refusal> {
        match self.ask(0, LocalCommand::Registry(command)).await {
            Ok(LocalReply::Registry(reply)) => Ok(reply?),
            Ok(_) => Err(Refusal::of_broker("the broker answered another question".into())),
            Err(reason) => Err(Refusal::of_broker(reason)),
        }
    }

    async fn answer(&self, command: Command) -> Answer {
        Ok(show(&self.registry(command).await?))
    }
}

async fn subjects(State(broker): State<Broker>, Query(flags): Query<Flags>) -> Answer {
    let prefix = flags.text("subjectPrefix").to_owned();
    broker.answer(Command::Subjects { prefix, deleted: flags.deleted() }).await
}

async fn versions(
    State(broker): State<Broker>,
    Path(subject): Subject,
    Query(flags): Query<Flags>,
) -> Answer {
    broker.answer(Command::Versions { subject, deleted: flags.deleted() }).await
}

async fn version(
    State(broker): State<Broker>,
    Path((subject, version)): SubjectVersion,
    Query(flags): Query<Flags>,
) -> Answer {
    let version = VersionSelector(version);
    let deleted = flags.deleted();
    broker.answer(Command::SchemaByVersion { subject, version, deleted }).await
}

async fn text(
    State(broker): State<Broker>,
    Path((subject, version)): SubjectVersion,
    Query(flags): Query<Flags>,
) -> Answer {
    let version = VersionSelector(version);
    let deleted = flags.deleted();
    let command = Command::SchemaByVersion { subject, version, deleted };
    Ok(answer::show_text(&broker.registry(command).await?))
}

async fn referenced_by(
    State(broker): State<Broker>,
    Path((subject, version)): SubjectVersion,
) -> Answer {
    broker.answer(Command::ReferencedBy { subject, version: VersionSelector(version) }).await
}

async fn register(
    State(broker): State<Broker>,
    Path(subject): Subject,
    Query(flags): Query<Flags>,
    body: Body,
) -> Answer {
    let schema = body.schema()?;
    let normalize = flags.is_set("normalize");
    broker.answer(Command::Register { subject, schema, normalize }).await
}

async fn lookup(
    State(broker): State<Broker>,
    Path(subject): Subject,
    Query(flags): Query<Flags>,
    body: Body,
) -> Answer {
    let schema = body.schema()?;
    let (normalize, deleted) = (flags.is_set("normalize"), flags.deleted());
    broker.answer(Command::Lookup { subject, schema, normalize, deleted }).await
}

async fn delete_subject(
    State(broker): State<Broker>,
    Path(subject): Subject,
    Query(flags): Query<Flags>,
) -> Answer {
    let permanent = flags.is_set("permanent");
    broker.answer(Command::DeleteSubject { subject, permanent }).await
}

async fn delete_version(
    State(broker): State<Broker>,
    Path((subject, version)): SubjectVersion,
    Query(flags): Query<Flags>,
) -> Answer {
    let version = VersionSelector(version);
    let permanent = flags.is_set("permanent");
    broker.answer(Command::DeleteVersion { subject, version, permanent }).await
}

/// An id that is no number names no schema.
fn read_id(id: &str) -> Result<SchemaId, Refusal> {
    id.parse().map(SchemaId).map_err(|_| Refusal::of_status(StatusCode::NOT_FOUND))
}

async fn by_id(State(broker): State<Broker>, Path(id): Path<String>) -> Answer {
    broker.answer(Command::SchemaById { id: read_id(&id)? }).await
}

async fn text_by_id(State(broker): State<Broker>, Path(id): Path<String>) -> Answer {
    let response = broker.registry(Command::SchemaById { id: read_id(&id)? }).await?;
    Ok(answer::show_text(&response))
}

async fn versions_by_id(
    State(broker): State<Broker>,
    Path(id): Path<String>,
    Query(flags): Query<Flags>,
) -> Answer {
    let id = read_id(&id)?;
    broker.answer(Command::VersionsById { id, deleted: flags.deleted() }).await
}

async fn subjects_by_id(
    State(broker): State<Broker>,
    Path(id): Path<String>,
    Query(flags): Query<Flags>,
) -> Answer {
    let id = read_id(&id)?;
    let command = Command::VersionsById { id, deleted: flags.deleted() };
    Ok(answer::show_subjects_only(&broker.registry(command).await?))
}

async fn test_one(
    State(broker): State<Broker>,
    Path((subject, version)): SubjectVersion,
    Query(flags): Query<Flags>,
    body: Body,
) -> Answer {
    test(broker, subject, Some(VersionSelector(version)), &flags, &body).await
}

async fn test_all(
    State(broker): State<Broker>,
    Path(subject): Subject,
    Query(flags): Query<Flags>,
    body: Body,
) -> Answer {
    test(broker, subject, None, &flags, &body).await
}

async fn test(
    broker: Broker,
    subject: String,
    version: Option<VersionSelector>,
    flags: &Flags,
    body: &Body,
) -> Answer {
    let schema = body.schema()?;
    let normalize = flags.is_set("normalize");
    let command = Command::TestCompatibility { subject, version, schema, normalize };
    Ok(answer::show_test(&broker.registry(command).await?, flags.is_set("verbose")))
}

async fn get_level(
    State(broker): State<Broker>,
    subject: Option<Subject>,
    Query(flags): Query<Flags>,
) -> Answer {
    let subject = subject.map(|Path(subject)| subject);
    let default_to_global = flags.is_set("defaultToGlobal");
    broker.answer(Command::GetCompatibility { subject, default_to_global }).await
}

async fn set_level(State(broker): State<Broker>, subject: Option<Subject>, body: Body) -> Answer {
    let subject = subject.map(|Path(subject)| subject);
    let level = body.text("compatibility")?;
    broker.answer(Command::SetCompatibility { subject, level }).await
}

async fn delete_level(State(broker): State<Broker>, subject: Option<Subject>) -> Answer {
    let subject = subject.map(|Path(subject)| subject);
    broker.answer(Command::DeleteCompatibility { subject }).await
}

async fn get_mode(
    State(broker): State<Broker>,
    subject: Option<Subject>,
    Query(flags): Query<Flags>,
) -> Answer {
    let subject = subject.map(|Path(subject)| subject);
    let default_to_global = flags.is_set("defaultToGlobal");
    broker.answer(Command::GetMode { subject, default_to_global }).await
}

async fn set_mode(State(broker): State<Broker>, subject: Option<Subject>, body: Body) -> Answer {
    let subject = subject.map(|Path(subject)| subject);
    let mode = body.text("mode")?;
    broker.answer(Command::SetMode { subject, mode }).await
}

async fn delete_mode(State(broker): State<Broker>, subject: Option<Subject>) -> Answer {
    let subject = subject.map(|Path(subject)| subject);
    broker.answer(Command::DeleteMode { subject }).await
}
