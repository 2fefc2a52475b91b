//! Reads an index, event by event.
//!
//! In: YAML. Out: the versions of one chart. Depth is bounded, and nothing is built of what is not
//! asked for. Aliases are not followed: where one stands for something that is read, it is a
//! problem.

use std::task::Poll;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use url::Url;

use super::super::{Ask, MAX_VERSIONS, Standing, Version};
use crate::clock::Timestamp;
use crate::document::{Problems, cut, join};
use crate::event::is_digest;

/// The deepest nesting.
const MAX_DEPTH: usize = 64;
/// The most addresses of a version that are looked at.
const MAX_URLS: usize = 64;

/// After how many events others on the same thread have their turn.
const MAX_AT_ONCE: usize = 4_096;

/// Nothing more can be read; why is among the problems.
struct Stop;

type Step<T> = Result<T, Stop>;

/// The versions of a chart; `None` if the index has no such chart.
pub(super) async fn read(
    text: &str,
    ask: &Ask<'_>,
    base: &Url,
) -> Result<Option<Vec<Version>>, Problems> {
    let parser = Parser::new_from_str(text.trim_start_matches('\u{feff}'));
    let mut reader = Reader { parser, ask, base, problems: Problems::default(), at_once: 0 };
    let found = reader.document().await;
    match found {
        Ok(found) if reader.problems.is_empty() => Ok(found),
        _ => Err(reader.problems),
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    ask: &'a Ask<'a>,
    base: &'a Url,
    problems: Problems,
    /// How many events were read since others had their turn.
    at_once: usize,
}

impl<'a> Reader<'a> {
    async fn next(&mut self) -> Step<Event<'a>> {
        self.at_once += 1;
        if self.at_once == MAX_AT_ONCE {
            self.at_once = 0;
            give_way().await;
        }
        match self.parser.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => {
                let at = error.marker();
                let place = format!("line {}, column {}", at.line(), at.col() + 1);
                self.refuse(&place, &format!("expected YAML: {}", error.info()))
            }
            None => self.refuse("", "expected YAML, and nothing behind its end"),
        }
    }

    fn refuse<T>(&mut self, path: &str, message: &str) -> Step<T> {
        self.problems.add(path, message);
        Err(Stop)
    }

    fn mismatch(&mut self, path: &str, expected: &str, found: &Event<'_>) {
        self.problems.add(path, format!("expected {expected}, found {}", describe(found)));
    }

    /// The whole document; there must be one.
    async fn document(&mut self) -> Step<Option<Vec<Version>>> {
        let mut found = None;
        let mut documents = 0;
        loop {
            match self.next().await? {
                Event::StreamEnd => break,
                Event::DocumentStart(_) => documents += 1,
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::MappingStart(..) if documents == 1 => found = self.root().await?,
                other => {
                    self.mismatch("", "one document, a mapping", &other);
                    return Err(Stop);
                }
            }
        }
        if documents == 1 { Ok(found) } else { self.refuse("", "expected one document") }
    }

    async fn root(&mut self) -> Step<Option<Vec<Version>>> {
        let mut found = None;
        let mut has_entries = false;
        while let Some(key) = self.key("").await? {
            let value = self.next().await?;
            match (key.as_str(), value) {
                ("apiVersion", value) => {
                    let version = self.text(value, "apiVersion").await?;
                    if let Some(version) = version.filter(|version| version != "v1") {
                        let message = format!("expected v1, found {:?}", cut(&version));
                        self.problems.add("apiVersion", message);
                    }
                }
                ("entries", Event::MappingStart(..)) => {
                    has_entries = true;
                    found = self.entries().await?;
                }
                // Of a repository without a chart.
                ("entries", value) if is_null(&value) => has_entries = true,
                ("entries", other) => {
                    self.mismatch("entries", "a mapping", &other);
                    return Err(Stop);
                }
                (_, value) => self.skip(&value, &key).await?,
            }
        }
        if !has_entries {
            self.problems.add("entries", "expected a mapping, found nothing");
        }
        Ok(found)
    }

    async fn entries(&mut self) -> Step<Option<Vec<Version>>> {
        let mut found = None;
        while let Some(key) = self.key("entries").await? {
            let path = join("entries", &key);
            match self.next().await? {
                value if key != self.ask.package => self.skip(&value, &path).await?,
                Event::SequenceStart(..) => found = Some(self.versions(&path).await?),
                other => {
                    self.mismatch(&path, "a sequence", &other);
                    return Err(Stop);
                }
            }
        }
        Ok(found)
    }

    async fn versions(&mut self, path: &str) -> Step<Vec<Version>> {
        let mut versions = Vec::new();
        for n in 0.. {
            let path = format!("{path}[{n}]");
            match self.next().await? {
                Event::SequenceEnd => break,
                Event::MappingStart(..) => {
                    let version = self.version(&path).await?;
                    versions.extend(version.filter(|version| self.ask.admits(&version.name)));
                }
                other => {
                    self.mismatch(&path, "a mapping", &other);
                    return Err(Stop);
                }
            }
            // One more is enough to say that there are too many.
            versions.truncate(MAX_VERSIONS + 1);
        }
        Ok(versions)
    }

    async fn version(&mut self, path: &str) -> Step<Option<Version>> {
        let mut version = Version::new("");
        let mut name = None;
        while let Some(key) = self.key(path).await? {
            let at = join(path, &key);
            let value = self.next().await?;
            match key.as_str() {
                "version" => name = self.text(value, &at).await?,
                "digest" => version.digest = self.digest(value, &at).await?,
                "created" => {
                    let text = self.text(value, &at).await?;
                    version.published_at = text.and_then(|text| text.parse::<Timestamp>().ok());
                }
                "deprecated" => {
                    if self.boolean(value, &at).await? {
                        version.standing = Standing::Deprecated;
                    }
                }
                "urls" => version.url = self.first_url(&value, &at).await?,
                _ => self.skip(&value, &at).await?,
            }
        }
        if name.is_none() {
            self.problems.add(join(path, "version"), "expected a text, found nothing");
        }
        Ok(name.map(|name| Version { name, ..version }))
    }

    /// The next key of a mapping; `None` at its end.
    async fn key(&mut self, path: &str) -> Step<Option<String>> {
        match self.next().await? {
            Event::MappingEnd => Ok(None),
            Event::Scalar(text, ..) => Ok(Some(text.into_owned())),
            other => {
                self.mismatch(path, "texts as keys", &other);
                Err(Stop)
            }
        }
    }

    /// A text; `None` for null, and with a problem for anything else.
    async fn text(&mut self, value: Event<'_>, path: &str) -> Step<Option<String>> {
        match value {
            value if is_null(&value) => Ok(None),
            Event::Scalar(text, ..) => Ok(Some(text.into_owned())),
            other => {
                self.mismatch(path, "a text", &other);
                self.skip(&other, path).await?;
                Ok(None)
            }
        }
    }

    async fn digest(&mut self, value: Event<'_>, path: &str) -> Step<Option<String>> {
        let Some(text) = self.text(value, path).await? else { return Ok(None) };
        let is_bare = text.len() == 64 && !text.contains(':');
        let digest = if is_bare { format!("sha256:{text}") } else { text };
        if digest.is_empty() {
            return Ok(None);
        }
        if !is_digest(&digest) {
            let message = format!("expected a SHA-256 as hex digits, found {:?}", cut(&digest));
            self.problems.add(path, message);
        }
        Ok(Some(digest))
    }

    async fn boolean(&mut self, value: Event<'_>, path: &str) -> Step<bool> {
        let text = self.text(value, path).await?;
        match text.as_deref() {
            None | Some("false" | "False" | "FALSE") => Ok(false),
            Some("true" | "True" | "TRUE") => Ok(true),
            Some(other) => {
                let message = format!("expected true or false, found {:?}", cut(other));
                self.problems.add(path, message);
                Ok(false)
            }
        }
    }

    /// The first of several addresses, relative to the repository's.
    async fn first_url(&mut self, value: &Event<'_>, path: &str) -> Step<Option<String>> {
        if is_null(value) {
            return Ok(None);
        }
        if !matches!(value, Event::SequenceStart(..)) {
            self.mismatch(path, "a sequence", value);
            self.skip(value, path).await?;
            return Ok(None);
        }
        let mut first = None;
        for n in 0..=MAX_URLS {
            let value = self.next().await?;
            if value == Event::SequenceEnd {
                return Ok(first);
            }
            let text = self.text(value, &format!("{path}[{n}]")).await?;
            first = first.or_else(|| Some(self.base.join(&text?).ok()?.to_string()));
        }
        self.refuse(path, &format!("expected at most {MAX_URLS} addresses"))
    }

    /// Reads over a value that has begun.
    async fn skip(&mut self, value: &Event<'_>, path: &str) -> Step<()> {
        let mut depth = usize::from(begins(value));
        while depth > 0 {
            if depth > MAX_DEPTH {
                return self.refuse(path, &format!("expected at most {MAX_DEPTH} levels"));
            }
            match self.next().await? {
                Event::SequenceEnd | Event::MappingEnd => depth -= 1,
                event => depth += usize::from(begins(&event)),
            }
        }
        Ok(())
    }
}

/// Lets others on the same thread have their turn, on any executor.
async fn give_way() {
    let mut has_waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn begins(event: &Event<'_>) -> bool {
    matches!(event, Event::SequenceStart(..) | Event::MappingStart(..))
}

fn is_null(event: &Event<'_>) -> bool {
    let Event::Scalar(text, ScalarStyle::Plain, ..) = event else { return false };
    ["", "~", "null", "Null", "NULL"].contains(&text.as_ref())
}

fn describe(event: &Event<'_>) -> String {
    match event {
        Event::Scalar(text, ..) => format!("{:?}", cut(text)),
        Event::SequenceStart(..) => "a sequence".to_owned(),
        Event::MappingStart(..) => "a mapping".to_owned(),
        Event::Alias(_) => "an alias, which is not followed".to_owned(),
        _ => "nothing".to_owned(),
    }
}
