//! Decides what becomes of a delivery, from what is remembered of those before it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::place::{Move, is_index, place_of};
use super::{Coalesce, Places};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::id::DeliveryId;

/// What becomes of the delivery of an event to a trigger that coalesces.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Whether it is made, and when it is due.
    pub fate: Fate,
    /// The deliveries whose place it takes, as far as they wait.
    pub supersedes: Vec<DeliveryId>,
    /// What is remembered from now on: a key, the text that was read there, and the one to be
    /// there, `None` for nothing.
    pub moves: Vec<(String, Option<String>, Option<String>)>,
    /// What the keys begin with that are forgotten before.
    pub forgotten: Option<String>,
}

/// Whether a delivery is made, and when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It goes, at this time or after.
    Goes {
        /// The time.
        due: Timestamp,
    },
    /// It is made, and cancelled as superseded: another one stands for it.
    Superseded,
    /// It is not made: the event alone does not let it go.
    NotMade,
}

/// What the newest event is.
#[derive(Debug, Serialize, Deserialize)]
struct Newest {
    delivery: DeliveryId,
    occurred_at: Timestamp,
}

/// A burst, and the delivery that stands for it.
#[derive(Debug, Serialize, Deserialize)]
struct Burst {
    delivery: DeliveryId,
    since: Timestamp,
    due: Timestamp,
}

/// When the last one goes or went, and which it is if it did not go at once.
#[derive(Debug, Serialize, Deserialize)]
struct Last {
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryId>,
    at: Timestamp,
}

/// What stands for a manifest, or whether it waits for that, until when.
#[derive(Debug, Serialize, Deserialize)]
struct Child {
    /// Its own delivery, if the index has not come.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryId>,
    until: Timestamp,
}

/// Where a version was seen.
#[derive(Debug, Serialize, Deserialize)]
struct Version {
    since: Timestamp,
    seen: Vec<String>,
    /// Whether it was in all places, and went.
    #[serde(default)]
    went: bool,
}

/// What is decided, before it is known where it is remembered.
struct Outcome {
    fate: Fate,
    supersedes: Vec<DeliveryId>,
    /// One for each name, if they change.
    texts: Option<Vec<Option<String>>>,
}

impl Outcome {
    fn unchanged(fate: Fate) -> Self {
        Self { fate, supersedes: Vec::new(), texts: None }
    }

    fn goes(due: Timestamp, state: &impl Serialize) -> Self {
        Self {
            fate: Fate::Goes { due },
            supersedes: Vec::new(),
            texts: Some(vec![Some(print(state))]),
        }
    }

    fn instead_of(mut self, delivery: Option<DeliveryId>) -> Self {
        self.supersedes.extend(delivery);
        self
    }
}

impl Coalesce {
    /// Decides what becomes of the delivery of an event, from the values of the keys of its
    /// [`Places`], read in their order. A value that nobody can read says nothing.
    pub fn decide(
        &self,
        event: &Event,
        delivery: DeliveryId,
        places: &Places,
        values: &[Option<String>],
        now: Timestamp,
    ) -> Decision {
        let texts = places.read(values);
        let first = texts.first().copied().flatten();
        let outcome = match self {
            Self::Newest { .. } => newest(event, delivery, read(first), now),
            Self::Quiet { span, max_wait, .. } => {
                quiet(delivery, read(first), (*span, max_wait.unwrap_or(Duration::MAX)), now)
            }
            Self::AtMostEvery { span, .. } => at_most_every(delivery, read(first), *span, now),
            Self::IndexWithin { span } => {
                let children: Vec<Option<Child>> = texts.into_iter().map(read).collect();
                let until = now + *span;
                if is_index(event) {
                    index(&children, until, now)
                } else {
                    child(delivery, children, until, now)
                }
            }
            Self::AllOf { names, by, within } => {
                let place = place_of(*by, event).filter(|_| !texts.is_empty());
                let is_removal = event.kind.as_str().ends_with(".deleted");
                let known = read(first).filter(|known: &Version| {
                    now.since(known.since) < *within && known.since <= now + *within
                });
                all_of(names, place, is_removal, known, now)
            }
        };
        let Outcome { fate, supersedes, texts } = outcome;
        let moves: Vec<Move> = texts.map(|texts| places.moves(values, &texts)).unwrap_or_default();
        let forgotten = places.forgotten(values).filter(|_| !moves.is_empty());
        let supersedes = supersedes.into_iter().filter(|one| *one != delivery).collect();
        Decision { fate, supersedes, moves, forgotten }
    }

    /// Whether a delivery of a trigger that sends the [newest](Self::Newest) only is not of the
    /// newest event, from the values of the keys of the event's [`Places`]. Of any other kind
    /// never.
    pub fn is_outdated(
        &self,
        event: &Event,
        delivery: DeliveryId,
        places: &Places,
        values: &[Option<String>],
    ) -> bool {
        let Self::Newest { .. } = self else { return false };
        let known: Option<Newest> = read(places.read(values).first().copied().flatten());
        known.is_some_and(|known| {
            known.delivery != delivery && known.occurred_at >= event.happened_at()
        })
    }
}

fn newest(event: &Event, delivery: DeliveryId, known: Option<Newest>, now: Timestamp) -> Outcome {
    let occurred_at = event.happened_at();
    match known {
        Some(known) if known.occurred_at > occurred_at => Outcome::unchanged(Fate::Superseded),
        known => Outcome::goes(now, &Newest { delivery, occurred_at })
            .instead_of(known.map(|known| known.delivery)),
    }
}

fn quiet(
    delivery: DeliveryId,
    known: Option<Burst>,
    (span, max_wait): (Duration, Duration),
    now: Timestamp,
) -> Outcome {
    match known {
        // What is due has gone, or is about to: a new burst begins.
        Some(burst) if burst.due > now => {
            // A clock that was set back must not make it wait for longer.
            let since = burst.since.min(now);
            let due = (now + span).min(since + max_wait);
            Outcome::goes(due, &Burst { delivery, since, due }).instead_of(Some(burst.delivery))
        }
        _ => {
            let due = now + span.min(max_wait);
            Outcome::goes(due, &Burst { delivery, since: now, due })
        }
    }
}

fn at_most_every(
    delivery: DeliveryId,
    known: Option<Last>,
    span: Duration,
    now: Timestamp,
) -> Outcome {
    let last = |delivery, at| Last { delivery, at };
    match known {
        // One waits for the end of the span: this one waits in its place.
        Some(Last { delivery: before @ Some(_), at }) if at > now => {
            // A clock that was set back must not make it wait for longer.
            let at = at.min(now + span);
            Outcome::goes(at, &last(Some(delivery), at)).instead_of(before)
        }
        Some(known) if known.at + span > now => {
            let at = (known.at + span).min(now + span);
            Outcome::goes(at, &last(Some(delivery), at))
        }
        _ => Outcome::goes(now, &last(None, now)),
    }
}

fn index(children: &[Option<Child>], until: Timestamp, now: Timestamp) -> Outcome {
    let text = Some(print(&Child { delivery: None, until }));
    let waiting = children.iter().flatten().filter(|child| child.until > now);
    Outcome {
        fate: Fate::Goes { due: now },
        supersedes: waiting.filter_map(|child| child.delivery).collect(),
        texts: (!children.is_empty()).then(|| vec![text; children.len()]),
    }
}

/// A manifest that may be a child; without a name it is none.
fn child(
    delivery: DeliveryId,
    known: Vec<Option<Child>>,
    until: Timestamp,
    now: Timestamp,
) -> Outcome {
    let Some(known) = known.into_iter().next() else {
        return Outcome::unchanged(Fate::Goes { due: now });
    };
    match known {
        Some(Child { delivery: None, until: end }) if end > now && end <= until => {
            Outcome::unchanged(Fate::Superseded)
        }
        _ => Outcome::goes(until, &Child { delivery: Some(delivery), until }),
    }
}

fn all_of(
    names: &[String],
    place: Option<&str>,
    is_removal: bool,
    known: Option<Version>,
    now: Timestamp,
) -> Outcome {
    let Some(place) = place else { return Outcome::unchanged(Fate::NotMade) };
    let was_known = known.is_some();
    let mut version =
        known.unwrap_or_else(|| Version { since: now, seen: Vec::new(), went: false });
    version.seen.retain(|name| name != place && names.contains(name));
    if !is_removal {
        version.seen.push(place.to_owned());
    }
    let goes = !version.went && names.iter().all(|name| version.seen.contains(name));
    version.went |= goes;
    if goes {
        return Outcome::goes(now, &version);
    }
    // One that is nowhere any more is as if it had never been.
    let text = (!version.seen.is_empty()).then(|| print(&version));
    let is_changed = was_known || text.is_some();
    Outcome { texts: is_changed.then(|| vec![text]), ..Outcome::unchanged(Fate::NotMade) }
}

fn read<T: for<'de> Deserialize<'de>>(text: Option<&str>) -> Option<T> {
    serde_json::from_str(text?).ok()
}

fn print(state: &impl Serialize) -> String {
    serde_json::to_string(state).expect("times, ids and names are JSON")
}
