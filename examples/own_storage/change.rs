//! What a line of the log is made of: changes to the maps, as JSON.
//!
//! The crate's values print themselves as JSON; those that it does not read back are read here.

use std::sync::Arc;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::Delivery;
use artifact_triggers::event::Event;
use artifact_triggers::id::{DeliveryId, EventId, TriggerId};
use artifact_triggers::payload::Payload;
use artifact_triggers::storage::LoggedAttempt;
use artifact_triggers::trigger::Trigger;
use serde::{Deserialize, Serialize};

/// One change to one map.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// `None` for a deleted trigger.
    Trigger {
        id: TriggerId,
        #[serde(with = "trigger")]
        trigger: Option<Arc<Trigger>>,
    },
    Event(Arc<Event>),
    /// `None` for a removed cursor.
    Cursor {
        key: String,
        value: Option<String>,
    },
    /// What a delivery sends; it never changes.
    Payload {
        id: DeliveryId,
        #[serde(with = "payload")]
        payload: Payload,
    },
    /// Where a delivery stands; the latest one counts.
    Delivery(Row),
    Attempt {
        id: DeliveryId,
        #[serde(with = "attempt")]
        attempt: LoggedAttempt,
    },
    /// What a delivery sent, and what was answered.
    ForgetContents(DeliveryId),
    ForgetDelivery(DeliveryId),
    ForgetEvent(EventId),
}

/// A delivery with what a storage knows of it besides.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    #[serde(deserialize_with = "delivery::deserialize")]
    pub(crate) delivery: Delivery,
    /// Of the latest lease; 0 before the first.
    pub(crate) token: u64,
    /// Its place in the order of recording.
    pub(crate) place: u64,
    pub(crate) settled_at: Timestamp,
}

/// A trigger with its secrets: the log is its owner's alone.
mod trigger {
    use super::{Arc, Trigger};
    use serde::{Deserialize as _, Deserializer, Serializer, de, ser};

    #[allow(clippy::ref_option)] // serde hands over the field as it is
    pub(super) fn serialize<S: Serializer>(
        trigger: &Option<Arc<Trigger>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Some(trigger) = trigger else { return serializer.serialize_none() };
        let json = trigger.expose_json();
        serializer.serialize_some(std::str::from_utf8(&json).map_err(ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<Trigger>>, D::Error> {
        let json = Option::<String>::deserialize(deserializer)?;
        let read = json.map(|json| Trigger::from_exposed_json(json.as_bytes()).map(Arc::new));
        read.transpose().map_err(de::Error::custom)
    }
}

/// A payload, its body in base64: it may hold any bytes.
mod payload {
    use super::{Deserialize, Payload, Serialize};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserializer, Serializer, de};

    #[derive(Serialize, Deserialize)]
    struct Form {
        headers: Vec<(String, String)>,
        body: String,
    }

    pub(super) fn serialize<S: Serializer>(
        payload: &Payload,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let (headers, body) = (payload.headers.clone(), STANDARD.encode(&payload.body));
        Form { headers, body }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Payload, D::Error> {
        let form = Form::deserialize(deserializer)?;
        let body = STANDARD.decode(form.body).map_err(de::Error::custom)?;
        Ok(Payload { headers: form.headers, body: body.into() })
    }
}

/// Reads a delivery from the JSON that it prints itself as.
mod delivery {
    use super::{Delivery, DeliveryId, Deserialize, EventId, Timestamp, TriggerId};
    use artifact_triggers::delivery::{CancelReason, DeadReason, EndpointKey, State, Turn};
    use artifact_triggers::event::Scope;
    use artifact_triggers::id::MessageId;
    use serde::{Deserializer, de};

    #[derive(Deserialize)]
    struct Form {
        id: DeliveryId,
        message_id: MessageId,
        event: EventId,
        trigger: TriggerId,
        scope: Scope,
        endpoint: String,
        state: StateForm,
        attempts: u32,
        created_at: Timestamp,
        turn: Option<Turn>,
        #[serde(default)]
        batched: bool,
        #[serde(default)]
        contents_dropped: bool,
    }

    #[derive(Deserialize)]
    #[serde(tag = "name", rename_all = "lowercase")]
    enum StateForm {
        Waiting { due: Timestamp },
        Queued,
        Leased { until: Timestamp },
        Delivered,
        Dead { reason: DeadReason },
        Cancelled { reason: CancelReason },
        Parked,
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Delivery, D::Error> {
        let form = Form::deserialize(deserializer)?;
        let state = match form.state {
            StateForm::Waiting { due } => State::Waiting { due },
            StateForm::Queued => State::Queued,
            StateForm::Leased { until } => State::Leased { until },
            StateForm::Delivered => State::Delivered,
            StateForm::Dead { reason } => State::Dead { reason },
            StateForm::Cancelled { reason } => State::Cancelled { reason },
            StateForm::Parked => State::Parked,
        };
        let endpoint = EndpointKey::new(form.endpoint);
        let delivery =
            Delivery::new(form.event, form.trigger, form.scope, endpoint, form.created_at);
        if delivery.id != form.id {
            return Err(de::Error::custom(format!("{} is not of its event", form.id)));
        }
        let mut delivery = delivery.with_message_id(form.message_id);
        delivery.turn = form.turn;
        let delivery = delivery.with_batched(form.batched);
        let delivery = delivery.with_contents_dropped(form.contents_dropped);
        Ok(delivery.with_state(state).with_attempts(form.attempts))
    }
}

/// An attempt of a delivery's log.
mod attempt {
    use super::{Deserialize, LoggedAttempt, Serialize, Timestamp};
    use artifact_triggers::delivery::{Attempt, Outcome};
    use serde::{Deserializer, Serializer, de};
    use std::time::Duration;

    #[derive(Serialize, Deserialize)]
    struct Form {
        position: u64,
        number: u32,
        started_at: Timestamp,
        ended_at: Timestamp,
        class: String,
        retry_after: Option<Duration>,
        status: Option<u16>,
        error: Option<String>,
        response: Option<String>,
    }

    pub(super) fn serialize<S: Serializer>(
        logged: &LoggedAttempt,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let attempt = logged.attempt.clone();
        let retry_after = match attempt.outcome {
            Outcome::Throttled { retry_after } => retry_after,
            _ => None,
        };
        let form = Form {
            position: logged.position,
            number: attempt.number,
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            class: attempt.outcome.class().to_owned(),
            retry_after,
            status: attempt.status,
            error: attempt.error,
            response: attempt.response,
        };
        form.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<LoggedAttempt, D::Error> {
        let form = Form::deserialize(deserializer)?;
        let outcome = Outcome::of_class(&form.class, form.retry_after)
            .ok_or_else(|| de::Error::custom(format!("{} is no outcome", form.class)))?;
        let mut attempt = Attempt::new(form.number, form.started_at, form.ended_at, outcome);
        attempt.status = form.status;
        attempt.error = form.error;
        attempt.response = form.response;
        Ok(LoggedAttempt { position: form.position, attempt })
    }
}
