//! Harness: expressions such as `<+trigger.artifact.build>`, put into the template's own language.
//!
//! In: a text with expressions as Harness writes them. Out: the same with `{{ … }}` in their place.
//! What stands within expressions, statements and comments of the template stays as it is.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::document::cut;

const KNOWN: &str = "<+trigger.artifact.build>, <+trigger.manifest.version>, <+lastPublished.tag>, \
                     <+trigger.type>, <+trigger.event>, <+trigger.payload.…>, <+eventPayload.…> or \
                     <+trigger.header['…']>";

/// The text in the template's own language.
///
/// # Errors
/// An expression that is not known, with its line.
pub(super) fn translated(text: &str) -> Result<Cow<'_, str>, String> {
    if !text.contains("<+") {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(at) = rest.find("<+") {
        // What a block has in it is the template's.
        if let Some((begin, close)) = first_block(rest).filter(|(begin, _)| *begin < at) {
            let end = rest[begin..].find(close).map_or(rest.len(), |end| begin + end + 2);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        out.push_str(&rest[..at]);
        let found = &rest[at..];
        let end = end_of(found);
        let expression = end.and_then(|end| of(&found[2..end - 1]));
        let (Some(end), Some(expression)) = (end, expression) else {
            let line = 1 + text[..text.len() - found.len()].matches('\n').count();
            let shown = cut(found.split_inclusive(['>', '\n']).next().unwrap_or_default());
            return Err(format!("line {line}: expected {KNOWN}, found {:?}", shown.trim_end()));
        };
        out.push_str("{{ ");
        out.push_str(&expression);
        out.push_str(" }}");
        rest = &found[end..];
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

/// Where the first block of the template begins, and what closes it.
fn first_block(text: &str) -> Option<(usize, &'static str)> {
    [("{{", "}}"), ("{%", "%}"), ("{#", "#}")]
        .into_iter()
        .filter_map(|(open, close)| Some((text.find(open)?, close)))
        .min()
}

/// Where an expression ends that a text begins with, quotes in it looked through.
fn end_of(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at + 1),
            (None, '\'' | '"') => quote = Some(c),
            (None | Some(_), '\n') => return None,
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    None
}

/// What an expression is in the template's language.
fn of(expression: &str) -> Option<String> {
    match expression {
        "trigger.artifact.build" => {
            return Some("artifact.version | default(artifact.tags | first)".to_owned());
        }
        "trigger.manifest.version" => return Some("artifact.version".to_owned()),
        "lastPublished.tag" => return Some("artifact.tags | first".to_owned()),
        "trigger.type" | "trigger.event" => return Some("event.kind".to_owned()),
        _ => {}
    }
    if let Some(rest) = expression.strip_prefix("trigger.header") {
        let (Step::Name(name), "") = first_step(rest)? else { return None };
        let name = name.to_ascii_lowercase();
        return rest.starts_with('[').then(|| format!("event.data.headers[\"{name}\"]"));
    }
    let roots = ["trigger.payload", "eventPayload"];
    let mut rest = roots.iter().find_map(|root| expression.strip_prefix(root))?;
    let mut path = String::new();
    while !rest.is_empty() {
        let (step, behind) = first_step(rest)?;
        // Writing to a text cannot fail.
        let _ = match step {
            Step::Name(name) => write!(path, "[\"{name}\"]"),
            Step::Index(index) => write!(path, "[{index}]"),
        };
        rest = behind;
    }
    (!path.is_empty()).then(|| format!("event.data{path}"))
}

enum Step<'t> {
    Name(&'t str),
    Index(&'t str),
}

/// The step that a text begins with, `.a`, `['a b']` or `[0]`, and what is behind that.
fn first_step(text: &str) -> Option<(Step<'_>, &str)> {
    if let Some(text) = text.strip_prefix('.') {
        let end = text.find(|c: char| !c.is_alphanumeric() && !"_-$".contains(c));
        let (name, behind) = text.split_at(end.unwrap_or(text.len()));
        return (!name.is_empty()).then_some((Step::Name(name), behind));
    }
    let inner = text.strip_prefix('[')?;
    let quote = inner.chars().next()?;
    if ['\'', '"'].contains(&quote) {
        let (name, behind) = inner[1..].split_once(quote)?;
        // What would end the string or the expression that it goes into.
        let is_plain = !name.is_empty() && !name.contains(['"', '\\', '{', '}', '%', '#']);
        let is_plain = is_plain && !name.contains(char::is_control);
        return is_plain.then_some((Step::Name(name), behind.strip_prefix(']')?));
    }
    let (index, behind) = inner.split_once(']')?;
    let is_number = (1..=6).contains(&index.len()) && index.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some((Step::Index(index), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_expression_becomes_one_of_the_template() {
        for (harness, own) in [
            (
                "v<+trigger.artifact.build>!",
                "v{{ artifact.version | default(artifact.tags | first) }}!",
            ),
            ("<+trigger.manifest.version>", "{{ artifact.version }}"),
            ("<+lastPublished.tag>", "{{ artifact.tags | first }}"),
            ("<+trigger.type> <+trigger.event>", "{{ event.kind }} {{ event.kind }}"),
            ("<+trigger.payload.a.b-c>", "{{ event.data[\"a\"][\"b-c\"] }}"),
            ("<+eventPayload['a > b'][0].c>", "{{ event.data[\"a > b\"][0][\"c\"] }}"),
            ("<+trigger.header['X-GitHub-Event']>", "{{ event.data.headers[\"x-github-event\"] }}"),
            ("{{ event.kind }}<+trigger.type>", "{{ event.kind }}{{ event.kind }}"),
            ("no < + expression >", "no < + expression >"),
            (
                "{# <+anything> #}{{ \"<+x>\" }}{% if true %}<+trigger.type>{% endif %}",
                "{# <+anything> #}{{ \"<+x>\" }}{% if true %}{{ event.kind }}{% endif %}",
            ),
        ] {
            assert_eq!(translated(harness).as_deref(), Ok(own), "{harness}");
        }
    }

    #[test]
    fn what_is_not_known_is_named_with_its_line() {
        for (text, found) in [
            ("<+pipeline.name>", "<+pipeline.name>"),
            ("<+trigger.payload>", "<+trigger.payload>"),
            ("<+trigger.payload.a..b>", "<+trigger.payload.a..b>"),
            ("<+trigger.header.X>", "<+trigger.header.X>"),
            ("<+trigger.header['']>", "<+trigger.header['']>"),
            ("<+trigger.payload['a}}b']>", "<+trigger.payload['a}}b']>"),
            ("<+trigger.payload['a\\']>", "<+trigger.payload['a\\']>"),
            (
                "<+trigger.artifact.build.contains(\"x\")>",
                "<+trigger.artifact.build.contains(\\\"x\\\")>",
            ),
            ("<+trigger.type\n>", "<+trigger.type"),
            ("<+", "<+"),
        ] {
            let error = translated(text).unwrap_err();
            let shown = found.replace("\\'", "\\\\'");
            assert!(error.ends_with(&format!("found \"{shown}\"")), "{text}: {error}");
        }
        let error = translated("a\nb <+trigger.type> <+x>").unwrap_err();
        assert!(error.starts_with("line 2: expected <+trigger.artifact.build>"), "{error}");
    }
}
