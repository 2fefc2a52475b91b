//! Ids: printable, parseable, ordered by time.
//!
//! An id is a UUID behind a prefix that tells what it names: `evt_0193…`. New ids are version 7
//! (time, then randomness); derived ids are version 8 (time, then a SHA-256 of what identifies the
//! thing), so that the same fact told twice gets the same id. Both begin with the milliseconds of
//! their time (RFC 9562), so ids of either kind sort by it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::entropy::Entropy;

/// A text that is no id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id such as {prefix}_0193e5d2f0a07c3e8f00d1a2b3c4d5e6, found {found:?}")]
pub struct ParseIdError {
    prefix: &'static str,
    found: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id for something made at `now`.
            pub fn new(now: Timestamp, entropy: &dyn Entropy) -> Self {
                let mut random = [0; 10];
                entropy.fill(&mut random);
                Self(uuid::Builder::from_unix_timestamp_millis(millis(now), &random).into_uuid())
            }

            /// The id of what these parts identify: equal parts at an equal time give equal ids.
            pub fn derived(at: Timestamp, parts: &[&[u8]]) -> Self {
                Self(derived(at, $prefix, parts))
            }

            /// The id as 16 bytes, in the order of time.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id that [`as_bytes`](Self::as_bytes) gave.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

id!(
    /// Names an event. Events are deduplicated by it.
    EventId, "evt"
);
id!(
    /// Names a trigger.
    TriggerId, "trg"
);
id!(
    /// Names a delivery: one event on its way to one trigger's target.
    DeliveryId, "dlv"
);
id!(
    /// Names the message of a delivery, for the receiver (`webhook-id`): the same on every attempt.
    MessageId, "msg"
);
id!(
    /// Names a replay or a backfill.
    JobId, "job"
);
id!(
    /// Names what goes one after the other: deliveries with one ordering key.
    OrderingKey, "ord"
);

impl DeliveryId {
    /// The id of the delivery of an event to a trigger. There is at most one, so this is how a
    /// repeated fan-out finds that it was there before.
    pub fn of(event: EventId, trigger: TriggerId) -> Self {
        Self::derived(time(&event.0), &[event.as_bytes(), trigger.as_bytes()])
    }
}

impl TriggerId {
    /// A part of a span, from nothing to nearly all of it, that follows from the trigger, a time
    /// and what it is for: the same on every node.
    pub(crate) fn spread(self, what: &[u8], at: Timestamp, span: Duration) -> Duration {
        if span.is_zero() {
            return Duration::ZERO;
        }
        // The end of a derived id is of a hash.
        let drawn = EventId::derived(at, &[what, self.as_bytes()]);
        let bytes: [u8; 4] = drawn.as_bytes()[12..].try_into().expect("16 bytes");
        let fraction = f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0);
        span.mul_f64(fraction)
    }
}

impl MessageId {
    /// The message id that a delivery begins with.
    pub fn of(delivery: DeliveryId) -> Self {
        Self(delivery.0)
    }

    /// The message id of a request that carries several messages, whatever their order.
    pub fn of_batch(members: &[Self]) -> Self {
        let mut members = members.to_vec();
        members.sort_unstable();
        let first = members.first().map_or(Timestamp::UNIX_EPOCH, |id| time(&id.0));
        let ids = members.iter().map(|id| &id.as_bytes()[..]);
        let parts: Vec<&[u8]> = [&b"batch"[..]].into_iter().chain(ids).collect();
        Self(derived(first, "msg", &parts))
    }

    /// The message id of a replay that asks for a new one, always the same after the same one.
    pub fn next(self) -> Self {
        Self(derived(time(&self.0), "msg", &[self.as_bytes()]))
    }
}

/// The time that an id begins with.
fn time(id: &Uuid) -> Timestamp {
    let mut bytes = [0; 8];
    bytes[2..].copy_from_slice(&id.as_bytes()[..6]);
    Timestamp::from_unix_micros(i64::from_be_bytes(bytes).saturating_mul(1_000))
}

/// Milliseconds since the Unix epoch as an id begins with them; times before it count as zero.
fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.unix_micros() / 1_000).unwrap_or(0)
}

fn derived(at: Timestamp, prefix: &str, parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(prefix);
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis(at).to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&hash.finalize()[..10]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn parse(prefix: &'static str, text: &str) -> Result<Uuid, ParseIdError> {
    text.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .filter(|hex| hex.len() == 32 && !hex.bytes().any(|b| b.is_ascii_uppercase()))
        .and_then(|hex| Uuid::try_parse(hex).ok())
        .ok_or_else(|| ParseIdError { prefix, found: text.chars().take(80).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::OsEntropy;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    #[test]
    fn an_id_parses_back_from_its_print() {
        let id = EventId::new(at(1_700_000_000), &OsEntropy);
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        assert_eq!(id.to_string().len(), 36);
    }

    #[test]
    fn ids_sort_by_their_time() {
        let early = DeliveryId::derived(at(1_000), &[b"zzz"]);
        let late = DeliveryId::new(at(2_000), &OsEntropy);
        assert!(early < late && early.to_string() < late.to_string());
    }

    #[test]
    fn derived_ids_depend_on_every_part_and_its_borders() {
        let id = |parts: &[&[u8]]| EventId::derived(at(1), parts);
        assert_eq!(id(&[b"a", b"bc"]), id(&[b"a", b"bc"]));
        assert_ne!(id(&[b"a", b"bc"]), id(&[b"ab", b"c"]));
        assert_ne!(id(&[b"a"]), id(&[b"a", b""]));
    }

    #[test]
    fn the_id_of_a_batch_is_of_its_members_whatever_their_order_and_of_no_single_one() {
        let ids: Vec<MessageId> = (1..4).map(|n| MessageId::new(at(n), &OsEntropy)).collect();
        let turned: Vec<MessageId> = ids.iter().rev().copied().collect();
        assert_eq!(MessageId::of_batch(&ids), MessageId::of_batch(&turned));
        assert_ne!(MessageId::of_batch(&ids), MessageId::of_batch(&ids[1..]));
        let one = MessageId::of_batch(&ids[..1]);
        assert!(one != ids[0] && one != ids[0].next());
    }

    #[test]
    fn an_id_of_another_kind_or_form_is_refused_by_name() {
        for text in ["trg_0193e5d2f0a07c3e8f00d1a2b3c4d5e6", "evt_", "evt_0193", "", "evt_zz"] {
            let error = text.parse::<EventId>().unwrap_err().to_string();
            assert!(error.contains("evt_") && error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
