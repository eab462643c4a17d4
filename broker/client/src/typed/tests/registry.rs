//! The registry client and the codecs over it, against a small server.

use super::server::Server;
use crate::typed::avro::{AvroCodec, AvroDecoder, AvroError};
use crate::typed::registry::*;
use serde_json::json;
use std::sync::atomic::Ordering;

const POINT: &str = r#"{"type": "record", "name": "Point", "fields": [
    {"name": "x", "type": "int"}, {"name": "y", "type": "int"}]}"#;
const LINE: &str = r#"{"type": "record", "name": "Line", "fields": [
    {"name": "from", "type": "Point"}, {"name": "to", "type": "Point"}]}"#;

#[tokio::test]
async fn schemas_are_registered_and_found() {
    let server = Server::start().await;
    let registry = RegistryClient::new(&server.url);
    let (point, text) = (SchemaText::avro(POINT), SchemaText::avro(r#""string""#));
    let id = registry.register("points-value", &point).await.unwrap();
    assert_eq!(registry.register("points-value", &text).await, Ok(SchemaId(2)));
    assert_eq!(registry.register("other-value", &point).await, Ok(id), "one id everywhere");
    assert_eq!(registry.lookup("points-value", &point).await.unwrap().version, 1);
    let latest = registry.latest("points-value").await.unwrap();
    assert_eq!((latest.version, latest.id, &latest.schema), (2, SchemaId(2), &text));
    assert_eq!(registry.version("points-value", 1).await.unwrap().schema, point);
    assert_eq!(registry.versions("points-value").await, Ok(vec![1, 2]));
    assert_eq!(registry.subjects().await.unwrap(), ["other-value", "points-value"]);
    assert_eq!(*registry.by_id(id).await.unwrap(), point);
}

#[tokio::test]
async fn what_never_changes_is_asked_once() {
    let server = Server::start().await;
    let registry = RegistryClient::new(&server.url);
    let point = SchemaText::avro(POINT);
    for _ in 0..3 {
        let id = registry.register("points-value", &point).await.unwrap();
        registry.clone().by_id(id).await.unwrap();
    }
    assert_eq!(server.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let server = Server::start().await;
    let registry = RegistryClient::new(&server.url);
    let unknown = registry.by_id(SchemaId(77)).await.unwrap_err();
    assert_eq!(unknown, RegistryError::NotFound { code: 40403, message: "not found".into() });
    let unknown = registry.latest("none").await.unwrap_err();
    assert!(matches!(unknown, RegistryError::NotFound { code: 40401, .. }), "{unknown}");
    let refused = registry.register("s", &SchemaText::avro("{")).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Refused { code: 42201, .. }), "{refused}");
    let refused = registry.register("s", &SchemaText::avro("Incompatible")).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Incompatible { code: 409, .. }), "{refused}");

    let broken = RegistryClient::new(&format!("{}/broken", server.url));
    let error = broken.subjects().await.unwrap_err();
    assert!(error.is_retriable(), "{error}");
    let elsewhere = RegistryClient::new(&format!("{}/elsewhere/", server.url));
    assert!(matches!(elsewhere.subjects().await, Err(RegistryError::Malformed(_))));
    for url in ["no url", "ftp://127.0.0.1"] {
        let error = RegistryClient::new(url).subjects().await.unwrap_err();
        assert!(matches!(error, RegistryError::Malformed(_)), "{error}");
    }
}

#[tokio::test]
async fn a_registry_that_is_gone_may_come_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert!(RegistryClient::new(&url).subjects().await.unwrap_err().is_retriable());
}

/// A subject is one segment of the path, whatever is in it.
#[tokio::test]
async fn subjects_are_escaped() {
    let server = Server::start().await;
    let registry = RegistryClient::new(&server.url);
    registry.register("a/../b?c", &SchemaText::avro(POINT)).await.unwrap();
    assert_eq!(registry.subjects().await.unwrap(), ["a%2F..%2Fb%3Fc"]);
}

#[tokio::test]
async fn a_codec_meets_its_registry() {
    let server = Server::start().await;
    let registry = RegistryClient::new(&server.url);
    let writer = AvroCodec::<serde_json::Value>::parse(POINT).unwrap();
    assert_eq!(writer.prepare(&registry, "points-value").await, Ok(SchemaId(1)));
    let bytes = writer.encode_value(json!({ "x": 1, "y": -2 }).into()).unwrap();

    let reader = AvroCodec::<serde_json::Value>::parse(POINT).unwrap();
    assert_eq!(reader.decode(&bytes), Err(AvroError::UnknownSchema(SchemaId(1))));
    reader.fetch(&registry, &bytes).await.unwrap();
    assert_eq!(reader.decode(&bytes), Ok(json!({ "x": 1, "y": -2 })));

    let decoder = AvroDecoder::new(&server.url);
    assert_eq!(decoder.to_json(&bytes).await, Ok(json!({ "x": 1, "y": -2 })));
    let error = decoder.to_json(b"\0\0\0\0\x63\0").await.unwrap_err();
    assert!(matches!(error, AvroError::Registry(RegistryError::NotFound { .. })), "{error}");
}

#[tokio::test]
async fn references_are_fetched() {
    let server = Server::start().await;
    let registry = RegistryClient::new(&server.url);
    registry.register("point", &SchemaText::avro(POINT)).await.unwrap();
    let point = SchemaReference { name: "Point".into(), subject: "point".into(), version: 1 };
    let line = SchemaText { references: vec![point], ..SchemaText::avro(LINE) };
    let id = registry.register("line", &line).await.unwrap();
    assert_eq!(registry.referenced(&line).await.unwrap(), [POINT]);

    let bytes = [&[0, 0, 0, 0, id.0 as u8][..], &[2, 4, 6, 8]].concat();
    let value = AvroDecoder::new(&server.url).to_json(&bytes).await.unwrap();
    assert_eq!(value, json!({ "from": { "x": 1, "y": 2 }, "to": { "x": 3, "y": 4 } }));
}
