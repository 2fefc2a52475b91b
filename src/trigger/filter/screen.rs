//! A first look at an event, for the most usual filters all there is to it.
//!
//! In: a pattern. Out: what it says of the event's [slots](super::slot), in one run of bytes, so
//! that judging an event by it reads one place in memory; conditions that are no bytes lie beside
//! it. What it says of other places is left out, and then the screen says no or perhaps.

use std::fmt;
use std::sync::Arc;

use super::slot::{SLOTS, Slot, Slots, is_object_of_slots, is_tags};
use super::{Clause, Condition, Literal, Pattern, Text};
use crate::event::node::Leaf;

/// What a filter says of an event's slots.
///
/// Its bytes: one that tells whether that is all the filter says, then tests: the slot, the length
/// of what follows in two bytes, and the alternatives, each as an operator with its texts. A text
/// is its length in two bytes and its bytes.
#[derive(Clone)]
pub(crate) struct Screen {
    bytes: Bytes,
    /// Conditions that cannot be written as bytes, copied from the pattern so that they lie
    /// together.
    asked: Option<Arc<[Condition]>>,
}

/// Lies within the trigger if it is as short as most are.
#[derive(Clone)]
enum Bytes {
    Short(u8, [u8; SHORT]),
    Long(Arc<[u8]>),
}

const SHORT: usize = 94;

/// What a screen says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screened {
    No,
    Yes,
    /// The pattern itself must be asked.
    Perhaps,
}

/// The place of the tags, behind those of the slots.
#[expect(clippy::cast_possible_truncation, reason = "there are few slots")]
const TAGS: u8 = SLOTS as u8;

const ABSENT: u8 = 0;
/// This and the next three are followed by one text.
const EQUAL: u8 = 1;
const PREFIX: u8 = 2;
const SUFFIX: u8 = 3;
const CONTAINS: u8 = 4;
/// Begins and ends so, and what is between is anything.
const AROUND: u8 = 5;
/// The same, and what is between has no `/`.
const AROUND_SEGMENT: u8 = 6;
/// Is there and equal to none: the number of texts, and the texts.
const NONE_OF: u8 = 7;
const EXISTS: u8 = 8;
/// The number of one of the conditions that are asked, and an alternative that must hold besides.
const ASKED: u8 = 9;

/// The most values of a condition that is copied.
const MAX_ASKED: usize = 8;

impl Screen {
    /// What a pattern says of the slots.
    pub(super) fn of(pattern: &Pattern) -> Self {
        let mut writer = Writer { bytes: vec![1], asked: Vec::new() };
        writer.pattern(pattern, &mut Vec::new());
        let Writer { bytes, asked } = writer;
        let asked = (!asked.is_empty()).then(|| asked.into());
        let mut short = [0; SHORT];
        let bytes = match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(beginning), Ok(len)) => {
                beginning.copy_from_slice(&bytes);
                Bytes::Short(len, short)
            }
            _ => Bytes::Long(bytes.into()),
        };
        Self { bytes, asked }
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Short(len, bytes) => &bytes[..usize::from(*len)],
            Bytes::Long(bytes) => bytes,
        }
    }

    /// Reads what judging will read.
    pub(crate) fn touch(&self) {
        if let Bytes::Short(_, bytes) = &self.bytes {
            std::hint::black_box((bytes[0], bytes[SHORT / 2]));
        }
    }

    /// Judges an event.
    #[inline]
    pub(crate) fn judge(&self, event: &Slots<'_>) -> Screened {
        let (complete, tests) = self.bytes().split_first().expect("a screen begins with a byte");
        let mut reader = Reader { rest: tests, asked: self.asked.as_deref().unwrap_or_default() };
        while !reader.rest.is_empty() {
            let (place, rest) = (reader.byte(), reader.text());
            if !holds(place, Reader { rest, ..reader }, event) {
                return Screened::No;
            }
        }
        if *complete == 1 { Screened::Yes } else { Screened::Perhaps }
    }
}

impl PartialEq for Screen {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes() && self.asked == other.asked
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.asked.as_ref().map_or(0, |asked| asked.len());
        write!(f, "Screen({} bytes, {asked} asked)", self.bytes().len())
    }
}

struct Writer {
    bytes: Vec<u8>,
    asked: Vec<Condition>,
}

impl Writer {
    fn pattern<'p>(&mut self, pattern: &'p Pattern, path: &mut Vec<&'p str>) {
        for clause in &pattern.clauses {
            match clause {
                Clause::Leaf { name, any } => {
                    path.push(name);
                    self.leaf(path, any);
                    path.pop();
                }
                Clause::Nested { name, pattern } => {
                    path.push(name);
                    if is_object_of_slots(path) {
                        self.pattern(pattern, path);
                    } else {
                        self.leave_out();
                    }
                    path.pop();
                }
                Clause::And(patterns) if path.is_empty() => {
                    for pattern in patterns {
                        self.pattern(pattern, path);
                    }
                }
                Clause::Or(_) | Clause::And(_) | Clause::Not(_) => self.leave_out(),
            }
        }
    }

    fn leave_out(&mut self) {
        self.bytes[0] = 0;
    }

    fn leaf(&mut self, path: &[&str], any: &[Condition]) {
        let place = if is_tags(path) { Some(TAGS) } else { Slot::of_path(path).map(|slot| slot.0) };
        let start = self.bytes.len();
        if let Some(place) = place {
            self.bytes.extend([place, 0, 0]);
            let alternatives = self.bytes.len();
            let written = any.iter().try_for_each(|condition| self.condition(condition));
            let len = u16::try_from(self.bytes.len() - alternatives);
            if let (Some(()), Ok(len)) = (written, len) {
                self.bytes[alternatives - 2..alternatives].copy_from_slice(&len.to_le_bytes());
                return;
            }
        }
        self.bytes.truncate(start);
        self.leave_out();
    }

    /// Writes a condition; `None` if it cannot be written.
    fn condition(&mut self, condition: &Condition) -> Option<()> {
        match condition {
            Condition::Exists(false) => self.bytes.push(ABSENT),
            Condition::Exists(true) => self.bytes.push(EXISTS),
            Condition::Equals(Literal::Text(text)) => self.texts(EQUAL, [&**text])?,
            Condition::Prefix(Text::Exact(text)) => self.texts(PREFIX, [&**text])?,
            Condition::Suffix(Text::Exact(text)) => self.texts(SUFFIX, [&**text])?,
            Condition::Contains(text) => self.texts(CONTAINS, [&**text])?,
            Condition::Wildcard(pattern) => {
                let literals = pattern.literals();
                let (first, last) = (literals.first()?, literals.last()?);
                if literals.len() > 2 {
                    self.ask(condition)?;
                }
                self.texts(AROUND, [&**first, &**last])?;
            }
            Condition::Glob(pattern) if pattern.longest_inner().len() > pattern.head().len() => {
                self.ask(condition)?;
                self.texts(CONTAINS, [&*pattern.longest_inner()])?;
            }
            Condition::Glob(pattern) => {
                let around = pattern.is_around();
                if around.is_none() {
                    self.ask(condition)?;
                }
                let operator = if around == Some(true) { AROUND_SEGMENT } else { AROUND };
                self.texts(operator, [pattern.head(), pattern.tail()])?;
            }
            Condition::Regex(regex) => {
                self.ask(condition)?;
                self.texts(CONTAINS, [regex.required()])?;
            }
            Condition::AnythingBut(none) if none.iter().all(is_text) => {
                self.bytes.extend([NONE_OF, u8::try_from(none.len()).ok()?]);
                for condition in none {
                    let Condition::Equals(Literal::Text(text)) = condition else { return None };
                    self.text(text)?;
                }
            }
            _ => {
                self.ask(condition)?;
                self.bytes.push(EXISTS);
            }
        }
        Some(())
    }

    /// Writes that a condition is asked itself, if what follows holds.
    fn ask(&mut self, condition: &Condition) -> Option<()> {
        if condition.comparisons() > MAX_ASKED {
            return None;
        }
        self.bytes.extend([ASKED, u8::try_from(self.asked.len()).ok()?]);
        self.asked.push(condition.clone());
        Some(())
    }

    fn texts<const N: usize>(&mut self, operator: u8, texts: [&str; N]) -> Option<()> {
        self.bytes.push(operator);
        texts.into_iter().try_for_each(|text| self.text(text))
    }

    fn text(&mut self, text: &str) -> Option<()> {
        self.bytes.extend(u16::try_from(text.len()).ok()?.to_le_bytes());
        self.bytes.extend(text.as_bytes());
        Some(())
    }
}

fn is_text(condition: &Condition) -> bool {
    matches!(condition, Condition::Equals(Literal::Text(_)))
}

/// Whether any of the alternatives holds for any of the texts in a place.
#[inline]
fn holds(place: u8, alternatives: Reader<'_>, event: &Slots<'_>) -> bool {
    if place != TAGS {
        return holds_for(alternatives, event.get(Slot(place)));
    }
    let (mut any, mut held) = (false, false);
    event.each_tag(|tag| {
        any = true;
        held = held || holds_for(alternatives, Some(tag));
    });
    if any { held } else { holds_for(alternatives, None) }
}

#[inline]
fn holds_for(mut alternatives: Reader<'_>, found: Option<&str>) -> bool {
    if let Some((operator, text)) = alternatives.only_text() {
        return found.is_some_and(|found| text_holds(operator, text, found));
    }
    while !alternatives.rest.is_empty() {
        if alternatives.alternative(found) {
            return true;
        }
    }
    false
}

/// What is left of a screen to read.
#[derive(Clone, Copy)]
struct Reader<'s> {
    rest: &'s [u8],
    asked: &'s [Condition],
}

impl<'s> Reader<'s> {
    fn byte(&mut self) -> u8 {
        let (byte, rest) = self.rest.split_first().expect("a screen is read as it was written");
        self.rest = rest;
        *byte
    }

    fn text(&mut self) -> &'s [u8] {
        let read = self.rest.split_first_chunk::<2>();
        let (len, rest) = read.expect("a screen is read as it was written");
        let (text, rest) = rest.split_at(usize::from(u16::from_le_bytes(*len)));
        self.rest = rest;
        text
    }

    /// The operator and its text where there is one alternative of one text, as there mostly is.
    #[inline]
    fn only_text(&self) -> Option<(u8, &'s [u8])> {
        match self.rest {
            [operator @ EQUAL..=CONTAINS, low, high, text @ ..]
                if text.len() == usize::from(u16::from_le_bytes([*low, *high])) =>
            {
                Some((*operator, text))
            }
            _ => None,
        }
    }

    /// Reads an alternative, and tells whether it holds.
    fn alternative(&mut self, found: Option<&str>) -> bool {
        let operator = self.byte();
        match operator {
            ABSENT => found.is_none(),
            EXISTS => found.is_some(),
            ASKED => {
                let condition = &self.asked[usize::from(self.byte())];
                let may_hold = self.alternative(found);
                may_hold && found.is_some_and(|found| condition.holds(Leaf::Text(found)))
            }
            NONE_OF => {
                let mut equal = false;
                for _ in 0..self.byte() {
                    let text = self.text();
                    equal |= found.is_some_and(|found| found.as_bytes() == text);
                }
                !equal && found.is_some()
            }
            AROUND | AROUND_SEGMENT => {
                let (head, tail) = (self.text(), self.text());
                let middle = found.and_then(|found| {
                    found.as_bytes().strip_prefix(head).and_then(|rest| rest.strip_suffix(tail))
                });
                middle.is_some_and(|middle| operator == AROUND || !middle.contains(&b'/'))
            }
            _ => {
                let text = self.text();
                found.is_some_and(|found| text_holds(operator, text, found))
            }
        }
    }
}

/// Whether a text is, begins, ends or contains another.
#[inline]
fn text_holds(operator: u8, text: &[u8], found: &str) -> bool {
    match operator {
        EQUAL => found.as_bytes() == text,
        PREFIX => found.as_bytes().starts_with(text),
        SUFFIX => found.as_bytes().ends_with(text),
        _ => contains(found, text),
    }
}

fn contains(found: &str, text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| found.contains(text))
}
