//! The judge: compares what was acknowledged, what arrived, and what the storage has of it.

use std::collections::HashMap;

use artifact_triggers::id::{EventId, MessageId};
use tokio_postgres::Row;

use super::orders::{HELD, TRIGGERS};
use super::receiver::Arrival;
use super::server::Server;

/// What was acknowledged: each event with its place among them, and whether it was to be held.
pub(crate) type Acknowledged = HashMap<EventId, (usize, bool)>;

/// What was found, of what may be as it is.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) deliveries: usize,
    pub(crate) arrivals: usize,
    /// How many requests were taken of what was taken before.
    pub(crate) repeats: usize,
    /// How many claims nothing was written down of.
    pub(crate) lost_claims: usize,
}

/// A delivery as the storage has it.
struct Stored {
    message: MessageId,
    event: EventId,
    order: Vec<u8>,
    is_delivered: bool,
    claims: usize,
    logged: usize,
    successes: usize,
}

/// What arrived of a message, by places among the arrivals.
#[derive(Default)]
struct Arrived {
    event: Option<EventId>,
    trigger: usize,
    first: usize,
    first_taken: Option<usize>,
    times: usize,
    taken: usize,
}

/// Compares everything, in the order in which the deliveries were recorded.
pub(crate) fn judge(
    server: &Server,
    schema: &str,
    acknowledged: &Acknowledged,
    arrivals: &[Arrival],
) -> Found {
    let arrived = by_message(arrivals);
    let stored = stored(server, schema);
    let mut found =
        Found { deliveries: stored.len(), arrivals: arrivals.len(), ..Found::default() };
    let mut told: HashMap<EventId, Vec<usize>> = HashMap::new();
    let mut ahead_of: HashMap<&[u8], (usize, usize)> = HashMap::new();
    for delivery in &stored {
        let nothing = Arrived::default();
        let came = arrived.get(&delivery.message).unwrap_or(&nothing);
        let message = delivery.message;
        assert_eq!(came.event, Some(delivery.event), "{message}: lost");
        let taken_at = came.first_taken.unwrap_or_else(|| panic!("{message}: never taken"));
        assert!(delivery.is_delivered, "{message}: not delivered");
        assert_eq!(delivery.successes, 1, "{message}: settled as delivered");
        assert!(delivery.logged <= delivery.claims, "{message}: more in the log than was claimed");
        assert!(came.times <= delivery.claims, "{message}: more requests than claims");
        let lost = delivery.claims - delivery.logged;
        assert!(came.taken - 1 <= lost, "{message}: repeated although it was written down");
        found.repeats += came.taken - 1;
        found.lost_claims += lost;
        told.entry(delivery.event).or_default().push(came.trigger);
        if !delivery.order.is_empty() {
            let place = acknowledged.get(&delivery.event).map(|(place, _)| *place);
            let ahead = ahead_of.entry(&delivery.order).or_default();
            assert!(came.first >= ahead.0, "{message}: came before one ahead of it was taken");
            assert!(place.is_none_or(|place| place >= ahead.1), "{message}: recorded out of order");
            *ahead = (taken_at, place.unwrap_or(ahead.1));
        }
    }
    assert_eq!(arrived.len(), stored.len(), "messages that no delivery has");
    let whole: Vec<usize> = (0..TRIGGERS.len()).filter(|trigger| *trigger != HELD).collect();
    for (event, (_, is_held)) in acknowledged {
        let mut triggers = told.remove(event).unwrap_or_default();
        triggers.sort_unstable();
        let expected: &[usize] = if *is_held { &[HELD] } else { &whole };
        assert_eq!(triggers, expected, "{event}: told to");
    }
    found
}

fn by_message(arrivals: &[Arrival]) -> HashMap<MessageId, Arrived> {
    let mut all: HashMap<MessageId, Arrived> = HashMap::with_capacity(arrivals.len());
    for (place, arrival) in arrivals.iter().enumerate() {
        let one = all.entry(arrival.message).or_insert_with(|| Arrived {
            event: Some(arrival.event),
            trigger: arrival.trigger,
            first: place,
            ..Arrived::default()
        });
        let of = (one.event, one.trigger);
        assert_eq!(of, (Some(arrival.event), arrival.trigger), "of {}", arrival.message);
        one.times += 1;
        if arrival.taken {
            one.taken += 1;
            one.first_taken.get_or_insert(place);
        }
    }
    all
}

/// All deliveries, in the order in which they were recorded.
fn stored(server: &Server, schema: &str) -> Vec<Stored> {
    let sql = format!(
        "SELECT uuid_send(d.message), uuid_send(d.event), uuid_send(d.ordering), d.state, d.token,
             d.logged, count(a.delivery), count(a.delivery) FILTER (WHERE a.class = 'accepted')
         FROM {schema}.deliveries d LEFT JOIN {schema}.attempts a ON a.delivery = d.seq
         GROUP BY d.seq ORDER BY d.seq"
    );
    let rows = server.query(&sql, &[]);
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Stored {
    let id = |column| <[u8; 16]>::try_from(row.get::<_, &[u8]>(column)).expect("it is a UUID");
    let count = |column| usize::try_from(row.get::<_, i64>(column)).expect("it is a count");
    let (logged, in_log) = (row.get::<_, i32>(5), count(6));
    assert_eq!(usize::try_from(logged), Ok(in_log), "in the log and counted");
    Stored {
        message: MessageId::from_bytes(id(0)),
        event: EventId::from_bytes(id(1)),
        order: row.get::<_, Option<&[u8]>>(2).unwrap_or_default().to_vec(),
        // 2: delivered.
        is_delivered: row.get::<_, i16>(3) == 2,
        claims: count(4),
        logged: in_log,
        successes: count(7),
    }
}
