//! A first look at an event, for the most usual filters all there is to it.
//!
//! In: a pattern. Out: what it says of the event's [slots](super::slot), in one run of bytes, so that
//! judging an event by it reads one place in memory and follows no pointers. What cannot be said so
//! is left out, and then the screen says no or perhaps.

use std::fmt;
use std::sync::Arc;

use super::slot::{SLOTS, Slot, Slots, is_object_of_slots, is_tags};
use super::{Clause, Condition, Literal, Pattern, Text};

/// What a filter says of an event's slots.
///
/// A byte that tells whether that is all the filter says, then tests: the slot, the number of
/// alternatives, and each alternative as an operator with its texts. A text is its length in two
/// bytes and its bytes.
#[derive(Clone, PartialEq)]
pub(crate) struct Screen(Arc<[u8]>);

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

impl Screen {
    /// What a pattern says of the slots.
    pub(super) fn of(pattern: &Pattern) -> Self {
        let mut writer = Writer { bytes: vec![1] };
        writer.pattern(pattern, &mut Vec::new());
        Self(writer.bytes.into())
    }

    /// Reads what judging will read.
    pub(crate) fn touch(&self) -> usize {
        Arc::strong_count(&self.0) + self.0.last().map_or(0, |last| usize::from(*last))
    }

    /// Judges an event.
    pub(crate) fn judge(&self, event: &Slots<'_>) -> Screened {
        let (complete, mut tests) = self.0.split_first().expect("a screen begins with a byte");
        while let [place, alternatives, rest @ ..] = tests {
            let mut reader = Reader { rest };
            if !reader.test(*place, *alternatives, event) {
                return Screened::No;
            }
            tests = reader.rest;
        }
        if *complete == 1 { Screened::Yes } else { Screened::Perhaps }
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Screen({} bytes)", self.0.len())
    }
}

/// How much of a condition was written.
#[derive(PartialEq)]
enum Extent {
    Whole,
    Part,
}

struct Writer {
    bytes: Vec<u8>,
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
        if let (Some(place), Ok(alternatives)) = (place, u8::try_from(any.len())) {
            self.bytes.extend([place, alternatives]);
            let written: Option<Vec<Extent>> = any.iter().map(|c| self.condition(c)).collect();
            match written {
                Some(extents) if extents.iter().all(|e| *e == Extent::Whole) => return,
                Some(_) => return self.leave_out(),
                None => {}
            }
        }
        self.bytes.truncate(start);
        self.leave_out();
    }

    /// Writes a condition, or what must be so for it to hold; `None` if it cannot be written.
    fn condition(&mut self, condition: &Condition) -> Option<Extent> {
        let mut extent = Extent::Whole;
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
                self.texts(AROUND, [&**first, &**last])?;
                if literals.len() > 2 {
                    extent = Extent::Part;
                }
            }
            Condition::Glob(pattern) if pattern.longest_inner().len() > pattern.head().len() => {
                self.texts(CONTAINS, [&*pattern.longest_inner()])?;
                extent = Extent::Part;
            }
            Condition::Glob(pattern) => {
                let around = pattern.is_around();
                let operator = if around == Some(true) { AROUND_SEGMENT } else { AROUND };
                self.texts(operator, [pattern.head(), pattern.tail()])?;
                if around.is_none() {
                    extent = Extent::Part;
                }
            }
            Condition::Regex(regex) => {
                self.texts(CONTAINS, [regex.required()])?;
                extent = Extent::Part;
            }
            Condition::AnythingBut(none) => {
                self.bytes.extend([NONE_OF, u8::try_from(none.len()).ok()?]);
                for condition in none {
                    let Condition::Equals(Literal::Text(text)) = condition else { return None };
                    self.text(text)?;
                }
            }
            _ => {
                self.bytes.push(EXISTS);
                extent = Extent::Part;
            }
        }
        Some(extent)
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

/// What is left of a screen to read.
#[derive(Clone, Copy)]
struct Reader<'s> {
    rest: &'s [u8],
}

impl<'s> Reader<'s> {
    fn byte(&mut self) -> u8 {
        let (byte, rest) = self.rest.split_first().expect("a screen is read as it was written");
        self.rest = rest;
        *byte
    }

    fn text(&mut self) -> &'s [u8] {
        let len = u16::from_le_bytes([self.byte(), self.byte()]);
        let (text, rest) = self.rest.split_at(usize::from(len));
        self.rest = rest;
        text
    }

    /// Reads a test, and tells whether any of its alternatives holds for any of the texts.
    fn test(&mut self, place: u8, alternatives: u8, event: &Slots<'_>) -> bool {
        let start = *self;
        let mut held = false;
        if place == TAGS {
            let mut any = false;
            event.each_tag(|tag| {
                any = true;
                *self = start;
                held |= self.alternatives(alternatives, Some(tag));
            });
            if !any {
                held = self.alternatives(alternatives, None);
            }
        } else {
            held = self.alternatives(alternatives, event.get(Slot(place)));
        }
        held
    }

    fn alternatives(&mut self, count: u8, found: Option<&str>) -> bool {
        let mut held = false;
        for _ in 0..count {
            // Each is read, so that what follows it is found.
            held |= self.alternative(found);
        }
        held
    }

    fn alternative(&mut self, found: Option<&str>) -> bool {
        let operator = self.byte();
        let is = |test: &dyn Fn(&[u8]) -> bool| found.is_some_and(|found| test(found.as_bytes()));
        match operator {
            ABSENT => found.is_none(),
            EXISTS => found.is_some(),
            NONE_OF => {
                let count = self.byte();
                let equal = (0..count).filter(|_| {
                    let text = self.text();
                    is(&|found| found == text)
                });
                equal.count() == 0 && found.is_some()
            }
            AROUND | AROUND_SEGMENT => {
                let (head, tail) = (self.text(), self.text());
                is(&|found| {
                    let middle = found.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
                    middle.is_some_and(|middle| operator == AROUND || !middle.contains(&b'/'))
                })
            }
            _ => {
                let text = self.text();
                match operator {
                    EQUAL => is(&|found| found == text),
                    PREFIX => is(&|found| found.starts_with(text)),
                    SUFFIX => is(&|found| found.ends_with(text)),
                    _ => found.is_some_and(|found| contains(found, text)),
                }
            }
        }
    }
}

fn contains(found: &str, text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| found.contains(text))
}
