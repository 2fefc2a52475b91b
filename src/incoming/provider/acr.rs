//! Azure Container Registry: its webhooks, and the same by Event Grid, in Event Grid's own schema
//! or as CloudEvents.
//!
//! In: one notification, or those that Event Grid wraps. Out: one notice each. A subscription of
//! Event Grid in its own schema is confirmed by an answer; one in the schema of CloudEvents asks by
//! `OPTIONS`, which is for whoever serves the endpoint.
//!
//! | `action` | kind |
//! |---|---|
//! | `push`, `chart_push` | `artifact.ingested`, or `artifact.updated` if the tag had another digest |
//! | `delete`, `chart_delete` | `artifact.deleted`; `repository.deleted` if it names no digest |
//! | `quarantine` | `artifact.quarantined` |
//! | `ping` | `ping` |
//! | others, and other events of Event Grid | `acr.` and the action or the event's type |

mod notification;

use serde_json::{Value, json};

use super::super::cloudevents::{self, CloudEvent};
use super::super::fields::{keep, required_text, text};
use super::super::told::{Telling, Told};
use super::super::{Answer, Notice, ParseError};
use crate::clock::Timestamp;
use crate::document::{self, Object, Problems};
use crate::event::MAX_COUNT;
use crate::request::Headers;

/// The event by which Event Grid asks whether an endpoint wants to hear of it.
const VALIDATION: &str = "Microsoft.EventGrid.SubscriptionValidationEvent";

pub(super) fn read(headers: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    if cloudevents::is_one(headers) {
        let events = cloudevents::read(headers, telling.body)?;
        return Ok(Problems::gather(|problems| {
            let told = events.into_iter().map(|event| of_cloud_event(event, problems)).collect();
            notices(told, telling, problems)
        })?);
    }
    let value = document::parse_foreign(telling.body, telling.body.len())?;
    Ok(Problems::gather(|problems| {
        let told = match value {
            Value::Array(events) => of_event_grid(events, problems)?,
            webhook => {
                let object = Object::root(webhook, problems)?;
                vec![Some((String::new(), notification::read(object, None, problems)?))]
            }
        };
        notices(told, telling, problems)
    })?)
}

fn notices(
    told: Vec<Option<(String, Told)>>,
    telling: &Telling<'_>,
    problems: &mut Problems,
) -> Option<Vec<Notice>> {
    // Each has an id: what else is in the batch is another time something else.
    let told = told.into_iter().map(|told| {
        let (path, told) = told?;
        told.notice(0, telling, &path, problems)
    });
    told.collect()
}

/// Each event and where it stands.
fn of_event_grid(
    events: Vec<Value>,
    problems: &mut Problems,
) -> Option<Vec<Option<(String, Told)>>> {
    if events.len() > MAX_COUNT {
        let found = events.len();
        problems.add("", format!("expected at most {MAX_COUNT} events, found {found}"));
        return None;
    }
    let read = |(n, event)| {
        let path = format!("[{n}]");
        Some((path.clone(), grid_event(event, &path, problems)?))
    };
    Some(events.into_iter().enumerate().map(read).collect())
}

fn grid_event(event: Value, path: &str, problems: &mut Problems) -> Option<Told> {
    let mut object = <Object as document::Field>::read(event, path, problems)?;
    let id = required_text(&mut object, "id", problems);
    let topic = text(&mut object, "topic", problems);
    let kind = required_text(&mut object, "eventType", problems);
    let time: Option<Timestamp> = object.required("eventTime", problems);
    let data: Option<Object> = object.required("data", problems);
    let rest = object.rest();
    let mut told = notification::read(data?, kind.as_deref(), problems)?;
    told.id = id;
    told.instance = topic;
    told.occurred_at = told.occurred_at.or(time);
    keep(&mut told.rest, "event", rest);
    Some(told)
}

fn of_cloud_event(mut event: CloudEvent, problems: &mut Problems) -> Option<(String, Told)> {
    let path = event.data_path();
    let data = event.take_object(problems)?;
    let mut told = notification::read(data, Some(&event.kind), problems)?;
    told.occurred_at = told.occurred_at.or(event.time);
    let mut envelope = event.into_json();
    for known in ["specversion", "id", "source", "type", "time", "datacontenttype"] {
        let value = envelope.remove(known);
        let value = || value.as_ref().and_then(Value::as_str).map(str::to_owned);
        match known {
            "id" => told.id = value(),
            "source" => told.instance = value(),
            _ => {}
        }
    }
    keep(&mut told.rest, "event", envelope);
    Some((path, told))
}

/// The answer that confirms a subscription.
pub(super) fn handshake(_: &Headers, body: &[u8]) -> Option<Answer> {
    let asks = body.windows(VALIDATION.len()).any(|window| window == VALIDATION.as_bytes());
    if !asks {
        return None;
    }
    let events: Value = serde_json::from_slice(body).ok()?;
    let [event] = events.as_array()?.as_slice() else { return None };
    if event.get("eventType")?.as_str()? != VALIDATION {
        return None;
    }
    let code = event.get("data")?.get("validationCode")?.as_str()?;
    let answer = json!({ "validationResponse": code }).to_string();
    Some(Answer::new(200).with_body("application/json", answer))
}
