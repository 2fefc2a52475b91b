//! JSON Schemas (draft 2020-12) of what the crate reads and sends, for who makes it elsewhere.
//!
//! In: nothing. Out: documents that any validator reads. They say what the readers of this crate
//! say, as far as JSON Schema can: not what one member says of another, how large the whole may be,
//! or whether a URL, a filter's pattern or a template is good. What one refuses,
//! [`Event::from_json`] or [`TriggerSpec::from_json`] refuses too, with the path and what was
//! expected.
//!
//! [`Event::from_json`]: crate::event::Event::from_json
//! [`TriggerSpec::from_json`]: crate::trigger::TriggerSpec::from_json
//!
//! ```
//! use artifact_triggers::schema;
//!
//! let schema: serde_json::Value = serde_json::from_str(schema::EVENT)?;
//! assert_eq!(schema["$id"], "urn:artifact-triggers:schema:1:event");
//! # Ok::<(), serde_json::Error>(())
//! ```

/// Of an event.
pub const EVENT: &str = include_str!("schema/event.json");
/// Of the body of a webhook whose format is `native`, also of a batch.
pub const NATIVE_PAYLOAD: &str = include_str!("schema/native_payload.json");
/// Of a trigger as somebody writes it.
pub const TRIGGER: &str = include_str!("schema/trigger.json");
