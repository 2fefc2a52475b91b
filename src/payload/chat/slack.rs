//! Slack: Block Kit, with a text for notifications.
//!
//! Values are `plain_text`, in which nothing is markup; where there is no such choice, the three
//! characters that Slack gives a meaning to are written as it wants them.

use serde_json::{Value, json};

use super::{Chat, Message};
use crate::event::Event;
use crate::payload::{Payload, TriggerName};

/// The facts that a section has room for: ten texts, two of each.
const PER_SECTION: usize = 5;

pub(in crate::payload) fn render(chat: &Chat, event: &Event, trigger: TriggerName<'_>) -> Payload {
    let message = Message::of(chat, event, trigger.name);
    let mut blocks = vec![json!({"type": "header", "text": plain_text(&message.title)})];
    for facts in message.facts.chunks(PER_SECTION) {
        let fields: Vec<Value> =
            facts.iter().flat_map(|(name, value)| [plain_text(name), plain_text(value)]).collect();
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    let seconds = message.time.unix_seconds();
    let time = format!("<!date^{seconds}^{{date_short}} {{time_secs}}|{}>", message.time());
    let context = match &message.link {
        // A bar would end the address.
        Some(url) => {
            let url = escape(url.as_str()).replace('|', "%7C");
            format!("{time} · <{url}|Open>")
        }
        None => time,
    };
    let context = json!({"type": "mrkdwn", "text": context, "verbatim": true});
    blocks.push(json!({"type": "context", "elements": [context]}));
    let body = envelope(&escape(&message.title), &blocks);
    Payload::new("application/json", body.to_string().into_bytes())
}

/// A message in which nothing is markup, a link or a mention by itself.
pub(super) fn envelope(text: &str, blocks: &[Value]) -> Value {
    json!({
        "text": text,
        "mrkdwn": false,
        "parse": "none",
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    })
}

pub(super) fn plain_text(text: &str) -> Value {
    json!({"type": "plain_text", "text": text, "emoji": false})
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
