//! What is refused leaves nothing in the storage.

use artifact_triggers::clock::ManualClock;
use artifact_triggers::engine::Engine;
use artifact_triggers::event::Scope;
use artifact_triggers::incoming::Incoming;
use artifact_triggers::storage::{EventQuery, MemoryStorage};

use crate::malformed::broken;
use crate::sample;

#[tokio::test]
async fn of_what_is_refused_nothing_is_stored() {
    for sample in sample::all() {
        let clock = ManualClock::at(sample::now());
        let engine = Engine::builder(MemoryStorage::new()).clock(clock).build().await.unwrap();
        let receiver = sample.receiver();
        let mut refused = 0;
        // Each of them is opened elsewhere; here a part of them is enough.
        for (path, broken) in broken(&sample).into_iter().step_by(7) {
            if broken.open().is_ok() {
                continue;
            }
            let (headers, body) = (broken.headers(), broken.bytes());
            let incoming = Incoming { headers: &headers, body: &body };
            let error = engine.receive(&receiver, incoming).await.unwrap_err();
            assert_eq!(error.status(), 400, "{}: {path}", sample.name());
            refused += 1;
        }
        assert!(refused > 0, "{}", sample.name());
        let stored = engine.events(EventQuery::of_scope(Scope::root())).await.unwrap();
        assert_eq!(stored, [], "{}", sample.name());
    }
}
