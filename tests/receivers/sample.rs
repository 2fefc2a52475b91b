//! Samples of requests, and what is done with them.

use std::fs;
use std::path::{Path, PathBuf};

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::Event;
use artifact_triggers::incoming::provider::{Provider, ProviderReceiver};
use artifact_triggers::incoming::{Incoming, Notice, ReceiveError, Receiver};
use artifact_triggers::request::Headers;
use artifact_triggers::signature::Verifier;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// A request of a provider.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) provider: Provider,
    pub(crate) path: PathBuf,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
    /// The values in the body that stand there as Base64 of their JSON, by JSON pointers.
    base64: Vec<String>,
    /// The values in the body that stand there as a text that holds their JSON.
    text: Vec<String>,
}

/// Every sample of every provider.
pub(crate) fn all() -> Vec<Sample> {
    let mut samples = Vec::new();
    for provider in Provider::all() {
        let folder = data().join(provider.as_str());
        let before = samples.len();
        let mut paths: Vec<PathBuf> = entries(&folder)
            .into_iter()
            .filter(|path| is_sample(path.file_name().unwrap().to_str().unwrap()))
            .collect();
        paths.sort();
        samples.extend(paths.into_iter().map(|path| Sample::read(provider, path)));
        assert!(samples.len() > before, "{provider} has no sample in {}", folder.display());
    }
    samples
}

pub(crate) fn data() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/receivers"))
}

pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|_| panic!("there is {}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn is_sample(name: &str) -> bool {
    name.strip_suffix(".json").is_some_and(|name| !name.ends_with(".notices"))
}

impl Sample {
    fn read(provider: Provider, path: PathBuf) -> Self {
        let mut members: Map<String, Value> =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let headers: Map<String, Value> =
            serde_json::from_value(members.remove("headers").unwrap_or_default())
                .unwrap_or_default();
        let text = |value: Value| value.as_str().expect("header fields are texts").to_owned();
        let mut pointers = |name| {
            serde_json::from_value(members.remove(name).unwrap_or_default()).unwrap_or_default()
        };
        let (base64, as_text) = (pointers("base64"), pointers("text"));
        let body = members.remove("body").expect("a sample has a body");
        assert!(members.is_empty(), "{}: {members:?}", path.display());
        let headers = headers.into_iter().map(|(name, value)| (name, text(value))).collect();
        Self { provider, path, headers, body, base64, text: as_text }
    }

    /// The same with another body.
    pub(crate) fn with_body(&self, body: Value) -> Self {
        Self { body, ..self.clone() }
    }

    /// What it is called in an assertion.
    pub(crate) fn name(&self) -> String {
        let path = self.path.strip_prefix(data()).unwrap_or(&self.path);
        path.with_extension("").display().to_string()
    }

    /// The body as it is sent.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = self.body.clone();
        for pointer in &self.text {
            if let Some(value) = body.pointer_mut(pointer) {
                *value = Value::String(value.to_string());
            }
        }
        for pointer in &self.base64 {
            if let Some(value) = body.pointer_mut(pointer) {
                *value = Value::String(STANDARD.encode(value.to_string()));
            }
        }
        body.to_string().into_bytes()
    }

    pub(crate) fn headers(&self) -> Headers {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    pub(crate) fn receiver(&self) -> ProviderReceiver {
        let scope = "acme/platform".parse().unwrap();
        ProviderReceiver::new(self.provider, scope, Verifier::accept_unverified())
    }

    pub(crate) fn open(&self) -> Result<Vec<Notice>, ReceiveError> {
        self.open_body(&self.bytes())
    }

    pub(crate) fn open_body(&self, body: &[u8]) -> Result<Vec<Notice>, ReceiveError> {
        self.receiver().open(Incoming { headers: &self.headers(), body }, now())
    }
}

pub(crate) fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

/// The event's JSON without package URLs, which depend on a feature.
pub(crate) fn as_json(event: &Event) -> Value {
    let mut json = serde_json::to_value(event).unwrap();
    for part in ["artifact", "from"] {
        if let Some(part) = json.get_mut(part) {
            part.as_object_mut().unwrap().remove("purl");
        }
    }
    json
}
