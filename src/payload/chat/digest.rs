//! Digests: several messages as one, in which each has a line.
//!
//! In: messages as they were rendered for each event. Out: one that a service takes, whatever their
//! number. What is taken over from a message was made safe when that was rendered.

use serde_json::{Value, json};
use url::Url;

use super::slack::{envelope, plain_text};

/// The most messages that have a line of their own; the others are counted.
const MAX_LINES: usize = 20;
/// The most characters of Discord's lines: of 4,096, with room for what is counted.
const MAX_DISCORD_CHARS: usize = 3_900;

/// Whose messages they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Slack,
    Teams,
    Discord,
}

impl Service {
    /// Whose message a body is, if it is one.
    pub(in crate::payload) fn of(body: &[u8]) -> Option<Self> {
        let message: Value = serde_json::from_slice(body).ok()?;
        if message["link_names"] == json!(false) && message["blocks"].is_array() {
            Some(Self::Slack)
        } else if message["embeds"].is_array() && message["allowed_mentions"].is_object() {
            Some(Self::Discord)
        } else if message["type"] == json!("message") && message["attachments"].is_array() {
            Some(Self::Teams)
        } else {
            None
        }
    }

    /// Messages as one. One alone stays as it is.
    pub(in crate::payload) fn digest<'a>(
        self,
        bodies: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Vec<u8> {
        let count = bodies.clone().count();
        if count == 1 {
            return bodies.flatten().copied().collect();
        }
        let shown = bodies.take(MAX_LINES);
        let messages: Vec<Value> =
            shown.filter_map(|body| serde_json::from_slice(body).ok()).collect();
        let digest = match self {
            Self::Slack => slack(&messages, count),
            Self::Teams => teams(&messages, count),
            Self::Discord => discord(&messages, count),
        };
        digest.to_string().into_bytes()
    }
}

fn heading(count: usize) -> String {
    format!("{count} events")
}

/// What stands for those without a line of their own, if there are any.
fn rest(count: usize, shown: usize) -> Option<String> {
    let left = count.saturating_sub(shown);
    (left > 0).then(|| format!("and {left} more"))
}

/// Each message's title, as plain text, and its line of time and link; 42 blocks of 50.
fn slack(messages: &[Value], count: usize) -> Value {
    let title = heading(count);
    let mut blocks = vec![json!({"type": "header", "text": plain_text(&title)})];
    for message in messages {
        let all = message["blocks"].as_array().map(Vec::as_slice).unwrap_or_default();
        if let (Some(header), Some(context)) = (all.first(), all.last()) {
            blocks.push(json!({"type": "section", "text": header["text"]}));
            blocks.push(context.clone());
        }
    }
    if let Some(rest) = rest(count, messages.len()) {
        blocks.push(json!({"type": "section", "text": plain_text(&rest)}));
    }
    envelope(&title, &blocks)
}

/// Each message's title as a text run, in its color, that leads where the message does.
fn teams(messages: &[Value], count: usize) -> Value {
    let block = |run: Value| json!({"type": "RichTextBlock", "inlines": [run]});
    let title = heading(count);
    let mut body = vec![block(
        json!({"type": "TextRun", "text": title, "size": "Medium", "weight": "Bolder"}),
    )];
    for message in messages {
        let card = &message["attachments"][0]["content"];
        let said = &card["body"][0]["inlines"][0];
        let mut run = json!({"type": "TextRun", "text": said["text"], "color": said["color"]});
        // A card has no more than 28 KB.
        if let Some(url) = card["actions"][0]["url"].as_str().filter(|url| url.len() <= 500) {
            run["selectAction"] = json!({"type": "Action.OpenUrl", "url": url});
        }
        body.push(block(run));
    }
    if let Some(rest) = rest(count, messages.len()) {
        body.push(block(json!({"type": "TextRun", "text": rest})));
    }
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": title,
        "msteams": {"width": "Full"},
        "body": body,
    });
    let attachment = json!({
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": null,
        "content": card,
    });
    json!({"type": "message", "attachments": [attachment]})
}

/// Each message's title as a line of one embed, in the color of the worst.
fn discord(messages: &[Value], count: usize) -> Value {
    let embeds: Vec<&Value> = messages.iter().map(|message| &message["embeds"][0]).collect();
    let (mut lines, mut shown, mut length) = (String::new(), 0, 0);
    for embed in &embeds {
        let title = embed["title"].as_str().unwrap_or_default();
        let line = match embed["url"].as_str().and_then(target) {
            Some(url) => format!("• [{title}]({url})\n"),
            None => format!("• {title}\n"),
        };
        let characters = line.encode_utf16().count();
        if length + characters > MAX_DISCORD_CHARS {
            break;
        }
        length += characters;
        lines.push_str(&line);
        shown += 1;
    }
    if let Some(rest) = rest(count, shown) {
        lines.push_str(&rest);
    }
    let is_worst = |color: &Value| color == &json!(super::Mood::Bad.color());
    let colors = || embeds.iter().map(|embed| &embed["color"]);
    let color = colors().find(|color| is_worst(color)).or_else(|| colors().next());
    let times = embeds.iter().filter_map(|embed| embed["timestamp"].as_str());
    let embed = json!({
        "title": heading(count),
        "description": lines.trim_end(),
        "color": color,
        "timestamp": times.max(),
    });
    json!({"embeds": [embed], "allowed_mentions": {"parse": []}})
}

/// Where a line leads, if that has room in it; without what would end the link.
fn target(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let url = url.as_str().replace('(', "%28").replace(')', "%29");
    let is_fit = url.len() <= 300 && !url.contains(['<', '>', '[', ']', '\\', ' ']);
    is_fit.then_some(url)
}
