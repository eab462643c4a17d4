//! A registry of a page, for tests: it keeps schemas in memory and knows one kind of refusal.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// A running registry; it ends with the runtime of its test.
pub(super) struct Server {
    pub(super) url: String,
    /// How many requests it has answered.
    pub(super) requests: Arc<AtomicUsize>,
}

/// The bodies of requests by subject, in the order of their versions; the id is the place in
/// `ids` plus one.
#[derive(Default)]
struct Schemas {
    subjects: BTreeMap<String, Vec<Value>>,
    ids: Vec<Value>,
}

impl Server {
    pub(super) async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        tokio::spawn(async move {
            let schemas = Arc::new(Mutex::new(Schemas::default()));
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&schemas), Arc::clone(&counter)));
            }
        });
        Server { url, requests }
    }
}

async fn serve(
    stream: TcpStream,
    schemas: Arc<Mutex<Schemas>>,
    counter: Arc<AtomicUsize>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        stream.read_line(&mut request).await.ok()?;
        let mut length = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await.ok()?;
            if header.trim().is_empty() {
                break;
            }
            let header = header.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let mut words = request.split_whitespace();
        let (method, path) = (words.next()?, words.next()?);
        counter.fetch_add(1, Ordering::SeqCst);
        let (status, answer) = schemas.lock().await.answer(method, path, &body);
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.write_all(format!("{head}{answer}").as_bytes()).await.ok()?;
    }
}

impl Schemas {
    fn answer(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let path: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, &path[..]) {
            ("GET", ["schemas", "ids", id]) => {
                let index = id.parse::<usize>().unwrap() - 1;
                self.ids.get(index).map_or_else(|| not_found(40403), |s| (200, s.clone()))
            }
            ("GET", ["subjects"]) => (200, self.subjects.keys().cloned().collect()),
            ("GET", ["subjects", subject, "versions"]) => {
                (200, (1..=self.subjects[*subject].len()).collect())
            }
            ("GET", ["subjects", subject, "versions", version]) => {
                let Some(schemas) = self.subjects.get(*subject) else { return not_found(40401) };
                let version = version.parse().unwrap_or(schemas.len());
                match schemas.get(version - 1) {
                    Some(schema) => (200, self.registered(subject, version, schema)),
                    None => not_found(40402),
                }
            }
            ("POST", ["subjects", subject, "versions"]) => self.register(subject, body),
            ("POST", ["subjects", subject]) => {
                let schemas = self.subjects.get(*subject).into_iter().flatten();
                match schemas.zip(1..).find(|(schema, _)| *schema == body) {
                    Some((schema, version)) => (200, self.registered(subject, version, schema)),
                    None => not_found(40403),
                }
            }
            (_, ["broken", ..]) => (500, Value::Null),
            _ => (404, Value::Null),
        }
    }

    fn register(&mut self, subject: &str, body: &Value) -> (u16, Value) {
        let text = body["schema"].as_str().unwrap();
        if text.contains("Incompatible") {
            return (409, json!({ "error_code": 409, "message": "another type" }));
        }
        if serde_json::from_str::<Value>(text).is_err() {
            return (422, json!({ "error_code": 42201, "message": "no schema" }));
        }
        let versions = self.subjects.entry(subject.to_string()).or_default();
        if !versions.contains(body) {
            versions.push(body.clone());
        }
        if !self.ids.contains(body) {
            self.ids.push(body.clone());
        }
        (200, json!({ "id": self.id(body) }))
    }

    fn id(&self, body: &Value) -> usize {
        self.ids.iter().position(|known| known == body).unwrap() + 1
    }

    fn registered(&self, subject: &str, version: usize, body: &Value) -> Value {
        let mut answer = body.clone();
        answer["subject"] = json!(subject);
        answer["version"] = json!(version);
        answer["id"] = json!(self.id(body));
        answer
    }
}

fn not_found(code: i32) -> (u16, Value) {
    (404, json!({ "error_code": code, "message": "not found" }))
}
