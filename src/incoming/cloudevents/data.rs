//! Data, by its media type (JSON event format, section 3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::essence;
use crate::document::{self, Problems};

/// The data of an event.
#[derive(Debug, Default, PartialEq)]
pub(in crate::incoming) enum Data {
    /// There is none.
    #[default]
    None,
    /// It is JSON.
    Json(Value),
    /// It is a text of another media type.
    Text(String),
    /// It is neither.
    Bytes(Vec<u8>),
}

impl Data {
    /// What stands as `data` in the JSON format.
    pub(super) fn of_json(value: Value, media_type: Option<&str>) -> Self {
        match value {
            Value::String(text) if media_type.is_some_and(|of| !is_json(of)) => Self::Text(text),
            value => Self::Json(value),
        }
    }

    /// What stands as `data_base64` in the JSON format.
    pub(super) fn of_base64(
        text: &str,
        media_type: Option<&str>,
        path: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        match STANDARD.decode(text) {
            Ok(bytes) if media_type.is_some() => Self::of_bytes(&bytes, media_type, path, problems),
            Ok(bytes) if bytes.is_empty() => Some(Self::None),
            Ok(bytes) => Some(Self::Bytes(bytes)),
            Err(error) => {
                problems.add(path, format!("expected Base64: {error}"));
                None
            }
        }
    }

    /// What stands as it is in a body. Without a media type it may be anything; JSON is recognised.
    pub(super) fn of_bytes(
        bytes: &[u8],
        media_type: Option<&str>,
        path: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::None);
        }
        let parsed = match media_type {
            Some(media_type) if !is_json(media_type) => None,
            _ => Some(document::parse_foreign(bytes, bytes.len())),
        };
        match parsed {
            Some(Ok(value)) => Some(Self::Json(value)),
            Some(Err(found)) if media_type.is_some() => {
                found.iter().for_each(|problem| problems.add(path, problem.message()));
                None
            }
            _ => Some(match std::str::from_utf8(bytes) {
                Ok(text) => Self::Text(text.to_owned()),
                Err(_) => Self::Bytes(bytes.to_vec()),
            }),
        }
    }

    /// The JSON that it is.
    pub(in crate::incoming) fn as_json(&self) -> Option<&Value> {
        match self {
            Self::Json(value) => Some(value),
            _ => None,
        }
    }

    /// Adds it to an envelope of the JSON format.
    pub(super) fn add_to(self, envelope: &mut Map<String, Value>) {
        let (name, value) = match self {
            Self::None => return,
            Self::Json(value) => ("data", value),
            Self::Text(text) => ("data", Value::String(text)),
            Self::Bytes(bytes) => ("data_base64", json!(STANDARD.encode(bytes))),
        };
        envelope.insert(name.to_owned(), value);
    }
}

/// Whether a media type is JSON's: `*/json` or `*/*+json`.
fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type);
    essence.split_once('/').is_some_and(|(_, kind)| kind == "json" || kind.ends_with("+json"))
}
