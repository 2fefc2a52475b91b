//! Templates: a request whose parts are made of an event by the rules that a trigger's owner
//! writes.
//!
//! In: an event's JSON and the trigger's name. Out: a [`Payload`] with method, path and query
//! beside the header fields and the body. Whatever stands in the event stays in the place that the
//! template has for it, and the request goes to the endpoint's origin. What a template may do is
//! limited: it sees one event, includes nothing, and ends when its fuel does.

mod context;
mod escape;
mod filters;
mod guard;
mod harness;
mod json;
mod samples;

use std::collections::BTreeMap;
use std::io;
use std::sync::LazyLock;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;
use serde_json::Value as Json;

use super::encode::percent_encode;
use super::{Payload, TriggerName};
use crate::document::{self, Object, Problems, cut, join};
use crate::event::MAX_EVENT_BYTES;
use crate::request::{MAX_URL_BYTES, Method, is_field_text};
use escape::Place;

/// A request that is made of an event.
///
/// ```
/// use artifact_triggers::payload::Template;
///
/// let template = Template::new(r#"{"text": "{{ artifact.name }} {{ artifact.version }}"}"#)
///     .with_path("packages/{{ artifact.name }}")
///     .with_query("by", "{{ event.actor.name | default('nobody') }}");
/// assert_eq!(template.content_type, "application/json");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Template {
    /// What the method is: `POST`, `PUT`, `PATCH`, `DELETE` or `GET`.
    pub method: String,
    /// What is appended to the path of the endpoint's URL; nothing if it is empty.
    pub path: String,
    /// What is appended to the URL's query: values by their names.
    pub query: BTreeMap<String, String>,
    /// Header fields by their names.
    pub headers: BTreeMap<String, String>,
    /// The media type of the body, which says how values are escaped in it.
    pub content_type: String,
    /// The body; none if it is `None`.
    pub body: Option<String>,
}

impl Template {
    /// The longest text of a template, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;
    /// The most parameters of the query, and the most header fields.
    pub const MAX_FIELDS: usize = 32;
    /// The largest body that is made, in bytes.
    pub const MAX_BODY_BYTES: usize = 2 * MAX_EVENT_BYTES;
    /// The longest value of a header field that is made, in bytes.
    pub const MAX_HEADER_BYTES: usize = 4096;
    /// How much work one request may make: a step costs one, and so do 64 bytes.
    pub const FUEL: u64 = 200_000;
    /// How deep loops and expressions may go.
    pub const MAX_RECURSION: usize = 64;

    /// A POST of a JSON body.
    pub fn new(body: impl Into<String>) -> Self {
        Self {
            method: "POST".to_owned(),
            path: String::new(),
            query: BTreeMap::new(),
            headers: BTreeMap::new(),
            content_type: "application/json".to_owned(),
            body: Some(body.into()),
        }
    }

    /// Sets the method.
    pub fn with_method(mut self, method: impl Into<String>) -> Self {
        self.method = method.into();
        self
    }

    /// Sets what is appended to the path.
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Adds a parameter of the query.
    pub fn with_query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.insert(name.into(), value.into());
        self
    }

    /// Adds a header field.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Sets the media type of the body.
    pub fn with_content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// Leaves the body out.
    pub fn without_body(mut self) -> Self {
        self.body = None;
        self
    }

    /// The request of an event, by the event's own JSON.
    ///
    /// # Errors
    /// What cannot be made of this event, with the path of the text that was to make it.
    pub fn render(&self, event_json: &[u8], trigger: TriggerName<'_>) -> Result<Payload, Problems> {
        let event = document::parse_foreign(event_json, usize::MAX)?;
        let Json::Object(event) = event else { return Err(Problems::of("expected an event")) };
        self.rendered(&mut Run::new(context::of(event, trigger))).map_err(|failed| {
            let mut problems = Problems::default();
            problems.add(failed.path, failed.message);
            problems
        })
    }

    fn rendered(&self, run: &mut Run) -> Result<Payload, Failed> {
        let method = self.rendered_method(run)?;
        let path = self.rendered_path(run)?;
        let mut headers = Vec::with_capacity(self.headers.len() + 3);
        if self.body.is_some() {
            headers.push(("content-type".to_owned(), self.content_type.clone()));
        }
        for (name, text) in &self.headers {
            headers.push((name.clone(), rendered_field(name, text, run)?));
        }
        let body = match &self.body {
            Some(text) => self.rendered_body(text, run)?,
            None => String::new(),
        };
        if method == Method::Get && self.body.is_some() {
            return Err(Failed::at("body", "expected no body of a GET"));
        }
        Ok(Payload { headers, body: body.into_bytes().into() }.with_line(method, path))
    }

    fn rendered_method(&self, run: &mut Run) -> Result<Method, Failed> {
        let method = run.text("method", Place::Line, &self.method, Self::MAX_HEADER_BYTES)?;
        Method::of_name(method.trim()).ok_or_else(|| {
            let expected = "expected POST, PUT, PATCH, DELETE or GET";
            Failed::at("method", format!("{expected}, found {:?}", cut(&method)))
        })
    }

    /// What is appended to the URL: segments with a slash before each, and the query.
    fn rendered_path(&self, run: &mut Run) -> Result<String, Failed> {
        let path = run.text("path", Place::Url, &self.path, MAX_URL_BYTES)?;
        let path = path.trim();
        let mut target = String::new();
        if !path.is_empty() {
            for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
                check_segment(segment).map_err(|message| Failed::at("path", message))?;
                target.push('/');
                target.push_str(segment);
            }
        }
        let mut sign = '?';
        for (name, text) in &self.query {
            let value = run.text(join("query", name), Place::Url, text, MAX_URL_BYTES)?;
            target.push(sign);
            percent_encode(name, &mut target);
            target.push('=');
            push_query(&value, &mut target);
            sign = '&';
        }
        if target.len() > MAX_URL_BYTES {
            let message = format!("expected at most {MAX_URL_BYTES} bytes with the query");
            return Err(Failed::at("path", format!("{message}, found {}", target.len())));
        }
        Ok(target)
    }

    fn rendered_body(&self, text: &str, run: &mut Run) -> Result<String, Failed> {
        let place = Place::of_body(&self.content_type);
        let printed = run.text("body", place, text, Self::MAX_BODY_BYTES)?;
        if place != Place::Json {
            return Ok(printed);
        }
        let document = json::join(&printed).map_err(|message| Failed::at("body", message))?;
        if document.len() > Self::MAX_BODY_BYTES {
            let most = Self::MAX_BODY_BYTES;
            return Err(Failed::at("body", format!("expected at most {most} bytes of it")));
        }
        match serde_json::from_str::<serde::de::IgnoredAny>(&document) {
            Ok(_) => Ok(document),
            Err(error) => Err(Failed::at("body", format!("what it makes is not JSON: {error}"))),
        }
    }

    /// Takes its members out of an object.
    pub(super) fn take(object: &mut Object, problems: &mut Problems) -> Self {
        let made = Self::new("");
        Self {
            method: object.optional("method", problems).unwrap_or(made.method),
            path: object.optional("path", problems).unwrap_or_default(),
            query: object.optional("query", problems).unwrap_or_default(),
            headers: object.optional("headers", problems).unwrap_or_default(),
            content_type: object.optional("content_type", problems).unwrap_or(made.content_type),
            body: object.optional("body", problems),
        }
    }

    /// The header fields that it sets, in lower case.
    pub(super) fn header_names(&self) -> Vec<String> {
        self.headers.keys().map(|name| name.to_ascii_lowercase()).collect()
    }

    /// Reports what is wrong with it whatever the event: the sizes and names.
    pub(crate) fn check(&self, path: &str, problems: &mut Problems) {
        for (name, text) in self.texts() {
            let path = join(path, &name);
            let found = text.len();
            let most = Self::MAX_BYTES;
            if found > most {
                problems.add(&path, format!("expected at most {most} bytes, found {found}"));
            }
            let is_odd = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
            if text.contains(is_odd) {
                problems.add(path, "expected no control characters but tabs and line ends");
            }
        }
        for (name, found) in [("query", self.query.len()), ("headers", self.headers.len())] {
            let most = Self::MAX_FIELDS;
            if found > most {
                problems.add(join(path, name), format!("expected at most {most}, found {found}"));
            }
        }
        let is_media_type = self.content_type.contains('/') && self.content_type.len() <= 256;
        if !is_media_type || !is_field_text(self.content_type.as_bytes()) {
            let found = cut(&self.content_type);
            let path = join(path, "content_type");
            problems.add(path, format!("expected a media type, found {found:?}"));
        }
    }

    /// All that is rendered, by its path.
    fn texts(&self) -> impl Iterator<Item = (String, &str)> {
        let fields = [("query", &self.query), ("headers", &self.headers)];
        let fields = fields.into_iter().flat_map(|(member, fields)| {
            fields.iter().map(move |(name, text)| (join(member, name), text.as_str()))
        });
        [("method".to_owned(), self.method.as_str()), ("path".to_owned(), self.path.as_str())]
            .into_iter()
            .chain(fields)
            .chain(self.body.as_deref().map(|text| ("body".to_owned(), text)))
    }
}

/// What could not be made, and why.
#[derive(Debug)]
struct Failed {
    path: String,
    message: String,
    /// Whether it is the template's fault, whatever stands in the event.
    is_certain: bool,
}

impl Failed {
    fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), is_certain: false }
    }
}

/// One request that is being made.
struct Run {
    context: Value,
    fuel: u64,
}

impl Run {
    fn new(context: Value) -> Self {
        Self { context, fuel: Template::FUEL }
    }

    /// What a text makes for a place, of at most so many bytes.
    fn text(
        &mut self,
        path: impl Into<String>,
        place: Place,
        text: &str,
        most: usize,
    ) -> Result<String, Failed> {
        let path = path.into();
        if json::has_mark(text) {
            return Err(Failed::at(path, "expected no control characters"));
        }
        let certain = |message| Failed { path: path.clone(), message, is_certain: true };
        let text = &*harness::translated(text).map_err(certain)?;
        guard::check(text).map_err(certain)?;
        let mut out = Bounded { text: Vec::new(), most };
        match self.print(place, text, &mut out) {
            // Engine and template write whole texts only.
            Ok(()) => Ok(String::from_utf8_lossy(&out.text).into_owned()),
            Err(error) => Err(failed(path, &error, text, most)),
        }
    }

    fn print(&mut self, place: Place, text: &str, out: &mut Bounded) -> Result<(), Error> {
        let mut engine: Environment<'_> = ENGINE.clone();
        engine.set_fuel(Some(self.fuel));
        let template = engine.template_from_named_str(place.name(), text)?;
        let captured = template.render_captured_to(self.context.clone(), out)?;
        let left = captured.state().fuel_levels().map(|(_, left)| left);
        self.fuel = left.unwrap_or_default();
        Ok(())
    }
}

/// Takes so many bytes and no more.
struct Bounded {
    text: Vec<u8>,
    most: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The template engine, with nothing in it that reaches beyond one event.
static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::empty();
    filters::add(&mut engine);
    engine.set_formatter(escape::print);
    engine.set_auto_escape_callback(|name| match Place::of_name(name) {
        place if place.escapes() => AutoEscape::Custom(place.name().into()),
        _ => AutoEscape::None,
    });
    engine.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    engine.set_recursion_limit(Template::MAX_RECURSION);
    engine.set_debug(true);
    engine
});

/// What the engine says of a text, in words of ours.
fn failed(path: String, error: &Error, text: &str, most: usize) -> Failed {
    let kind = error.kind();
    let named = error.range().and_then(|range| text.get(range)).map(str::trim);
    let message = match (kind, error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it makes more work than a template may".to_owned(),
        (ErrorKind::WriteFailure, _) => format!("expected at most {most} bytes of it"),
        (ErrorKind::UndefinedError, None) => match named {
            Some(named) => format!("what {} gets is undefined", cut(named)),
            None => "something in it is undefined".to_owned(),
        },
        (_, Some(detail)) => cut_long(detail),
        (kind, None) => kind.to_string(),
    };
    let message = match error.line() {
        Some(line) => format!("line {line}: {message}"),
        None => message,
    };
    let is_certain = matches!(
        kind,
        ErrorKind::SyntaxError
            | ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UndefinedError
    );
    Failed { path, message, is_certain }
}

/// The beginning of a message that may have a value in it.
fn cut_long(text: &str) -> String {
    text.chars().take(300).collect()
}

/// What a header field holds.
fn rendered_field(name: &str, text: &str, run: &mut Run) -> Result<String, Failed> {
    let path = join("headers", name);
    let value = run.text(path.as_str(), Place::Line, text, Template::MAX_HEADER_BYTES)?;
    let value = value.trim_matches(['\r', '\n', ' ', '\t']);
    if is_field_text(value.as_bytes()) {
        return Ok(value.to_owned());
    }
    let message = "expected printable ASCII; the filter urlencode makes it of other characters";
    Err(Failed::at(path, message))
}

/// A segment of a path that stays one: neither empty nor a dot segment, and nothing in it that
/// begins something else (RFC 3986, section 3.3).
fn check_segment(segment: &str) -> Result<(), String> {
    let dots = segment.to_ascii_lowercase().replace("%2e", ".");
    if matches!(dots.as_str(), "" | "." | "..") {
        return Err(format!("expected segments other than {dots:?}"));
    }
    let is_sign = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b);
    let mut rest = segment.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let is_encoded = *first == b'%' && is_hex_pair(behind);
        if !is_encoded && !is_sign(*first) {
            let found = cut(segment);
            return Err(format!(
                "expected what a segment of a path may have in it, found {found:?}"
            ));
        }
        rest = behind;
    }
    Ok(())
}

fn is_hex_pair(bytes: &[u8]) -> bool {
    bytes.len() >= 2 && bytes[..2].iter().all(u8::is_ascii_hexdigit)
}

/// Appends the value of a parameter: what is encoded stays so, and all else that needs it becomes
/// so.
fn push_query(value: &str, target: &mut String) {
    for (at, c) in value.char_indices() {
        if c == '%' && is_hex_pair(&value.as_bytes()[at + 1..]) {
            target.push('%');
        } else {
            percent_encode(c.encode_utf8(&mut [0; 4]), target);
        }
    }
}

#[cfg(test)]
mod tests;
