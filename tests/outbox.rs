//! The contract of outboxes, rule by rule, for each of the crate; and what only the one in SQLite
//! promises: transactions of the embedder's, in any language.

#[cfg(all(feature = "sqlite", feature = "tokio"))]
#[path = "outbox/only_sqlite.rs"]
mod only_sqlite;
#[macro_use]
#[path = "outbox/rules.rs"]
mod rules;

use std::future::ready;

use artifact_triggers::clock::{ManualClock, Timestamp};
use artifact_triggers::outbox::MemoryOutbox;
use futures_util::FutureExt as _;
use rules::Bench;

fn memory() -> Bench {
    let outbox = MemoryOutbox::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    let (left, refused) = (outbox.clone(), outbox.clone());
    let text = |json| String::from_utf8(json).unwrap();
    Bench {
        takers: [Box::new(outbox.clone()), Box::new(outbox)],
        leave: Box::new(move |json| {
            left.leave_json(json);
            ready(()).boxed()
        }),
        refused: Box::new(move || {
            let refused = refused.refused().into_iter();
            ready(refused.map(|(json, reason)| (text(json), reason)).collect()).boxed()
        }),
    }
}

contract!(memory_outbox, crate::memory());

#[cfg(all(feature = "sqlite", feature = "tokio"))]
contract!(sqlite_outbox, crate::only_sqlite::bench());
