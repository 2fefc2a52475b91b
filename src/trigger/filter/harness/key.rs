//! Keys: what a condition looks at.

use super::MAX_FILTER_DEPTH;
use crate::document::cut;

const EXPECTED: &str = "expected <+trigger.payload.…>, <+eventPayload.…>, <+trigger.header['…']>, \
                        <+trigger.artifact.build>, <+trigger.manifest.version>, \
                        <+lastPublished.tag>, <+trigger.type> or <+trigger.event>";

/// What a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// A field of the payload, by the names that lead to it.
    Payload(Vec<String>),
    /// A header field, by its name in lower case.
    Header(String),
    /// The version, or the tags of an event that has none.
    Build,
    /// The version.
    Version,
    /// The tags.
    Tag,
    /// The event's kind.
    Kind,
}

impl Key {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let unknown = || format!("{EXPECTED}; found {:?}", cut(text));
        let inner = text.strip_prefix("<+").and_then(|rest| rest.strip_suffix('>'));
        let inner = inner.ok_or_else(unknown)?;
        match inner {
            "trigger.artifact.build" => return Ok(Self::Build),
            "trigger.manifest.version" => return Ok(Self::Version),
            "lastPublished.tag" => return Ok(Self::Tag),
            "trigger.type" | "trigger.event" => return Ok(Self::Kind),
            _ => {}
        }
        let payload = ["trigger.payload", "eventPayload"];
        if let Some(rest) = payload.iter().find_map(|root| inner.strip_prefix(root)) {
            let names = steps(rest)?.ok_or_else(unknown)?;
            return if names.is_empty() { Err(unknown()) } else { Ok(Self::Payload(names)) };
        }
        let header = inner.strip_prefix("trigger.header").filter(|rest| rest.starts_with('['));
        let names = header.map(steps).transpose()?.flatten().unwrap_or_default();
        match <[String; 1]>::try_from(names) {
            Ok([name]) if is_header(&name.to_ascii_lowercase()) => {
                Ok(Self::Header(name.to_ascii_lowercase()))
            }
            _ => Err(unknown()),
        }
    }

    /// The keys that look at a field of the event, the one that says most first.
    pub(super) fn of_field(names: &[&str]) -> Vec<Self> {
        let payload = |names: &[&str]| Self::Payload(names.iter().map(|&n| n.to_owned()).collect());
        match names {
            ["kind"] => vec![Self::Kind],
            ["artifact", "version"] => vec![Self::Version],
            ["artifact", "tags"] => vec![Self::Tag],
            ["data", "headers", name] if is_header(name) => {
                vec![Self::Header((*name).to_owned()), payload(&names[1..])]
            }
            ["data", rest @ ..] if !rest.is_empty() => vec![payload(rest)],
            _ => Vec::new(),
        }
    }

    /// The expression that parses to this key; `None` for a name that no quotes can hold.
    pub(super) fn to_text(&self) -> Option<String> {
        Some(match self {
            Self::Payload(names) => {
                let steps: Option<String> = names.iter().map(|name| step(name)).collect();
                format!("<+trigger.payload{}>", steps?)
            }
            Self::Header(name) => format!("<+trigger.header{}>", quoted_step(name)?),
            Self::Build => "<+trigger.artifact.build>".to_owned(),
            Self::Version => "<+trigger.manifest.version>".to_owned(),
            Self::Tag => "<+lastPublished.tag>".to_owned(),
            Self::Kind => "<+trigger.event>".to_owned(),
        })
    }
}

/// Whether this may be the name of a header field, in lower case.
fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase())
}

/// The names of `.a['b c'].d`; `None` if it is nothing like that.
fn steps(text: &str) -> Result<Option<Vec<String>>, String> {
    let mut names = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some((name, behind)) = first_step(rest) else { return Ok(None) };
        if is_index(rest) {
            return Err(format!(
                "has the index [{}], and a filter cannot count: it looks at any element \
                 (expected names only; leave the index out if any will do)",
                cut(name)
            ));
        }
        if name.starts_with('$') {
            return Err(format!(
                "has the name {:?}, and no filter can name a field that begins with $",
                cut(name)
            ));
        }
        if names.len() == MAX_FILTER_DEPTH {
            return Err(format!("expected at most {MAX_FILTER_DEPTH} names, found more"));
        }
        names.push(name.to_owned());
        rest = behind;
    }
    Ok(Some(names))
}

/// The name or index of the first step, and what is behind that.
fn first_step(text: &str) -> Option<(&str, &str)> {
    if let Some(text) = text.strip_prefix('.') {
        let end = text.find(|c| !is_plain(c)).unwrap_or(text.len());
        return (end > 0).then(|| text.split_at(end));
    }
    let inner = text.strip_prefix('[')?;
    let quote = inner.chars().next()?;
    if ['\'', '"'].contains(&quote) {
        let (name, behind) = inner[1..].split_once(quote)?;
        return Some((name, behind.strip_prefix(']')?));
    }
    inner.split_once(']').filter(|_| is_index(text))
}

fn is_index(text: &str) -> bool {
    let index = text.strip_prefix('[').and_then(|inner| inner.split_once(']'));
    index.is_some_and(|(index, _)| {
        index == "*" || !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Whether a name may have this without quotes.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || ['_', '-', '$'].contains(&c)
}

fn step(name: &str) -> Option<String> {
    if !name.is_empty() && name.chars().all(is_plain) {
        Some(format!(".{name}"))
    } else {
        quoted_step(name)
    }
}

fn quoted_step(name: &str) -> Option<String> {
    let quote = ['\'', '"'].into_iter().find(|quote| !name.contains(*quote))?;
    Some(format!("[{quote}{name}{quote}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(names: &[&str]) -> Key {
        Key::Payload(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn each_expression_is_understood_and_printed_again() {
        let cases = [
            ("<+trigger.payload.a>", payload(&["a"])),
            ("<+trigger.payload.a-b.c_1>", payload(&["a-b", "c_1"])),
            ("<+trigger.payload['a.b'].c[\"it's\"]>", payload(&["a.b", "c", "it's"])),
            ("<+trigger.header['x-github-event']>", Key::Header("x-github-event".to_owned())),
            ("<+trigger.artifact.build>", Key::Build),
            ("<+trigger.manifest.version>", Key::Version),
            ("<+lastPublished.tag>", Key::Tag),
            ("<+trigger.event>", Key::Kind),
        ];
        for (text, key) in cases {
            assert_eq!(Key::parse(text).as_ref(), Ok(&key), "{text}");
            assert_eq!(key.to_text().as_deref(), Some(text));
        }
    }

    #[test]
    fn other_spellings_mean_the_same() {
        let cases = [
            ("<+eventPayload.a.b>", payload(&["a", "b"])),
            ("<+eventPayload['a'].b>", payload(&["a", "b"])),
            ("<+trigger.header[\"X-GitHub-Event\"]>", Key::Header("x-github-event".to_owned())),
            ("<+trigger.type>", Key::Kind),
        ];
        for (text, key) in cases {
            assert_eq!(Key::parse(text), Ok(key), "{text}");
        }
    }

    #[test]
    fn what_names_no_field_of_an_event_is_refused() {
        let texts = [
            "",
            "kind",
            "<+trigger.payload>",
            "<+trigger.payload.>",
            "<+trigger.payloads.a>",
            "<+trigger.payload.a..b>",
            "<+trigger.payload.a b>",
            "<+trigger.payload.a.contains(\"x\")>",
            "<+trigger.payload['a>",
            "<+trigger.payload[a]>",
            "<+trigger.header.Name>",
            "<+trigger.header['']>",
            "<+trigger.header['a b']>",
            "<+trigger.header['a']['b']>",
            "<+trigger.branch>",
            "<+trigger.payload.a",
        ];
        for text in texts {
            let message = Key::parse(text).unwrap_err();
            assert!(message.starts_with("expected <+trigger.payload.…>"), "{text}: {message}");
        }
    }

    #[test]
    fn an_index_and_a_name_with_a_dollar_are_refused_by_name() {
        let cases = [
            ("<+trigger.payload.a[0].b>", "has the index [0]"),
            ("<+eventPayload.a[*]>", "has the index [*]"),
            ("<+trigger.payload.$or>", "has the name \"$or\""),
            ("<+trigger.payload['$not'].a>", "has the name \"$not\""),
            ("<+trigger.header['$and']>", "has the name \"$and\""),
        ];
        for (text, expected) in cases {
            let message = Key::parse(text).unwrap_err();
            assert!(message.starts_with(expected), "{text}: {message}");
        }
    }

    #[test]
    fn a_name_with_both_kinds_of_quotes_has_no_expression() {
        assert_eq!(payload(&["'\""]).to_text(), None);
    }
}
