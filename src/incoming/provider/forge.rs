//! What the webhooks of forges have in common that look like GitHub's: the event's name and id are
//! header fields, and whoever did it is `sender`.

use crate::document::{Object, Problems};
use crate::event::{Actor, ActorKind, Artifact};
use crate::incoming::Change;
use crate::incoming::fields::{own_kind, required_text, text};
use crate::incoming::names::host_of;
use crate::incoming::told::Told;
use crate::request::Headers;

/// A header field that is there once and is text; empty is absent.
pub(super) fn header(headers: &Headers, name: &str) -> Option<String> {
    let value = headers.only(name).filter(|value| !value.is_empty())?;
    String::from_utf8(value.to_vec()).ok().filter(|text| !text.contains(char::is_control))
}

/// A header field that has to be there.
pub(super) fn required_header(
    headers: &Headers,
    name: &str,
    problems: &mut Problems,
) -> Option<String> {
    let value = header(headers, name);
    if value.is_none() {
        problems.add(name, "expected the header once and not empty");
    }
    value
}

/// A number or a text that names something, as a text.
pub(super) fn id(object: &mut Object, name: &str, problems: &mut Problems) -> Option<String> {
    let value: serde_json::Value = object.optional(name, problems)?;
    match value {
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        other => {
            crate::document::mismatch(&other, "a number or a string", &object.path(name), problems);
            None
        }
    }
}

/// A user of the forge: what is left of it has no place in an event.
pub(super) fn user(mut told: Object, problems: &mut Problems) -> Option<Actor> {
    let login = text(&mut told, "login", problems);
    let id = id(&mut told, "id", problems);
    let kind = match text(&mut told, "type", problems).as_deref() {
        Some("Bot") => ActorKind::Robot,
        _ => ActorKind::User,
    };
    let mut actor = Actor::new(kind, login?);
    actor.id = id;
    Some(actor)
}

/// The name of an account, of which nothing else is read.
pub(super) fn login(object: &mut Object, name: &str, problems: &mut Problems) -> Option<String> {
    let mut account: Object = object.optional(name, problems)?;
    text(&mut account, "login", problems)
}

/// An event that is of no artifact: it is told under the forge's own words, about the repository of
/// code that it belongs to.
pub(super) fn other(
    forge: &str,
    event: &str,
    object: &mut Object,
    problems: &mut Problems,
) -> Option<Told> {
    let action = text(object, "action", problems);
    let words = action.map_or_else(|| event.to_owned(), |action| format!("{event}.{action}"));
    let kind = own_kind(forge, &words, "action", problems);
    let sender: Option<Object> = object.required("sender", problems);
    let actor = sender.and_then(|told| user(told, problems));
    let repository: Option<Object> = object.optional("repository", problems);
    let mut artifact = Artifact::default();
    if let Some(mut repository) = repository {
        artifact.repository = required_text(&mut repository, "full_name", problems);
        artifact.url = text(&mut repository, "html_url", problems);
        artifact.registry = artifact.url.as_deref().and_then(host_of);
    }
    let mut told = Told::new(kind?, Change::None, artifact);
    told.actor = actor;
    Some(told)
}
