//! Batches: several payloads of one form as one.

use super::chat::digest::Service;
use super::{HOPS_HEADER, Payload, distribution, native};
use crate::id::MessageId;

/// A form in which several payloads are one: a JSON array, an envelope that holds one, or a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchForm {
    /// Of the native format.
    Native,
    /// The JSON Batch Format of `CloudEvents` 1.0.
    Cloudevents,
    /// The envelope of the distribution registry, of the events of all.
    Distribution,
    /// A message of a chat service in which each of them has a line.
    Chat(Service),
}

impl BatchForm {
    /// The form in which a payload goes with others, by what it was made as; `None` if it goes
    /// alone.
    pub(crate) fn of(payload: &Payload) -> Option<Self> {
        let mut fields = payload.headers.iter().filter(|(name, _)| name != HOPS_HEADER);
        let (Some((name, value)), None) = (fields.next(), fields.next()) else { return None };
        match value.as_str() {
            _ if name != "content-type" => None,
            "application/json" if native::is_native(&payload.body) => Some(Self::Native),
            "application/json" => Service::of(&payload.body).map(Self::Chat),
            "application/cloudevents+json" => {
                payload.body.starts_with(b"{\"").then_some(Self::Cloudevents)
            }
            distribution::MEDIA_TYPE => {
                distribution::events(&payload.body).is_some().then_some(Self::Distribution)
            }
            _ => None,
        }
    }

    /// Payloads of this form as one. Each tells its message id, where the form has a place for it;
    /// the hops are the most that any has.
    pub(crate) fn join<'a>(
        self,
        members: impl Iterator<Item = (MessageId, &'a Payload)> + Clone,
    ) -> Payload {
        let (content_type, open, close) = match self {
            Self::Native => ("application/json", &b"["[..], &b"]"[..]),
            Self::Cloudevents => ("application/cloudevents-batch+json", &b"["[..], &b"]"[..]),
            Self::Distribution => {
                (distribution::MEDIA_TYPE, distribution::OPEN, distribution::CLOSE)
            }
            Self::Chat(service) => {
                let bodies = members.clone().map(|(_, payload)| &*payload.body);
                let digest = Payload::new("application/json", service.digest(bodies));
                return digest.with_most_hops(members.map(|(_, payload)| payload));
            }
        };
        let size: usize = members.clone().map(|(_, payload)| payload.body.len() + 64).sum();
        let mut body = Vec::with_capacity(size);
        body.extend_from_slice(open);
        for (n, (message, payload)) in members.clone().enumerate() {
            if n > 0 {
                body.push(b',');
            }
            self.add(message, payload, &mut body);
        }
        body.extend_from_slice(close);
        Payload::new(content_type, body).with_most_hops(members.map(|(_, payload)| payload))
    }

    fn add(self, message: MessageId, payload: &Payload, body: &mut Vec<u8>) {
        let id = match self {
            Self::Native => "id",
            Self::Cloudevents => "messageid",
            Self::Distribution => {
                body.extend_from_slice(distribution::events(&payload.body).unwrap_or_default());
                return;
            }
            Self::Chat(_) => unreachable!("a digest is no list of its members"),
        };
        body.extend_from_slice(format!("{{\"{id}\":\"{message}\",").as_bytes());
        body.extend_from_slice(&payload.body[1..]);
    }
}

impl Payload {
    /// Says that it has gone through as many hops as the one of these that went through the most.
    fn with_most_hops<'a>(mut self, members: impl Iterator<Item = &'a Self>) -> Self {
        let hops = members.filter_map(|member| {
            let (_, hops) = member.headers.iter().find(|(name, _)| name == HOPS_HEADER)?;
            Some((hops.split(',').count(), hops))
        });
        self.headers.extend(hops.max().map(|(_, hops)| (HOPS_HEADER.to_owned(), hops.clone())));
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::{Artifact, Event, EventKind};
    use crate::id::{DeliveryId, TriggerId};
    use crate::payload::{
        Cdevents, Chat, GithubDispatch, GitlabPipeline, Harness, PayloadFormat, TriggerName,
    };

    fn payload(format: &PayloadFormat, name: &str, hops: &[&str]) -> (MessageId, Payload) {
        let artifact = Artifact::new("generic", name);
        let mut event =
            Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).build().unwrap();
        event.correlation.hops = hops.iter().map(ToString::to_string).collect();
        let id = TriggerId::derived(event.occurred_at, &[]);
        let name = TriggerName { id, name: "t" };
        let payload = format.render(&event, &event.to_json(), name).with_hops(&event, id);
        (MessageId::of(DeliveryId::of(event.id, id)), payload)
    }

    fn joined(format: &PayloadFormat) -> (Payload, Value) {
        let members = [payload(format, "a", &["x", "y"]), payload(format, "b", &[])];
        let form = BatchForm::of(&members[0].1).unwrap();
        let joined = form.join(members.iter().map(|(id, payload)| (*id, payload)));
        let bodies: Vec<Value> = members
            .iter()
            .map(|(id, payload)| {
                let mut body: Value = serde_json::from_slice(&payload.body).unwrap();
                match form {
                    BatchForm::Native => body["id"] = json!(id),
                    BatchForm::Cloudevents => body["messageid"] = json!(id),
                    BatchForm::Distribution => body = body["events"][0].clone(),
                    BatchForm::Chat(_) => unreachable!("digests have tests of their own"),
                }
                body
            })
            .collect();
        let expected = match form {
            BatchForm::Distribution => json!({"events": bodies}),
            _ => json!(bodies),
        };
        assert_eq!(serde_json::from_slice::<Value>(&joined.body).unwrap(), expected);
        assert_eq!(joined.headers[1], members[0].1.headers[1], "the most hops");
        (joined, json!(bodies))
    }

    #[test]
    fn native_payloads_are_an_array_of_them_with_their_ids() {
        let (payload, bodies) = joined(&PayloadFormat::Native);
        assert_eq!(payload.headers[0].1, "application/json");
        assert_eq!(bodies[1]["data"]["artifact"]["name"], "b");
    }

    #[test]
    fn structured_cloudevents_are_a_batch() {
        let (payload, bodies) = joined(&PayloadFormat::CloudeventsStructured);
        assert_eq!(payload.headers[0].1, "application/cloudevents-batch+json");
        assert_eq!(bodies[1]["id"], bodies[1]["data"]["id"], "the id stays the event's");
        let (payload, bodies) = joined(&PayloadFormat::Cdevents(Cdevents::default()));
        assert_eq!(payload.headers[0].1, "application/cloudevents-batch+json");
        assert_eq!(bodies[1]["id"], bodies[1]["data"]["context"]["id"]);
    }

    #[test]
    fn envelopes_of_a_distribution_registry_are_one() {
        let (payload, bodies) = joined(&PayloadFormat::Distribution);
        assert_eq!(payload.headers[0].1, distribution::MEDIA_TYPE);
        assert_ne!(bodies[0]["id"], bodies[1]["id"], "each has its event's id");
    }

    #[test]
    fn a_format_says_that_it_has_batches_where_its_payloads_have_a_form() {
        let formats = [
            PayloadFormat::Native,
            PayloadFormat::CloudeventsStructured,
            PayloadFormat::CloudeventsBinary,
            PayloadFormat::Cdevents(Cdevents::default()),
            PayloadFormat::Cdevents(Cdevents::default().with_binary(true)),
            PayloadFormat::Distribution,
            PayloadFormat::Harbor,
            PayloadFormat::Harness(Harness::default()),
            PayloadFormat::Slack(Chat::default()),
            PayloadFormat::Teams(Chat::default()),
            PayloadFormat::Discord(Chat::default()),
            PayloadFormat::GithubDispatch(GithubDispatch::default()),
            PayloadFormat::GitlabPipeline(GitlabPipeline::new("main")),
        ];
        for format in formats {
            let has_form = BatchForm::of(&payload(&format, "a", &[]).1).is_some();
            assert_eq!(format.has_batches(), has_form, "{format:?}");
        }
    }

    #[test]
    fn what_has_no_such_form_goes_alone() {
        let (_, binary) = payload(&PayloadFormat::CloudeventsBinary, "a", &[]);
        assert_eq!(BatchForm::of(&binary), None);
        let (_, mut native) = payload(&PayloadFormat::Native, "a", &[]);
        for other in ["[]", "{}", r#"{"type":"message"}"#, r#"{"text":"a"}"#] {
            native.body = other.as_bytes().into();
            assert_eq!(BatchForm::of(&native), None, "{other}");
        }
        let (_, harness) = payload(&PayloadFormat::Harness(Harness::default()), "a", &[]);
        assert_eq!(BatchForm::of(&harness), None);
        assert_eq!(BatchForm::of(&Payload::of_action(b"{\"a\":1}")), None);
    }
}
