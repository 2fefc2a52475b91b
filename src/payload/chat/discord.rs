//! Discord: an embed, whose texts are markdown.
//!
//! Each sign that could be markup is escaped, and whatever a text says, nobody is pinged.

use serde_json::{Value, json};

use super::{Chat, Message};
use crate::event::Event;
use crate::payload::{Payload, TriggerName};

pub(in crate::payload) fn render(chat: &Chat, event: &Event, trigger: TriggerName<'_>) -> Payload {
    let message = Message::of(chat, event, trigger.name);
    let fields: Vec<Value> = message
        .facts
        .iter()
        .map(|(name, value)| json!({"name": escape(name), "value": escape(value), "inline": true}))
        .collect();
    let mut embed = json!({
        "title": escape(&message.title),
        "color": message.mood.color(),
        "fields": fields,
        "timestamp": message.time,
    });
    if let Some(url) = &message.link {
        embed["url"] = json!(url.as_str());
    }
    let body = json!({"embeds": [embed], "allowed_mentions": {"parse": []}});
    Payload::new("application/json", body.to_string().into_bytes())
}

/// A backslash before each sign: before what is none, Discord would show it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
