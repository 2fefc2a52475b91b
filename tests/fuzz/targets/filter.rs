//! Filters, and events that are judged by them.
//!
//! In: a line that should be a filter, then what should be an event, both JSON. A filter that is
//! read prints as what reads as the same filter and prints the same; it judges any JSON without a
//! panic, and an event as it judges that event's JSON.

#![no_main]

use artifact_triggers::event::Event;
use artifact_triggers::trigger::filter::Filter;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (pattern, event) = data.split_at(end);
    let Ok(filter) = Filter::from_json(pattern) else { return };
    let printed = filter.to_string();
    let again = Filter::from_json(printed.as_bytes()).expect("what is printed is a filter");
    assert_eq!(again, filter);
    assert_eq!(again.to_string(), printed);

    if let Ok(value) = serde_json::from_slice::<Value>(event) {
        assert_eq!(filter.matches_value(&value), again.matches_value(&value));
    }
    if let Ok(event) = Event::from_json(event) {
        let value = serde_json::from_slice(&event.to_json()).expect("an event is JSON");
        assert_eq!(filter.matches(&event), filter.matches_value(&value));
    }
});
