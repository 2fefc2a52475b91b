//! Regular expressions: checked when they are made, compiled when they are first asked, and shared
//! by all filters that have the same text.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak};

use regex::RegexBuilder;
use regex_syntax::hir::{Hir, HirKind};

mod fold;

pub(super) use fold::folded_classes;

/// A regular expression of the crate `regex`: linear time, found anywhere unless anchored.
#[derive(Clone)]
pub(crate) struct Regex(Arc<Shared>);

struct Shared {
    text: Box<str>,
    /// The longest text that is in every text that fits; empty if there is none.
    required: Box<str>,
    /// It takes at most so many bytes when it is compiled.
    limit: usize,
    /// Compiled, it takes some ten KiB: too much for those that no event comes to.
    compiled: OnceLock<Option<regex::Regex>>,
}

/// What is known by its text, as long as somebody uses it.
static KNOWN: LazyLock<Mutex<HashMap<Box<str>, Weak<Shared>>>> = LazyLock::new(Mutex::default);
/// The most that an expression remembers of the texts it was asked for, in bytes.
const MAX_CACHE: usize = 64 * 1024;
/// How many are known before the first look for those that nobody uses any more.
const SWEEP_FROM: usize = 64;

impl Regex {
    /// Parses an expression that takes at most so many bytes when it is compiled.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str, limit: usize) -> Result<Self, String> {
        let shared = || {
            let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(text).and_then(Weak::upgrade)
        };
        if let Some(shared) = shared().filter(|shared| shared.limit <= limit) {
            return Ok(Self(shared));
        }
        drop(compile(text, limit)?);
        if let Some(shared) = shared() {
            return Ok(Self(shared));
        }
        let required = regex_syntax::parse(text).map(|hir| longest_literal(&hir));
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        // A map that is about to grow is rid of the dead first: it stays in step with the living.
        if known.len() >= SWEEP_FROM && known.len() == known.capacity() {
            known.retain(|_, shared| shared.strong_count() > 0);
        }
        let shared = Arc::new(Shared {
            text: text.into(),
            required: required.unwrap_or_default().into(),
            limit,
            compiled: OnceLock::new(),
        });
        known.insert(text.into(), Arc::downgrade(&shared));
        Ok(Self(shared))
    }

    /// The expression as it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether it is found in a text.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        if !text.contains(&*self.0.required) {
            return false;
        }
        let compiled = self.0.compiled.get_or_init(|| compile(&self.0.text, usize::MAX).ok());
        compiled.as_ref().is_some_and(|regex| regex.is_match(text))
    }

    /// The longest text that is in every text that fits; empty if there is none.
    pub(crate) fn required(&self) -> &str {
        &self.0.required
    }
}

fn compile(text: &str, limit: usize) -> Result<regex::Regex, String> {
    let regex = RegexBuilder::new(text).size_limit(limit).dfa_size_limit(MAX_CACHE).build();
    regex.map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("expected a regular expression of at most {limit} bytes when compiled")
        }
        error => {
            let message = error.to_string();
            let reason = message.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            format!("is not a regular expression: {reason}")
        }
    })
}

fn longest_literal(hir: &Hir) -> String {
    match hir.kind() {
        HirKind::Literal(literal) => {
            std::str::from_utf8(&literal.0).map(str::to_owned).unwrap_or_default()
        }
        HirKind::Capture(capture) => longest_literal(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => longest_literal(&repetition.sub),
        HirKind::Concat(parts) => {
            parts.iter().map(longest_literal).max_by_key(String::len).unwrap_or_default()
        }
        _ => String::new(),
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 64 * 1024;

    #[test]
    fn filters_of_the_same_expression_share_it() {
        let one = Regex::parse("^shared$", LIMIT).unwrap();
        let other = Regex::parse("^shared$", LIMIT).unwrap();
        assert!(Arc::ptr_eq(&one.0, &other.0));
        assert!(one.is_match("shared") && other.0.compiled.get().is_some());
    }

    #[test]
    fn what_nobody_uses_any_more_is_forgotten() {
        let names = (0..10_000).map(|n| format!("^forgotten-{n}$"));
        names.for_each(|name| drop(Regex::parse(&name, LIMIT).unwrap()));
        let known = KNOWN.lock().unwrap();
        assert!(known.len() < 1_000, "{}", known.len());
    }

    #[test]
    fn the_longest_text_that_must_be_there_is_found() {
        for (expression, required) in [
            ("^v[0-9]+-release$", "-release"),
            ("(abc)+x?", "abc"),
            ("abc|abd", ""),
            ("(?i)abc", ""),
            ("a{0,3}", ""),
            ("[0-9]+", ""),
        ] {
            let regex = Regex::parse(expression, LIMIT).unwrap();
            assert_eq!(regex.required(), required, "{expression}");
        }
    }

    #[test]
    fn what_is_none_or_too_large_is_refused() {
        assert!(Regex::parse("a(", LIMIT).unwrap_err().contains("unclosed group"));
        assert!(Regex::parse("(a{100}){100}", LIMIT).unwrap_err().contains("at most 65536 bytes"));
    }
}
