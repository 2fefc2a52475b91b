//! Microsoft Teams: an Adaptive Card in the envelope that workflows take.
//!
//! Texts of an event stand in text runs, in which nothing is markup.

use serde_json::{Value, json};

use super::{Chat, Message, Mood};
use crate::event::Event;
use crate::payload::{Payload, TriggerName};

pub(in crate::payload) fn render(chat: &Chat, event: &Event, trigger: TriggerName<'_>) -> Payload {
    let message = Message::of(chat, event, trigger.name);
    let color = match message.mood {
        Mood::Good => "Good",
        Mood::Neutral => "Default",
        Mood::Bad => "Attention",
    };
    let title = json!({
        "type": "TextRun",
        "text": message.title,
        "size": "Medium",
        "weight": "Bolder",
        "color": color,
    });
    let mut body = vec![rich_text(&[title])];
    body.extend(message.facts.iter().map(|(name, value)| {
        let name = json!({"type": "TextRun", "text": format!("{name}: "), "weight": "Bolder"});
        rich_text(&[name, json!({"type": "TextRun", "text": value})])
    }));
    // By the reader's clock; the time is ours, so nothing in it is markup by accident.
    let time = message.time.to_datetime().format("%Y-%m-%dT%H:%M:%SZ");
    body.push(json!({
        "type": "TextBlock",
        "text": format!("{{{{DATE({time},SHORT)}}}} {{{{TIME({time})}}}}"),
        "isSubtle": true,
        "wrap": true,
    }));
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": message.title,
        "msteams": {"width": "Full"},
        "body": body,
    });
    if let Some(url) = &message.link {
        card["actions"] = json!([{"type": "Action.OpenUrl", "title": "Open", "url": url.as_str()}]);
    }
    let attachment = json!({
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": null,
        "content": card,
    });
    let body = json!({"type": "message", "attachments": [attachment]});
    Payload::new("application/json", body.to_string().into_bytes())
}

fn rich_text(inlines: &[Value]) -> Value {
    json!({"type": "RichTextBlock", "inlines": inlines})
}
