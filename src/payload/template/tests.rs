use std::time::{Duration, Instant};

use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::event::{Artifact, Event, EventKind};
use crate::id::TriggerId;

fn trigger() -> TriggerName<'static> {
    TriggerName { id: TriggerId::from_bytes([7; 16]), name: "tell \"the\" team" }
}

fn event_of(name: &str, data: Value) -> Event {
    let artifact = Artifact::new("npm", name).with_version("1.2.3");
    Event::builder(EventKind::ARTIFACT_INGESTED).artifact(artifact).data(data).build().unwrap()
}

fn made_of(template: &Template, event: &Event) -> Result<Payload, String> {
    template.render(&event.to_json(), trigger()).map_err(|problems| problems.to_string())
}

/// What a body makes of an artifact's name.
fn body(text: &str, name: &str) -> Result<String, String> {
    let made = made_of(&Template::new(text), &event_of(name, Value::Null))?;
    Ok(String::from_utf8(made.body.to_vec()).unwrap())
}

fn plain(text: &str) -> Result<String, String> {
    let template = Template::new(text).with_content_type("text/plain");
    let made =
        made_of(&template, &event_of("left-pad", json!({"n": 1, "long": "x".repeat(9_999)})))?;
    Ok(String::from_utf8(made.body.to_vec()).unwrap())
}

fn url_of(template: &Template, name: &str) -> Result<String, String> {
    let endpoint = Url::parse("https://ci.example:8443/hooks/t0ken?key=1").unwrap();
    let made = made_of(template, &event_of(name, Value::Null))?;
    Ok(made.url(&endpoint).to_string())
}

/// What a template could be made for if it took what it likes.
fn hostile(text: &str) -> String {
    let begun = Instant::now();
    let found = plain(text).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?} for {text:.60}", begun.elapsed());
    found
}

#[test]
fn a_value_is_json_of_its_own_or_a_part_of_the_string_that_it_stands_in() {
    let text = r#"{"a": {{ artifact.name }}, "b": "of {{ artifact.name }}!", "n": {{ 3 - 1 }},
        "c": "{{ event.artifact }}", "d": {{ event.artifact | tojson }}}"#;
    let name = "a\"b\\c\n\u{1f600}\u{1}</script>";
    let event = json!({"name": name, "package_type": "npm", "version": "1.2.3"});
    let template = Template::new(text);
    let mut told = event_of("x", Value::Null);
    told.artifact = Some(serde_json::from_value::<EventOf>(json!({"artifact": event})).unwrap().0);
    let made = made_of(&template, &told).unwrap();
    let made: Value = serde_json::from_slice(&made.body).unwrap();
    assert_eq!(made["a"], name);
    assert_eq!(made["b"], format!("of {name}!"));
    assert_eq!(made["n"], 2);
    assert_eq!(made["d"], event);
    assert_eq!(serde_json::from_str::<Value>(made["c"].as_str().unwrap()).unwrap(), event);
}

/// An artifact that no check has seen: with control characters.
struct EventOf(Artifact);

impl<'de> serde::Deserialize<'de> for EventOf {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = |name: &str| value["artifact"][name].as_str().unwrap().to_owned();
        let artifact = Artifact::new(text("package_type"), text("name"));
        Ok(Self(artifact.with_version(text("version"))))
    }
}

#[test]
fn a_body_that_would_be_no_json_is_not_sent() {
    for (text, expected) in [
        (r#"{"a": 1"#, "body: what it makes is not JSON: EOF while parsing an object"),
        (r#"{"a": {{ artifact.name }} {{ artifact.name }}}"#, "body: what it makes is not JSON"),
        (r#"{"a": "\{{ artifact.name }}"}"#, "body: a backslash stands before a value"),
        (
            r#"{% set b %}"{{ artifact.name }}"{% endset %}{{ b }}"#,
            "body: line 1: what a block captured can be printed in plain text only",
        ),
    ] {
        let found = body(text, "x").unwrap_err();
        assert!(found.starts_with(expected), "{text}: {found}");
    }
}

#[test]
fn what_is_appended_to_a_url_keeps_its_origin_and_its_segments() {
    let template = Template::new("{}")
        .with_path("/packages/{{ artifact.name }}/{{ artifact.version }}")
        .with_query("q", "of {{ artifact.name }}&x")
        .with_query("a b", "1");
    assert_eq!(
        url_of(&template, "left-pad").unwrap(),
        "https://ci.example:8443/hooks/t0ken/packages/left-pad/1.2.3?key=1&a%20b=1&q=of%20left-pad%26x"
    );
    assert_eq!(
        url_of(&template, "@acme/a?b#c\u{fc}%2F\\:").unwrap(),
        "https://ci.example:8443/hooks/t0ken/packages/%40acme%2Fa%3Fb%23c%C3%BC%252F%5C%3A/1.2.3\
         ?key=1&a%20b=1&q=of%20%40acme%2Fa%3Fb%23c%C3%BC%252F%5C%3A%26x"
    );
    for name in [".", ".."] {
        let expected = format!("path: expected segments other than {name:?}");
        assert_eq!(url_of(&template, name), Err(expected));
    }
}

#[test]
fn literal_text_of_a_path_cannot_leave_it_either() {
    for (path, expected) in [
        ("a//b", "path: expected segments other than \"\""),
        ("../{{ artifact.name }}", "path: expected segments other than \"..\""),
        ("a/.%2E/b", "path: expected segments other than \"..\""),
        ("a/", "path: expected segments other than \"\""),
        ("//evil.example/x", "path: expected segments other than \"\""),
        ("a?b", "path: expected what a segment of a path may have in it, found \"a?b\""),
        ("a#b", "path: expected what a segment of a path may have in it, found \"a#b\""),
        ("a\\b", "path: expected what a segment of a path may have in it, found \"a\\\\b\""),
        ("a%2", "path: expected what a segment of a path may have in it, found \"a%2\""),
        ("a b", "path: expected what a segment of a path may have in it, found \"a b\""),
    ] {
        let found = url_of(&Template::new("{}").with_path(path), "x");
        assert_eq!(found, Err(expected.to_owned()), "{path}");
    }
    assert_eq!(
        url_of(&Template::new("{}").with_path("https:@evil.example/x"), "x").unwrap(),
        "https://ci.example:8443/hooks/t0ken/https:@evil.example/x?key=1"
    );
}

#[test]
fn a_long_path_is_refused() {
    let template = Template::new("{}").with_path("{{ artifact.name }}").with_query("q", "1");
    let found = url_of(&template, &"x".repeat(2044)).unwrap_err();
    assert_eq!(found, "path: expected at most 2048 bytes with the query, found 2049");
    let found = url_of(&template, &"x".repeat(2049)).unwrap_err();
    assert_eq!(found, "path: expected at most 2048 bytes of it");
}

#[test]
fn a_header_field_is_one_line_of_ascii() {
    let field = |name: &str| {
        let template = Template::new("{}").with_header("x-name", "of {{ event.data.name }}\n");
        let event = event_of("x", json!({"name": name}));
        Ok::<_, String>(made_of(&template, &event)?.headers[1].1.clone())
    };
    assert_eq!(field("left-pad"), Ok("of left-pad".to_owned()));
    for name in ["a\r\nwebhook-signature: v1,x", "a\nb", "a\0b", "\u{fc}"] {
        let expected = "headers.x-name: expected printable ASCII; \
                        the filter urlencode makes it of other characters";
        assert_eq!(field(name), Err(expected.to_owned()), "{name:?}");
    }
}

#[test]
fn the_method_is_one_that_there_is() {
    let method = |text: &str| {
        let template = Template::new("{}").with_method(text);
        Ok::<_, String>(made_of(&template, &event_of("x", Value::Null))?.method())
    };
    let text = "{{ 'DELETE' if event.kind == 'artifact.deleted' else 'PUT' }}";
    assert_eq!(method(text), Ok(Method::Put));
    for text in ["post", "CONNECT", "", "GET / HTTP/1.1"] {
        let expected = format!("method: expected POST, PUT, PATCH, DELETE or GET, found {text:?}");
        assert_eq!(method(text), Err(expected));
    }
    assert_eq!(method("GET"), Err("body: expected no body of a GET".to_owned()));
    let made =
        made_of(&Template::new("").without_body().with_method("GET"), &event_of("x", json!(1)));
    let made = made.unwrap();
    assert_eq!((made.method(), made.body.len(), made.fields().count()), (Method::Get, 0, 0));
}

#[test]
fn values_are_escaped_by_the_media_type_of_the_body() {
    let made = |content_type: &str| {
        let template = Template::new("a={{ event.data.v }}").with_content_type(content_type);
        let event = event_of("x", json!({"v": "<&\"'> \u{fc}="}));
        String::from_utf8(made_of(&template, &event).unwrap().body.to_vec()).unwrap()
    };
    assert_eq!(made("text/plain"), "a=<&\"'> \u{fc}=");
    assert_eq!(made("text/html; charset=utf-8"), "a=&lt;&amp;&quot;&#39;&gt; \u{fc}=");
    assert_eq!(made("application/soap+xml"), "a=&lt;&amp;&quot;&#39;&gt; \u{fc}=");
    assert_eq!(made("application/x-www-form-urlencoded"), "a=%3C%26%22%27%3E%20%C3%BC%3D");
}

#[test]
fn the_filters_that_people_expect_are_there() {
    for (text, expected) in [
        ("{{ artifact.name | upper }}", "LEFT-PAD"),
        ("{{ artifact.name | replace('-', '_') | truncate(5, '') }}", "left_"),
        ("{{ artifact.name | truncate(4) }}", "left\u{2026}"),
        ("{{ artifact.tags | join(', ') | default('none', true) }}", "none"),
        ("{{ artifact.namespace | default('none') }}", "none"),
        (
            "{{ artifact.name | length }} {{ artifact.name | first }}{{ artifact.name | last }}",
            "8 ld",
        ),
        ("{{ ' a ' | trim | lower }}", "a"),
        ("{{ event.data.n | tojson }}", "1"),
        ("{{ [1, '\u{fc}'] | tojson }}", "[1,\"\u{fc}\"]"),
        ("{{ '\u{fc}/' | urlencode }}", "%C3%BC%2F"),
        (
            "{{ ('sha256:' ~ 'abababab' ~ 'abababab' ~ 'abababab' ~ 'abababab') | short_digest }}",
            "abababababab",
        ),
        (
            "{{ ('sha256:' ~ 'abababab' ~ 'abababab' ~ 'abababab' ~ 'abababab') | short_digest(4) }}",
            "abab",
        ),
        ("{{ '2026-11-23T14:42:23.5Z' | date }}", "2026-11-23"),
        ("{{ '2026-11-23T14:42:23.5Z' | date('%d.%m.%Y %H:%M') }}", "23.11.2026 14:42"),
        ("{% if artifact.version %}{{ trigger.name }}{% endif %}", "tell \"the\" team"),
        ("{% for f in artifact.files %}x{% else %}none{% endfor %}", "none"),
        ("{{ event.actor.name | default('nobody') }}", "nobody"),
    ] {
        assert_eq!(plain(text), Ok(expected.to_owned()), "{text}");
    }
}

#[test]
fn what_is_not_there_is_an_error_unless_there_is_a_default() {
    for (text, expected) in [
        ("{{ artifact.namespace }}", "body: line 1: `artifact.namespace` is undefined"),
        ("\n\n{{ artefact.name }}", "body: line 3: `artefact` is undefined"),
        ("{{ event.data.a.b }}", "body: line 1: `event.data.a` is undefined"),
        ("{{ artifact.namespace | upper }}", "body: line 1: `artifact.namespace` is undefined"),
        ("{{ artifact.namespace | tojson }}", "body: line 1: what tojson gets is undefined"),
        (
            "{% for a in event.data.list %}{% endfor %}",
            "body: line 1: `event.data.list` is undefined",
        ),
        (
            "{{ 'x' | short_digest }}",
            "body: line 1: expected a digest such as sha256:e3b0c442\u{2026}",
        ),
        (
            "{{ 'x' | date }}",
            "body: line 1: expected a time as RFC 3339 has it, such as event.occurred_at",
        ),
        (
            "{{ event.occurred_at | date('%Q') }}",
            "body: line 1: expected a form of dates such as \"%Y-%m-%d %H:%M\"",
        ),
    ] {
        assert_eq!(plain(text), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn nothing_reaches_beyond_the_event() {
    for text in [
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% macro a() %}{% endmacro %}",
        "{{ artifact.name | safe }}",
        "{{ artifact.name | escape }}",
        "{{ namespace() }}",
        "{{ debug() }}",
        "{{ event.__class__.__mro__ }}",
        "{{ self }}",
    ] {
        let found = plain(text).unwrap_err();
        let why = ["unknown", "is undefined", "unexpected"];
        assert!(why.iter().any(|why| found.contains(why)), "{text}: {found}");
    }
}

#[test]
fn a_template_that_makes_too_much_of_anything_ends() {
    for text in [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        &format!("{{% set a = 'x' %}}{}", "{% set a = a ~ a %}".repeat(64)),
        &format!("{{% set a = artifact.name %}}{}", "{% set a = a|replace('', a) %}".repeat(9)),
        "{% for a in range(99999) %}{{ event == event }}{{ event.data }}{% endfor %}",
        "{{ range(99999) | join(event.data.long) }}",
        "{% for a in range(99999) %}{% set b = event.data.long | upper %}{% endfor %}",
        "{% for a in range(99999) %}{% if event.data.long in event.data.long %}{% endif %}{% endfor %}",
    ] {
        assert_eq!(hostile(text), "body: line 1: it makes more work than a template may", "{text}");
    }
    let wide = "x".repeat(60_000);
    let found = hostile(&format!("{{% for a in range(9999) %}}{wide}{{% endfor %}}"));
    assert_eq!(found, "body: expected at most 2097152 bytes of it");
}

#[test]
fn nothing_makes_lists_that_hold_themselves_again_and_again() {
    for (text, expected) in [
        ("{% set a = [a, a] %}", "expected only texts and numbers in a list"),
        ("{% set a = (a, 1) %}", "expected only texts and numbers in a list"),
        ("{{ 1 in (a, 1) }}", "expected only texts and numbers in a list"),
        ("{{ 1 in[a, 1] }}", "expected only texts and numbers in a list"),
        ("{{ [['a'], 1] }}", "expected only texts and numbers in a list"),
        ("{{ a[b, c] }}", "expected only texts and numbers in a list"),
        ("{% set a = a, a %}", "expected no list without brackets"),
        ("{% for a in a, a %}{% endfor %}", "expected no list without brackets"),
        ("{% with a = a, b = b %}{% endwith %}", "expected no list without brackets"),
        ("{{ {'a': a} }}", "expected no braces within an expression"),
        ("{{ '}}' ~ a * 2 }}", "expected the end of a string"),
        ("{{ a + a }}", "expected no +: it could make lists longer"),
        ("{{ a * 9 }}", "expected no *: it could make lists longer"),
        ("{% raw %}{#{% endraw %}{{ a * 9 }}#}", "expected no raw block"),
        ("{%- raw -%}{#{% endraw %}{{ a * 9 }}#}", "expected no raw block"),
        ("{{ a", "expected }}"),
        ("{# a", "expected #}"),
    ] {
        assert_eq!(hostile(text), format!("body: line 1: {expected}"), "{text}");
    }
    for (text, expected) in [
        ("{{ 1 in [1, 'a', -2.5, true] }}", "true"),
        ("{{ 'a+b*c, {' | replace('*', '+') }}", ""),
        ("{# a + {{ a * 2 }} #}x", "x"),
        ("{{ ['a', 'b'] | join(', ') }}", "a, b"),
        ("{{ [artifact.name] | join }}", "left-pad"),
        ("{% for a, b in [['k'], ['v']] %}{% endfor %}", ""),
    ] {
        match plain(text) {
            Ok(found) => assert_eq!(found, expected, "{text}"),
            Err(found) => assert!(expected.is_empty(), "{text}: {found}"),
        }
    }
}

#[test]
fn deep_nesting_of_the_text_itself_is_refused() {
    for (open, close) in [("[", "]"), ("(", ")")] {
        let text = format!("{{{{ {}1{} }}}}", open.repeat(200), close.repeat(200));
        assert!(hostile(&text).contains("recursion"), "{open}");
    }
    let loops = "{% for a in [1] %}".repeat(120) + &"{% endfor %}".repeat(120);
    assert!(hostile(&loops).contains("recursion"), "{}", hostile(&loops));
    let recursive = "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}";
    assert!(hostile(recursive).contains("recursion"), "{}", hostile(recursive));
}

/// Each of these takes stack where it is parsed, or dropped, as long as it is.
#[test]
fn a_chain_of_operators_as_long_as_it_may_be_fits_on_a_stack() {
    for (begin, link, end) in [
        ("{{ ", "not ", "1 }}"),
        ("{{ ", "-", "1 }}"),
        ("{{ 1", "|d", " }}"),
        ("{{ a", ".a", " }}"),
        ("{{ 1", " or 1", " }}"),
        ("{{ 1", "-1", " }}"),
        ("{{ 1", "//1", " }}"),
        ("{{ a", "()", " }}"),
        ("{{ a", "[0]", " }}"),
        ("{{ 1", " if 1", " }}"),
        ("{{ 1", " is odd", " }}"),
        ("{{ 1", "<1", " }}"),
        ("{{ 1", "~1", " }}"),
    ] {
        let room = guard::MAX_BLOCK_BYTES + 4 - begin.len() - end.len();
        let text = |links| format!("{begin}{}{end}", link.repeat(links));
        let _ = plain(&text(room / link.len()));
        let found = hostile(&text(room / link.len() + 1));
        assert!(found.contains("expected expressions of at most 512 bytes"), "{link}: {found}");
    }
    let chain = |links| format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(links));
    assert_eq!(plain(&chain(guard::MAX_BLOCKS - 2)), Ok(String::new()));
    let expected = "body: expected at most 256 expressions and statements";
    assert_eq!(hostile(&chain(guard::MAX_BLOCKS - 1)), expected);
}

fn tried(template: &Template, kinds: &[EventKind]) -> Vec<String> {
    let mut problems = Problems::default();
    template.check("t", &mut problems);
    template.try_out(kinds, "t", &mut problems);
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_template_is_tried_out_on_each_kind_that_it_may_get() {
    let kinds = [EventKind::ARTIFACT_INGESTED, EventKind::ARTIFACT_UPDATED];
    let template = Template::new(r#"{"old": "{{ event.from.digest }}"}"#)
        .with_path("{{ artifact.nmae }}")
        .with_query("x", "{{ 1 +")
        .with_header("x-a", "{{ event.data.deep.er[0] | upper }} {{ event.attributes.any }}");
    let known = "registry, repository, package_type, namespace, name, version, tags, digest, purl, \
                 url, size, oci, files";
    assert_eq!(
        tried(&template, &kinds),
        [format!(
            "t.path: line 1: artifact has no \"nmae\", but {known} \
                 (in an event of kind artifact.ingested)"
        ),]
    );
    assert_eq!(tried(&template.clone().with_path(""), &kinds).len(), 1);
    let template = Template { query: BTreeMap::new(), path: String::new(), ..template };
    assert_eq!(
        tried(&template, &kinds),
        [
            "t.body: line 1: `event.from.digest` is undefined (in an event of kind artifact.ingested)"
        ]
    );
    assert_eq!(tried(&template, &kinds[1..]), [""; 0]);
}

#[test]
fn what_only_the_sender_knows_stands_for_anything() {
    let template = Template::new(
        r#"{"n": {{ event.data.count - 1 }}, "l": [{% for a in event.data.list %}{{ a.id }}{% endfor %}],
            "d": {{ event.data }}, "a": {{ event.attributes.whatever }}}"#,
    );
    assert_eq!(tried(&template, EventKind::KNOWN), [""; 0]);
    let template = Template::new("{{ event.data.a | nofilter }}");
    assert_eq!(tried(&template, &[EventKind::PING]).len(), 1);
}

#[test]
fn sizes_and_names_are_checked_whatever_the_event() {
    let long = "x".repeat(Template::MAX_BYTES + 1);
    let template = Template::new(long).with_content_type("json").with_path("a\u{1}");
    let mut problems = Problems::default();
    template.check("t", &mut problems);
    let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "t.path: expected no control characters but tabs and line ends",
            "t.body: expected at most 65536 bytes, found 65537",
            "t.content_type: expected a media type, found \"json\"",
        ]
    );
}
