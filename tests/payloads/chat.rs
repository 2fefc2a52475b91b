//! Chat messages: what whoever pushes writes stays text, and fits.

use artifact_triggers::event::{Actor, ActorKind, Artifact, Event, EventKind};
use artifact_triggers::payload::{Chat, PayloadFormat};
use serde_json::{Value, json};

use super::{body, event, render, render_for};

/// Texts that want to be more than text.
const HOSTILE: [&str; 14] = [
    "@everyone",
    "@here",
    "<!channel>",
    "<@U012AB3CD>",
    "<at>Ada</at>",
    "<https://evil.example|your bank>",
    "[your bank](https://evil.example)",
    "**bold** _it_ ~~gone~~ ||spoiler||",
    "```\ncode\n```",
    "# heading",
    "> quote",
    "{{DATE(2026-01-01T00:00:00Z)}}",
    "a & b < c",
    "safe\u{202e}gnp.exe",
];

fn hostile(text: &str) -> Event {
    let spoken: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let artifact = Artifact::new("generic", spoken.clone())
        .with_repository(spoken.clone())
        .with_version(spoken.clone())
        .with_tag(spoken.clone())
        .with_url("https://registry.example/a|b>c?d=<e>");
    Event::builder(EventKind::ARTIFACT_INGESTED)
        .artifact(artifact)
        .actor(Actor::new(ActorKind::User, spoken.clone()))
        .attribute(spoken.clone(), spoken)
        .build()
        .unwrap()
}

fn message(format: fn(Chat) -> PayloadFormat, text: &str) -> Value {
    body(&render_for(text, &format(Chat::default()), &hostile(text)))
}

/// Every object in a document.
fn objects(value: &Value) -> Vec<&Value> {
    let inner: Vec<&Value> = match value {
        Value::Object(members) => members.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    let own = value.is_object().then_some(value);
    own.into_iter().chain(inner.into_iter().flat_map(objects)).collect()
}

#[test]
fn in_slack_nothing_of_an_event_is_markup() {
    for text in HOSTILE {
        let message = message(PayloadFormat::Slack, text);
        let fallback = message["text"].as_str().unwrap();
        assert!(!fallback.contains(['<', '>']), "{fallback}");
        assert_eq!((&message["parse"], &message["link_names"]), (&json!("none"), &json!(false)));
        for object in objects(&message["blocks"]) {
            match object["type"].as_str() {
                Some("plain_text") => assert_eq!(object["emoji"], false, "{object}"),
                Some("mrkdwn") => {
                    // The time and the link, both of which are ours.
                    let link = "<https://registry.example/a%7Cb%3Ec?d=%3Ce%3E|Open>";
                    let said = object["text"].as_str().unwrap();
                    let (time, rest) = said.split_once("> · ").unwrap();
                    assert!(time.starts_with("<!date^"), "{said}");
                    assert_eq!(rest, link);
                }
                Some("header" | "section" | "context") => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn in_teams_nothing_of_an_event_stands_where_markup_is_read() {
    for text in HOSTILE {
        let message = message(PayloadFormat::Teams, text);
        let card = &message["attachments"][0]["content"];
        assert_eq!(card["msteams"], json!({"width": "Full"}), "no entities, so no mentions");
        for object in objects(&card["body"]) {
            match object["type"].as_str() {
                Some("TextRun") => assert!(object["selectAction"].is_null()),
                Some("RichTextBlock") => {}
                Some("TextBlock") => {
                    let said = object["text"].as_str().unwrap();
                    assert!(said.starts_with("{{DATE("), "{said}");
                    assert_eq!(said.len(), "{{DATE(,SHORT)}} {{TIME()}}".len() + 2 * 20, "{said}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// What Discord shows of a text in which each sign is escaped; `None` if one is not.
fn unescaped(text: &str) -> Option<String> {
    let mut shown = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => shown.push(characters.next().filter(char::is_ascii_punctuation)?),
            c if c.is_ascii_punctuation() => return None,
            c => shown.push(c),
        }
    }
    Some(shown)
}

#[test]
fn in_discord_every_sign_is_escaped_and_nobody_is_pinged() {
    for text in HOSTILE {
        let message = message(PayloadFormat::Discord, text);
        assert_eq!(message["allowed_mentions"], json!({"parse": []}));
        assert!(message["content"].is_null());
        let embed = &message["embeds"][0];
        let mut texts = vec![embed["title"].as_str().unwrap()];
        for field in embed["fields"].as_array().unwrap() {
            texts.extend([field["name"].as_str().unwrap(), field["value"].as_str().unwrap()]);
        }
        for text in texts {
            assert!(unescaped(text).is_some(), "{text}");
        }
    }
    let message = message(PayloadFormat::Discord, "@everyone");
    let title = message["embeds"][0]["title"].as_str().unwrap();
    assert_eq!(unescaped(title).unwrap(), "New artifact: @everyone @everyone");
}

#[test]
fn no_message_has_a_character_that_turns_or_hides_others() {
    for format in [PayloadFormat::Slack, PayloadFormat::Teams, PayloadFormat::Discord] {
        for text in ["a\u{202e}b", "a\u{200b}b", "a\u{2066}b\u{2069}", "a\u{2028}b", "a\u{feff}b"] {
            let message = message(format, text).to_string();
            let is_odd = |c: char| matches!(c as u32, 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff);
            assert!(!message.contains(is_odd), "{message}");
        }
    }
}

#[test]
fn a_link_leads_to_the_web_and_hides_no_host() {
    let mut told = event("new npm package");
    for (url, linked) in [
        ("https://packages.example/a", true),
        ("http://packages.example/a", true),
        ("javascript:alert(1)", false),
        ("file:///etc/passwd", false),
        ("https://packages.example@evil.example/", false),
        ("no url", false),
    ] {
        told.artifact.as_mut().unwrap().url = Some(url.to_owned());
        let discord = body(&render(&PayloadFormat::Discord(Chat::default()), &told));
        assert_eq!(discord["embeds"][0]["url"].is_string(), linked, "{url}");
        let teams = body(&render(&PayloadFormat::Teams(Chat::default()), &told));
        assert_eq!(teams["attachments"][0]["content"]["actions"].is_array(), linked, "{url}");
        let slack = body(&render(&PayloadFormat::Slack(Chat::default()), &told)).to_string();
        assert_eq!(slack.contains("|Open>"), linked, "{url}");
    }
}

/// The largest event that there can be, of signs that take the most room.
fn largest(sign: char) -> Event {
    let text = sign.to_string().repeat(4096 / sign.len_utf8());
    let mut artifact = Artifact::new("generic", &text)
        .with_registry(&text)
        .with_repository(&text)
        .with_namespace(&text)
        .with_version(&text)
        .with_url(format!("https://registry.example/{}", "a".repeat(970)));
    artifact.tags = vec![text.clone(); 40];
    let mut event = Event::builder(EventKind::ARTIFACT_MOVED)
        .from(artifact.clone().with_repository("before"))
        .artifact(artifact)
        .actor(Actor::new(ActorKind::User, &text));
    for n in 0..10 {
        event = event.attribute(format!("{n}{}", &text[..4000]), &text);
    }
    event.build().unwrap()
}

fn units(value: &Value) -> usize {
    value.as_str().unwrap().encode_utf16().count()
}

#[test]
fn the_largest_message_keeps_to_each_service_s_limits() {
    let label = "l".repeat(Chat::MAX_LABEL_CHARS);
    let chat = || Chat::default().with_label(&label);
    for sign in ['*', '&', '"', 'w', '\u{1f4e6}'] {
        let event = largest(sign);
        let name = "t".repeat(200);
        let slack = body(&render_for(&name, &PayloadFormat::Slack(chat()), &event));
        let blocks = slack["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50 && units(&slack["text"]) <= 3_000);
        assert!(units(&blocks[0]["text"]["text"]) <= 150 + 150 * usize::from(sign == '\u{1f4e6}'));
        assert!(slack["blocks"][0]["text"]["text"].as_str().unwrap().chars().count() <= 150);
        for block in blocks {
            for field in block["fields"].as_array().into_iter().flatten() {
                assert!(units(&field["text"]) <= 2_000 && units(&field["text"]) > 0);
            }
            assert!(block["fields"].as_array().is_none_or(|fields| fields.len() <= 10));
        }
        let discord = body(&render_for(&name, &PayloadFormat::Discord(chat()), &event));
        let embed = &discord["embeds"][0];
        let mut total = units(&embed["title"]);
        assert!(total <= 256, "{total}");
        for field in embed["fields"].as_array().unwrap() {
            assert!(units(&field["name"]) <= 256 && units(&field["value"]) <= 1_024);
            total += units(&field["name"]) + units(&field["value"]);
        }
        assert!(total <= 6_000 && embed["fields"].as_array().unwrap().len() <= 25, "{total}");
        let teams = render_for(&name, &PayloadFormat::Teams(chat()), &event);
        assert!(teams.body.len() <= 28 * 1024, "{}", teams.body.len());
    }
}

#[test]
fn a_message_reads_well() {
    let title = |name: &str| {
        body(&render(&PayloadFormat::Slack(Chat::default()), &event(name)))["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for (name, expected) in [
        ("new image", "New artifact: library/hello:v1.2.0"),
        ("new npm package", "New artifact: @acme/left-pad 2.0.0-rc.1"),
        ("image deleted by its digest", "Artifact deleted: library/hello at sha256:a1b2c3d4a1b2"),
        ("package promoted", "Artifact promoted: org.acme/core 4.1"),
        ("schedule came due", "Schedule came due"),
        ("a registry's own kind", "acme.mirror-sync.done"),
    ] {
        assert_eq!(title(name), expected);
    }
    let labelled = PayloadFormat::Slack(Chat::default().with_label("staging"));
    let labelled = body(&render(&labelled, &event("tag removed")));
    assert_eq!(labelled["text"], "staging · Tag removed: library/hello:v1.2.0");
}
