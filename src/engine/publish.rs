//! Publish: takes events, finds their triggers, and stores both in one atomic write.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::coalesce::Undecided;
use super::observe::Publishing;
use super::unmade::{self, Room};
use super::{Core, Engine, Overload};
use crate::delivery::{CancelReason, Delivery, OnDead, State, Turn, WhileSuspended};
use crate::document::Problems;
use crate::event::{Event, MAX_EVENT_BYTES};
use crate::id::{DeliveryId, EventId, TriggerId};
use crate::observer::{Publisher, Transition};
use crate::payload::Payload;
use crate::storage::{NewEvent, Record, Recorded, StorageError};
use crate::trigger::{KindPattern, Trigger};

/// What became of a published event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Published {
    /// The event's id.
    pub id: EventId,
    /// Whether an event of this id was stored before. Nothing was done then.
    pub duplicate: bool,
    /// The deliveries that were made, one for each trigger that it concerns, but for those that
    /// [wait](crate::delivery::Coalesce::AllOf) for other events. One may be superseded already.
    pub deliveries: Vec<DeliveryId>,
    /// Whether it went to no trigger because too many
    /// [hops](crate::engine::EngineOptions::max_hops) lie behind it: it goes round in a loop. The
    /// stored event says so in its attribute [`LOOP`].
    pub is_loop: bool,
}

/// The attribute of an event that was recorded and sent to no trigger, since it goes round in a
/// loop.
pub const LOOP: &str = "loop";
/// The most that one event's deliveries may send in all, in bytes.
const MAX_FAN_OUT_BYTES: usize = 256 * 1024 * 1024;
/// How many bytes on their way into the storage a permit is for.
pub(super) const PERMIT_BYTES: usize = 1_024;

/// Why an event was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The event breaks a limit or a rule; publishing it again will not help.
    #[error("event {id} cannot be published: {problems}")]
    Invalid {
        /// The event's id.
        id: EventId,
        /// What is wrong with it.
        problems: Problems,
    },
    /// As many events or bytes as may be are on their way into the storage, or as many pings as may
    /// be are under way, and the engine was told to [refuse](crate::engine::Overload::Refuse) more.
    /// Publish it again later.
    #[error("too many events are being stored")]
    Overloaded,
    /// The storage did not take it. Publish it again: if it was stored after all, that is noticed.
    #[error("the event could not be stored")]
    Storage(#[from] StorageError),
}

impl Engine {
    /// Publishes an event. Once this has answered `Ok`, every trigger that it concerns will be
    /// told, whatever crashes, to the degree that the storage is durable.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was stored, or in the case of a storage that failed, perhaps.
    ///
    /// # Cancel safety
    /// If it is dropped before it answered, the event is stored with all its deliveries or not at
    /// all. Publishing it again is safe: events are deduplicated by id.
    pub async fn publish(&self, event: Event) -> Result<Published, PublishError> {
        let published = self.publish_all(vec![event]).await?;
        Ok(published.into_iter().next().expect("one event gives one answer"))
    }

    /// Publishes many events, each atomically, in as few writes as the storage can. What became of
    /// them is told in their order.
    ///
    /// # Errors
    /// [`PublishError::Invalid`] and [`PublishError::Overloaded`] before anything is stored, if one
    /// of the events is invalid or there is no room for all of them together;
    /// [`PublishError::Storage`] if the storage did not take them, or not all.
    ///
    /// # Cancel safety
    /// As [`publish`](Self::publish).
    pub async fn publish_all(&self, events: Vec<Event>) -> Result<Vec<Published>, PublishError> {
        let by = Publishing { by: Publisher::Caller, since: self.core.clock.now() };
        let _room = self.core.room(events.len()).await?;
        let checked = |event| self.core.checked(event, by.by);
        let addressed = events.into_iter().map(checked).collect::<Result<Vec<_>, _>>()?;
        self.core.publish_addressed(addressed, by).await
    }
}

/// An event that may be published, and the triggers that it goes to.
#[derive(Debug)]
pub(super) struct Addressed {
    new: NewEvent,
    triggers: Vec<Arc<Trigger>>,
    /// About how many bytes it takes, with what is sent of it.
    bytes: usize,
}

impl Addressed {
    /// Whether deliveries of it may stand for others.
    fn coalesces(&self) -> bool {
        self.triggers.iter().any(|trigger| trigger.spec.policy.coalesce.is_some())
    }
}

impl Published {
    /// What is told of an event once it is stored; `None` without an event.
    pub(super) fn of(record: &Record) -> Option<Self> {
        let event = &record.event.as_ref()?.event;
        let deliveries = record.deliveries.iter().map(|(delivery, _)| delivery.id).collect();
        let is_loop = event.attributes.contains_key(LOOP);
        Some(Self { id: event.id, duplicate: false, deliveries, is_loop })
    }

    pub(super) fn after(mut self, recorded: Recorded) -> Self {
        if recorded == Recorded::Duplicate {
            self.duplicate = true;
            self.deliveries.clear();
        }
        self
    }
}

impl Core {
    /// Checks an event of somebody else's and finds its triggers.
    pub(super) fn checked(&self, event: Event, by: Publisher) -> Result<Addressed, PublishError> {
        let id = event.id;
        self.check_limits(event).map_err(|problems| {
            self.observers.tell(&Transition::EventRefused { event: id, by, problems: &problems });
            PublishError::Invalid { id, problems }
        })
    }

    /// Stores events for which there is [room](Self::room), with their deliveries.
    pub(super) async fn publish_addressed(
        &self,
        addressed: Vec<Addressed>,
        by: Publishing,
    ) -> Result<Vec<Published>, PublishError> {
        let _bytes = self.room_for(&addressed).await?;
        if addressed.iter().any(Addressed::coalesces) {
            let undecided = addressed.into_iter().map(|one| self.undecided(one)).collect();
            return self.publish_coalesced(undecided, by).await;
        }
        let records: Vec<Record> = addressed.into_iter().map(|one| self.record_of(one)).collect();
        let published: Vec<Published> = records.iter().filter_map(Published::of).collect();
        self.tell_accepted(&records, by);
        let recorded = self.record(records, by).await?;
        let answers = published.into_iter().zip(recorded);
        Ok(answers.map(|(published, recorded)| published.after(recorded)).collect())
    }

    /// Makes the deliveries of an event.
    fn record_of(&self, addressed: Addressed) -> Record {
        self.deliveries(addressed.new, &addressed.triggers)
    }

    /// Makes the deliveries of an event, of which is to be decided what becomes of them.
    pub(super) fn undecided(&self, Addressed { new, triggers, .. }: Addressed) -> Undecided {
        Undecided::new(self.deliveries(new, &triggers), &triggers, self.clock.now())
    }

    /// Waits until so many events may be on their way into the storage, or refuses them.
    pub(super) async fn room(&self, events: usize) -> Result<SemaphorePermit<'_>, PublishError> {
        self.place(&self.publishing, events.min(self.options.publishing)).await
    }

    /// Waits until so many bytes may be on their way into the storage, or refuses them. More than
    /// may be at all go alone. To be asked once, with [room](Self::room) for the events.
    pub(super) async fn room_for(
        &self,
        addressed: &[Addressed],
    ) -> Result<SemaphorePermit<'_>, PublishError> {
        let bytes = addressed.iter().fold(0_usize, |sum, one| sum.saturating_add(one.bytes));
        let wanted = bytes.min(self.options.publishing_bytes) / PERMIT_BYTES;
        self.place(&self.publishing_bytes, wanted).await
    }

    /// Waits for so many permits, or refuses.
    pub(super) async fn place<'s>(
        &self,
        semaphore: &'s Semaphore,
        wanted: usize,
    ) -> Result<SemaphorePermit<'s>, PublishError> {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        match self.options.overload {
            Overload::Wait => Ok(semaphore.acquire_many(wanted).await.expect("it is never closed")),
            Overload::Refuse => {
                semaphore.try_acquire_many(wanted).map_err(|_| PublishError::Overloaded)
            }
        }
    }

    fn check_limits(&self, mut event: Event) -> Result<Addressed, Problems> {
        event.validate()?;
        event.attributes.remove(LOOP);
        if self.is_loop(&event) {
            let most = self.options.max_hops;
            event
                .attributes
                .insert(LOOP.to_owned(), format!("it has gone through {most} triggers"));
        }
        let is_small = event.is_surely_within(MAX_EVENT_BYTES);
        let new = NewEvent::of(event);
        if !is_small && new.json().len() > MAX_EVENT_BYTES {
            let found = new.json().len();
            let message =
                format!("expected at most {MAX_EVENT_BYTES} bytes of JSON, found {found}");
            return Err(Problems::of(message));
        }
        let triggers = self.wanting(&new.event);
        self.check_fan_out(triggers.len(), &new)?;
        let bytes = new.about_bytes().saturating_mul(1 + triggers.len());
        Ok(Addressed { new, triggers, bytes })
    }

    /// An event that may be published, whatever comes of it. One that goes round in a loop says so.
    pub(super) fn within_limits(&self, event: Event) -> Result<NewEvent, Problems> {
        self.check_limits(event).map(|addressed| addressed.new)
    }

    fn check_fan_out(&self, found: usize, new: &NewEvent) -> Result<(), Problems> {
        let most = self.options.max_fan_out;
        if found > most {
            let message = format!("expected an event that at most {most} triggers want");
            return Err(Problems::of(format!("{message}, found {found} of them")));
        }
        if found > 0 && found.saturating_mul(new.json().len()) > MAX_FAN_OUT_BYTES {
            let message = format!("expected an event that takes at most {MAX_FAN_OUT_BYTES} bytes");
            return Err(Problems::of(format!("{message}, sent to {found} triggers")));
        }
        Ok(())
    }

    fn is_loop(&self, event: &Event) -> bool {
        event.correlation.hops.len() >= self.options.max_hops
    }

    /// Finds the triggers of an event of the engine's own and makes its deliveries. One that too
    /// many want is recorded and goes to none.
    pub(super) fn prepare(&self, new: NewEvent) -> Record {
        let triggers = self.wanting(&new.event);
        match self.check_fan_out(triggers.len(), &new) {
            Ok(()) => self.deliveries(new, &triggers),
            Err(_) => Record::of_event(new, Vec::new()),
        }
    }

    /// Makes the deliveries of an event that was made for a trigger: to that one, if it wants it,
    /// and to the others that want it. If these are too many, to that one alone.
    pub(super) fn prepare_for(&self, new: NewEvent, own: &Arc<Trigger>) -> Record {
        let mut triggers = self.wanting(&new.event);
        if self.check_fan_out(triggers.len() + 1, &new).is_err() {
            triggers.clear();
        }
        let sees = |kind: &KindPattern| kind.matches(&new.event.kind);
        if own.spec.kinds.iter().any(sees) && own.spec.filter.matches(&new.event) {
            triggers.push(own.clone());
            triggers.sort_unstable_by_key(|trigger| trigger.id);
        }
        self.deliveries(new, &triggers)
    }

    /// The triggers that an event goes to, in the order of their ids.
    fn wanting(&self, event: &Event) -> Vec<Arc<Trigger>> {
        if self.is_loop(event) {
            return Vec::new();
        }
        self.known().index.matching(event)
    }

    fn deliveries(&self, new: NewEvent, triggers: &[Arc<Trigger>]) -> Record {
        let paced = self.options.scope_rate.filter(|_| !triggers.is_empty());
        let due = paced.map(|rate| self.pace.due(rate, &new.event.scope, self.clock.now()));
        let mut room = Room::new();
        let delivery = |trigger: &Arc<Trigger>| {
            let (mut delivery, payload) = self.delivery(&new, trigger, &mut room);
            if let State::Waiting { due: at } = &mut delivery.state {
                if let Some(batch) = trigger.spec.policy.batch {
                    *at = self.gathering.due(trigger.id, batch, payload.body.len(), *at);
                }
                *at = due.map_or(*at, |paced| paced.max(*at));
            }
            self.park_beyond_backlog(&mut delivery);
            (delivery, payload)
        };
        let deliveries = triggers.iter().map(delivery).collect();
        Record::of_event(new, deliveries)
    }

    /// The delivery of an event to a trigger, and what it sends.
    pub(super) fn delivery(
        &self,
        new: &NewEvent,
        trigger: &Trigger,
        room: &mut Room,
    ) -> (Delivery, Payload) {
        let event = &new.event;
        let target = &trigger.spec.target;
        let scope = trigger.spec.scope.clone();
        let delivery = Delivery::new(event.id, trigger.id, scope, target.key(), self.clock.now());
        let policy = &trigger.spec.policy;
        let delivery = delivery.with_batched(policy.batch.is_some());
        let delivery = match policy.order.key(trigger.id, event) {
            Some(key) => delivery.with_turn(Turn { key, on_dead: policy.on_dead }),
            None => delivery,
        };
        let delivery = match trigger.suspended {
            Some(_) => delivery.with_state(match policy.while_suspended {
                WhileSuspended::Park => State::Parked,
                WhileSuspended::Drop => State::Cancelled { reason: CancelReason::Suspended },
            }),
            None => delivery,
        };
        (delivery, unmade::payload_in(room, event, new.json(), trigger))
    }

    /// Stores records and wakes who may deliver them.
    pub(super) async fn record(
        &self,
        records: Vec<Record>,
        by: Publishing,
    ) -> Result<Vec<Recorded>, StorageError> {
        let concerned = records.iter().any(|record| !record.deliveries.is_empty());
        let told = self.observers.keep(&records);
        // Their triggers may have been deleted since they were found.
        let deliveries = records.iter().flat_map(|record| &record.deliveries);
        let may_queue = |turn: Turn| turn.on_dead == OnDead::Block;
        let queued = deliveries.filter(|(delivery, _)| delivery.turn.is_some_and(may_queue));
        let queued: Vec<TriggerId> = queued.map(|(delivery, _)| delivery.trigger).collect();
        let recorded = self.storage.record(records).await?;
        self.tell_recorded(&told, by, &recorded);
        self.note_gone(queued);
        if concerned {
            self.wake();
        }
        Ok(recorded)
    }
}
