//! Batches: several payloads of one form as one.

use super::{HOPS_HEADER, Payload};
use crate::id::MessageId;

/// A form in which several payloads are one: a JSON array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchForm {
    /// Of the native format.
    Native,
    /// The JSON Batch Format of `CloudEvents` 1.0.
    Cloudevents,
}

impl BatchForm {
    /// The form in which a payload goes with others, by what it was made as; `None` if it goes alone.
    pub(crate) fn of(payload: &Payload) -> Option<Self> {
        let mut fields = payload.headers.iter().filter(|(name, _)| name != HOPS_HEADER);
        let (Some((name, value)), None) = (fields.next(), fields.next()) else { return None };
        let is_object = payload.body.starts_with(b"{\"");
        match value.as_str() {
            _ if name != "content-type" || !is_object => None,
            "application/json" => Some(Self::Native),
            "application/cloudevents+json" => Some(Self::Cloudevents),
            _ => None,
        }
    }

    /// Payloads of this form as one. Each tells its message id; the hops are the most that any has.
    pub(crate) fn join<'a>(
        self,
        members: impl Iterator<Item = (MessageId, &'a Payload)> + Clone,
    ) -> Payload {
        let (content_type, id) = match self {
            Self::Native => ("application/json", "id"),
            Self::Cloudevents => ("application/cloudevents-batch+json", "messageid"),
        };
        let size: usize = members.clone().map(|(_, payload)| payload.body.len() + 64).sum();
        let mut body = Vec::with_capacity(size);
        let mut hops = None;
        for (message, payload) in members {
            body.extend_from_slice(if body.is_empty() { b"[{\"" } else { b",{\"" });
            body.extend_from_slice(format!("{id}\":\"{message}\",").as_bytes());
            body.extend_from_slice(&payload.body[1..]);
            let of = payload.headers.iter().find(|(name, _)| name == HOPS_HEADER);
            hops = hops.max(of.map(|(_, hops)| (hops.split(',').count(), hops)));
        }
        body.push(b']');
        let mut joined = Payload::new(content_type, body);
        joined.headers.extend(hops.map(|(_, hops)| (HOPS_HEADER.to_owned(), hops.clone())));
        joined
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::{Artifact, Event, EventKind};
    use crate::id::{DeliveryId, TriggerId};
    use crate::payload::{PayloadFormat, TriggerName};

    fn payload(format: PayloadFormat, name: &str, hops: &[&str]) -> (MessageId, Payload) {
        let artifact = Artifact::new("generic", name);
        let mut event =
            Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().unwrap();
        event.correlation.hops = hops.iter().map(ToString::to_string).collect();
        let id = TriggerId::derived(event.occurred_at, &[]);
        let name = TriggerName { id, name: "t" };
        let payload = format.render(&event, &event.to_json(), name).with_hops(&event, id);
        (MessageId::of(DeliveryId::of(event.id, id)), payload)
    }

    fn joined(format: PayloadFormat) -> (Payload, Value) {
        let members = [payload(format, "a", &["x", "y"]), payload(format, "b", &[])];
        let form = BatchForm::of(&members[0].1).unwrap();
        let joined = form.join(members.iter().map(|(id, payload)| (*id, payload)));
        let bodies: Vec<Value> = members
            .iter()
            .map(|(id, payload)| {
                let mut body: Value = serde_json::from_slice(&payload.body).unwrap();
                let member = if form == BatchForm::Native { "id" } else { "messageid" };
                body[member] = json!(id);
                body
            })
            .collect();
        assert_eq!(serde_json::from_slice::<Value>(&joined.body).unwrap(), json!(bodies));
        assert_eq!(joined.headers[1], members[0].1.headers[1], "the most hops");
        (joined, json!(bodies))
    }

    #[test]
    fn native_payloads_are_an_array_of_them_with_their_ids() {
        let (payload, bodies) = joined(PayloadFormat::Native);
        assert_eq!(payload.headers[0].1, "application/json");
        assert_eq!(bodies[1]["data"]["artifact"]["name"], "b");
    }

    #[test]
    fn structured_cloudevents_are_a_batch() {
        let (payload, bodies) = joined(PayloadFormat::CloudeventsStructured);
        assert_eq!(payload.headers[0].1, "application/cloudevents-batch+json");
        assert_eq!(bodies[1]["id"], bodies[1]["data"]["id"], "the id stays the event's");
    }

    #[test]
    fn what_has_no_such_form_goes_alone() {
        let (_, binary) = payload(PayloadFormat::CloudeventsBinary, "a", &[]);
        assert_eq!(BatchForm::of(&binary), None);
        let (_, mut native) = payload(PayloadFormat::Native, "a", &[]);
        native.body = (*b"[]").into();
        assert_eq!(BatchForm::of(&native), None);
        assert_eq!(BatchForm::of(&Payload::of_action(b"{\"a\":1}")), None);
    }
}
