//! What a chat message says of an event, before a service's own form.
//!
//! In: an event and the trigger's name. Out: a [`Message`] of short texts without control
//! characters, which each service writes by its own rules. All of them come from whoever pushes:
//! none may become a mention, a link or markup.

#[cfg(feature = "engine")]
pub(super) mod digest;
pub(super) mod discord;
pub(super) mod slack;
pub(super) mod teams;

use serde_json::{Value, json};
use url::Url;

use crate::clock::Timestamp;
use crate::document::{Object, Problems, cut};
use crate::event::{Actor, ActorKind, Artifact, Event};

/// What the formats [`Slack`](super::PayloadFormat::Slack), [`Teams`](super::PayloadFormat::Teams)
/// and [`Discord`](super::PayloadFormat::Discord) are to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Chat {
    /// What stands before each message's title, such as the name of an environment.
    pub label: Option<String>,
}

impl Chat {
    /// The longest label, in characters.
    pub const MAX_LABEL_CHARS: usize = 40;

    /// Sets what stands before each message's title.
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub(super) fn take(object: &mut Object, problems: &mut Problems) -> Self {
        Self { label: object.optional("label", problems) }
    }

    pub(super) fn to_value(&self) -> Value {
        match &self.label {
            Some(label) => json!({"label": label}),
            None => json!({}),
        }
    }

    pub(super) fn check(&self, path: &str, problems: &mut Problems) {
        let Some(label) = &self.label else { return };
        let length = 1..=Self::MAX_LABEL_CHARS;
        if !length.contains(&label.chars().count()) || label.chars().any(char::is_control) {
            let most = Self::MAX_LABEL_CHARS;
            let expected = format!("expected 1 to {most} characters and no control characters");
            let found = cut(label);
            problems.add(format!("{path}.label"), format!("{expected}, found {found:?}"));
        }
    }
}

/// The most characters of a title, without the label.
const MAX_TITLE_CHARS: usize = 100;
/// The most characters of a fact.
const MAX_FACT_CHARS: usize = 200;
/// The most characters of a fact's name.
const MAX_NAME_CHARS: usize = 30;
/// The most of an event's attributes that are told.
const MAX_ATTRIBUTES: usize = 4;

/// What is told of an event.
struct Message {
    /// What happened to what, in one line.
    title: String,
    /// More of it: what, and its value.
    facts: Vec<(String, String)>,
    /// Where the artifact is.
    link: Option<Url>,
    time: Timestamp,
    mood: Mood,
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Good,
    Neutral,
    Bad,
}

impl Mood {
    /// Its color, where a service takes any.
    fn color(self) -> u32 {
        match self {
            Self::Good => 0x2e_b8_86,
            Self::Neutral => 0x5b_6b_7b,
            Self::Bad => 0xd1_3c_3c,
        }
    }
}

/// What happened, in words, and how much it matters.
const PHRASES: [(&str, &str, Mood); 36] = [
    ("artifact.ingested", "New artifact", Mood::Good),
    ("artifact.updated", "Artifact updated", Mood::Neutral),
    ("artifact.deleted", "Artifact deleted", Mood::Neutral),
    ("artifact.downloaded", "Artifact downloaded", Mood::Neutral),
    ("artifact.promoted", "Artifact promoted", Mood::Good),
    ("artifact.copied", "Artifact copied", Mood::Neutral),
    ("artifact.moved", "Artifact moved", Mood::Neutral),
    ("artifact.restored", "Artifact restored", Mood::Neutral),
    ("artifact.yanked", "Version yanked", Mood::Bad),
    ("artifact.deprecated", "Version deprecated", Mood::Bad),
    ("artifact.quarantined", "Artifact quarantined", Mood::Bad),
    ("artifact.released", "Artifact released from quarantine", Mood::Good),
    ("artifact.signed", "Artifact signed", Mood::Good),
    ("artifact.attested", "Artifact attested", Mood::Good),
    ("sbom.attached", "Bill of materials attached", Mood::Good),
    ("tag.created", "New tag", Mood::Neutral),
    ("tag.moved", "Tag moved", Mood::Neutral),
    ("tag.deleted", "Tag removed", Mood::Neutral),
    ("blob.ingested", "New blob", Mood::Neutral),
    ("blob.mounted", "Blob mounted", Mood::Neutral),
    ("blob.downloaded", "Blob downloaded", Mood::Neutral),
    ("blob.deleted", "Blob deleted", Mood::Neutral),
    ("scan.completed", "Scan completed", Mood::Good),
    ("scan.failed", "Scan failed", Mood::Bad),
    ("policy.violated", "Policy violated", Mood::Bad),
    ("quota.warning", "Quota nearly used up", Mood::Bad),
    ("quota.exceeded", "Quota used up", Mood::Bad),
    ("retention.completed", "Retention run ended", Mood::Neutral),
    ("repository.created", "New repository", Mood::Neutral),
    ("repository.deleted", "Repository deleted", Mood::Bad),
    ("schedule.fired", "Schedule came due", Mood::Neutral),
    ("webhook.received", "Webhook received", Mood::Neutral),
    ("trigger.failing", "Trigger is failing", Mood::Bad),
    ("trigger.disabled", "Trigger suspended", Mood::Bad),
    ("delivery.dead", "Delivery given up", Mood::Bad),
    ("ping", "Test message", Mood::Neutral),
];

impl Message {
    fn of(chat: &Chat, event: &Event, trigger: &str) -> Self {
        let (phrase, mood) = phrase(event.kind.as_str());
        let subject = event
            .artifact
            .as_ref()
            .and_then(name)
            .or_else(|| event.attributes.get("trigger_name").cloned());
        let title = match subject {
            Some(subject) => plain(&format!("{phrase}: {subject}"), MAX_TITLE_CHARS),
            None => plain(phrase, MAX_TITLE_CHARS),
        };
        let title = match &chat.label {
            Some(label) => format!("{} · {title}", plain(label, Chat::MAX_LABEL_CHARS)),
            None => title,
        };
        let link = event.artifact.as_ref().and_then(|artifact| link(artifact.url.as_deref()?));
        Self { title, facts: facts(event, trigger), link, time: event.occurred_at, mood }
    }

    /// The time as it is told where a service does not tell it by the reader's clock.
    fn time(&self) -> String {
        self.time.to_datetime().format("%Y-%m-%d %H:%M:%S UTC").to_string()
    }
}

/// Where a link may lead: the web, and never with a user or a password before the host.
fn link(url: &str) -> Option<Url> {
    let url = Url::parse(url).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https");
    let is_bare = url.username().is_empty() && url.password().is_none();
    (is_web && is_bare && url.as_str().len() <= 1_000).then_some(url)
}

/// A text in one line, without what changes how others are read, and no longer than that.
fn plain(text: &str, most: usize) -> String {
    let is_marker = |c: char| {
        matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let seen = text.chars().filter(|c| !is_marker(*c));
    let seen = seen.map(|c| {
        let breaks = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        if breaks { ' ' } else { c }
    });
    let mut kept: String = seen.clone().take(most).collect();
    if seen.count() > most {
        kept.pop();
        kept.push('…');
    }
    kept
}

/// The package and its version, as people write it.
fn name(artifact: &Artifact) -> Option<String> {
    let of_package = || {
        let name = artifact.name.as_ref()?;
        let space = artifact.namespace.as_ref();
        Some(space.map_or_else(|| name.clone(), |space| format!("{space}/{name}")))
    };
    let is_image = artifact.oci.is_some() || artifact.package_type.as_deref() == Some("oci");
    let of_repository = || artifact.repository.clone();
    let name = if is_image { of_repository().or_else(of_package) } else { of_package() };
    let name = name.or_else(of_repository);
    let digest = artifact.digest.as_deref().map(short);
    Some(match (name, artifact.tags.first(), &artifact.version) {
        (Some(name), Some(tag), _) if is_image => format!("{name}:{tag}"),
        (Some(name), _, Some(version)) => format!("{name} {version}"),
        (Some(name), Some(tag), None) => format!("{name} {tag}"),
        (Some(name), None, None) => match digest {
            Some(digest) => format!("{name} at {digest}"),
            None => name,
        },
        (None, ..) => digest?,
    })
}

/// As much of a digest as people compare.
fn short(digest: &str) -> String {
    match digest.split_once(':') {
        Some((algorithm, value)) => {
            format!("{algorithm}:{}", value.chars().take(12).collect::<String>())
        }
        None => plain(digest, 20),
    }
}

fn facts(event: &Event, trigger: &str) -> Vec<(String, String)> {
    let artifact = event.artifact.as_ref();
    let from = event.from.as_ref();
    let was = from.and_then(|from| {
        let place = from.repository.as_ref().filter(|place| {
            artifact.and_then(|artifact| artifact.repository.as_ref()) != Some(*place)
        });
        place.cloned().or_else(|| from.digest.as_deref().map(short))
    });
    let tags = artifact.filter(|artifact| artifact.tags.len() > 1).map(|all| all.tags.join(", "));
    let known = [
        ("Digest", artifact.and_then(|artifact| artifact.digest.as_deref()).map(short)),
        ("Before", was),
        ("Tags", tags),
        ("Type", artifact.and_then(|artifact| artifact.package_type.clone())),
        ("Registry", artifact.and_then(|artifact| artifact.registry.clone())),
        ("By", event.actor.as_ref().and_then(who)),
        ("Scope", Some(event.scope.to_string()).filter(|scope| !scope.is_empty())),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let attributes = event.attributes.iter().filter(|(name, _)| *name != "trigger_name");
    let attributes = attributes.take(MAX_ATTRIBUTES).map(|(name, value)| {
        (plain(&capitalised(&name.replace('_', " ")), MAX_NAME_CHARS), value.clone())
    });
    let by_trigger = ("Told by".to_owned(), trigger.to_owned());
    known
        .chain(attributes)
        .chain([by_trigger])
        .filter(|(name, value)| !name.trim().is_empty() && !value.trim().is_empty())
        .map(|(name, value)| (name, plain(&value, MAX_FACT_CHARS)))
        .collect()
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

fn who(actor: &Actor) -> Option<String> {
    let anonymous = || match &actor.kind {
        Some(ActorKind::Anonymous) => Some("anonymous".to_owned()),
        Some(ActorKind::Internal) => Some("the registry".to_owned()),
        _ => None,
    };
    actor.name.clone().or_else(|| actor.id.clone()).or_else(anonymous)
}

/// What happened, in words, and how much it matters. Of a kind that is not known, the kind.
fn phrase(kind: &str) -> (&str, Mood) {
    let known = PHRASES.iter().find(|(known, ..)| *known == kind);
    known.map_or((kind, Mood::Neutral), |(_, words, mood)| (*words, *mood))
}
