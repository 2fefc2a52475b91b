//! CDEvents: artifact events of the Continuous Delivery Foundation's vocabulary, in CloudEvents
//! 1.0.
//!
//! What the vocabulary of a version has no word for is sent as a custom event of it, so that
//! nothing is dropped; the event's own JSON goes along as `customData` in either case.

use serde_json::{Map, Value, json};

use super::Payload;
use super::cloudevents::{reference, source_uri};
use super::encode::header_value;
use crate::document::{Field, Object, Problems, or_mismatch};
use crate::event::{Artifact, Event};

/// What the [`Cdevents`](super::PayloadFormat::Cdevents) format is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Cdevents {
    /// The version of the specification; 0.4.1 unless it is set.
    pub version: CdeventsVersion,
    /// Whether the attributes go in `ce-` header fields (CloudEvents' binary mode) and not around
    /// the event.
    pub binary: bool,
}

/// A version of the CDEvents specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CdeventsVersion {
    /// 0.3.0, which has no word for a deletion or a download.
    V0_3_0,
    /// 0.4.1.
    #[default]
    V0_4_1,
    /// 0.5.0.
    V0_5_0,
}

impl CdeventsVersion {
    /// All versions that can be sent.
    pub const ALL: [Self; 3] = [Self::V0_3_0, Self::V0_4_1, Self::V0_5_0];

    /// The version as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_4_1 => "0.4.1",
            Self::V0_5_0 => "0.5.0",
        }
    }

    /// The version of a predicate's own schema in this one; `None` if it is not in it.
    fn schema(self, predicate: &str) -> Option<&'static str> {
        Some(match (self, predicate) {
            (Self::V0_3_0, "published") => "0.1.1",
            (Self::V0_3_0, "signed") | (Self::V0_4_1, "deleted" | "downloaded") => "0.1.0",
            (Self::V0_4_1, "published" | "signed") | (Self::V0_5_0, "deleted" | "downloaded") => {
                "0.2.0"
            }
            (Self::V0_5_0, "published" | "signed") => "0.3.0",
            _ => return None,
        })
    }
}

impl Field for CdeventsVersion {
    const EXPECTED: &'static str = "0.3.0, 0.4.1 or 0.5.0 (a string)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|known| value.as_str() == Some(known.as_str()));
        or_mismatch(known, &value, Self::EXPECTED, path, problems)
    }
}

impl Cdevents {
    /// Sets the version of the specification.
    pub fn with_version(mut self, version: CdeventsVersion) -> Self {
        self.version = version;
        self
    }

    /// Sets whether the attributes go in header fields.
    pub fn with_binary(mut self, binary: bool) -> Self {
        self.binary = binary;
        self
    }

    pub(super) fn take(object: &mut Object, problems: &mut Problems) -> Self {
        Self {
            version: object.optional("version", problems).unwrap_or_default(),
            binary: object.optional("binary", problems).unwrap_or_default(),
        }
    }

    pub(super) fn to_value(self) -> Value {
        json!({"version": self.version.as_str(), "binary": self.binary})
    }

    pub(super) fn render(self, event: &Event, event_json: &[u8]) -> Payload {
        let word = Word::of(self.version, event);
        let data = self.cdevent(event, &word, event_json);
        let attributes = [
            ("specversion", "1.0".to_owned()),
            ("id", event.id.to_string()),
            ("source", source_uri(&event.source)),
            ("type", word.kind.clone()),
            ("time", event.occurred_at.to_string()),
            ("subject", word.subject),
        ];
        if self.binary {
            let mut payload = Payload::new("application/cdevents+json", data);
            let fields = attributes
                .into_iter()
                .map(|(name, value)| (format!("ce-{name}"), header_value(&value)));
            payload.headers.extend(fields);
            return payload;
        }
        let mut envelope: Map<String, Value> =
            attributes.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        envelope.insert("datacontenttype".to_owned(), json!("application/cdevents+json"));
        Payload::new("application/cloudevents+json", with_last(&envelope, "data", &data))
    }

    fn cdevent(self, event: &Event, word: &Word, event_json: &[u8]) -> Vec<u8> {
        let is_latest = self.version == CdeventsVersion::V0_5_0;
        let mut context = json!({
            "id": event.id,
            "source": source_uri(&event.source),
            "type": word.kind,
            "timestamp": event.occurred_at,
        });
        context[if is_latest { "specversion" } else { "version" }] = json!(self.version.as_str());
        let mut subject = json!({"id": word.subject, "content": word.content});
        if !is_latest {
            subject["type"] = json!(word.subject_type);
        }
        let mut body = Map::new();
        body.insert("context".to_owned(), context);
        body.insert("customDataContentType".to_owned(), json!("application/json"));
        body.insert("subject".to_owned(), subject);
        with_last(&body, "customData", event_json)
    }
}

/// An object with a last member, whose JSON is at hand.
fn with_last(object: &Map<String, Value>, name: &str, json: &[u8]) -> Vec<u8> {
    let mut text = serde_json::to_vec(object).expect("the keys are strings");
    text.pop();
    text.extend_from_slice(format!(",\"{name}\":").as_bytes());
    text.extend_from_slice(json);
    text.push(b'}');
    text
}

/// What the types of custom events begin with.
const CUSTOM: &str = "dev.cdeventsx.";
/// What stands for this crate in them.
const TOOL: &str = "artifacttriggers";

/// What the vocabulary calls an event.
struct Word {
    kind: String,
    subject: String,
    subject_type: String,
    content: Value,
}

impl Word {
    fn of(version: CdeventsVersion, event: &Event) -> Self {
        Self::of_artifact(version, event).unwrap_or_else(|| Self::custom(event))
    }

    fn of_artifact(version: CdeventsVersion, event: &Event) -> Option<Self> {
        let artifact = event.artifact.as_ref()?;
        let predicate = predicate(event.kind.as_str())?;
        let schema = version.schema(predicate)?;
        let mut content = Map::new();
        let mut subject = subject(artifact)?;
        match predicate {
            "signed" => {
                content.insert("signature".to_owned(), json!(artifact.digest.as_ref()?));
                subject = signed(artifact)?;
            }
            _ if version == CdeventsVersion::V0_3_0 => {}
            _ => {
                let user = event.actor.as_ref().and_then(|actor| actor.name.as_ref());
                content.extend(user.map(|user| ("user".to_owned(), json!(user))));
            }
        }
        Some(Self {
            kind: format!("dev.cdevents.artifact.{predicate}.{schema}"),
            subject,
            subject_type: "artifact".to_owned(),
            content: Value::Object(content),
        })
    }

    /// Subject and predicate of custom events are of letters only.
    fn custom(event: &Event) -> Self {
        let (subject, predicate) = event.kind.as_str().split_once('.').unwrap_or(("event", ""));
        let letters = |text: &str, instead: &str| {
            let kept: String = text.chars().filter(char::is_ascii_alphabetic).collect();
            if kept.is_empty() { instead.to_owned() } else { kept }
        };
        let predicate = match predicate {
            "" => letters(event.kind.as_str(), "told"),
            predicate => letters(predicate, "told"),
        };
        let subject_type = format!("{TOOL}-{}", letters(subject, "event"));
        Self {
            kind: format!("{CUSTOM}{subject_type}.{predicate}.0.1.0"),
            subject: event
                .artifact
                .as_ref()
                .and_then(self::subject)
                .unwrap_or_else(|| event.id.to_string()),
            subject_type,
            content: json!({"kind": event.kind}),
        }
    }
}

/// What a kind says of an artifact: it can be had, it was had, it is gone, it is signed.
fn predicate(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "artifact.ingested" | "artifact.updated" | "artifact.promoted" | "artifact.copied"
        | "artifact.moved" | "artifact.restored" => "published",
        "artifact.downloaded" => "downloaded",
        "artifact.deleted" => "deleted",
        "artifact.signed" => "signed",
        _ => return None,
    })
}

/// The package URL; a reference where none could be made.
fn subject(artifact: &Artifact) -> Option<String> {
    reference(artifact).or_else(|| artifact.digest.clone())
}

/// What a signature is of: the same repository, another digest.
fn signed(signature: &Artifact) -> Option<String> {
    let digest = signature.oci.as_ref()?.subject_digest.as_ref()?;
    let mut subject = signature.clone();
    subject.tags.clear();
    subject.version = None;
    subject.digest = Some(digest.clone());
    subject.purl = signature.purl.as_ref().map(|purl| {
        let (coordinates, qualifiers) = purl.split_once('?').unwrap_or((purl, ""));
        let name = coordinates.split_once('@').map_or(coordinates, |(name, _)| name);
        let place = qualifiers.split('&').find(|one| one.starts_with("repository_url="));
        format!("{name}@{digest}{}", place.map(|one| format!("?{one}")).unwrap_or_default())
    });
    self::subject(&subject)
}
