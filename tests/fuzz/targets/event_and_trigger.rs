//! The JSON of events, of triggers as their users write them and as storages keep them.
//!
//! In: any bytes. What is read is written as what reads as the same and is written the same.

#![no_main]

use artifact_triggers::clock::Timestamp;
use artifact_triggers::event::Event;
use artifact_triggers::id::TriggerId;
use artifact_triggers::trigger::{Trigger, TriggerSpec};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(event) = Event::from_json(data) {
        let written = event.to_json();
        let again = Event::from_json(&written).expect("what is written is an event");
        assert_eq!(again, event);
        assert_eq!(again.to_json(), written);
    }
    if let Ok(spec) = TriggerSpec::from_json(data) {
        let _ = spec.to_sentence();
        let redacted = serde_json::to_vec(&spec).expect("a trigger is JSON");
        let now = Timestamp::UNIX_EPOCH;
        let stored = check_stored(&Trigger::new(TriggerId::derived(now, &[]), spec, now));
        assert_eq!(serde_json::to_vec(&stored.spec).expect("a trigger is JSON"), redacted);
    }
    if let Ok(stored) = Trigger::from_exposed_json(data) {
        check_stored(&stored);
    }
});

/// The trigger as a storage gives it back.
fn check_stored(trigger: &Trigger) -> Trigger {
    let written = trigger.expose_json();
    let again = Trigger::from_exposed_json(&written).expect("what is stored is a trigger");
    assert_eq!(again, *trigger);
    assert_eq!(again.expose_json(), written);
    again
}
