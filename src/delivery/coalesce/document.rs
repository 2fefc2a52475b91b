//! How coalescing is written as JSON, and what it has to hold to.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Coalesce, Per, PlaceOf};
use crate::document::{Field, Object, Problems, or_mismatch, span};

impl Per {
    const NAMES: [(Self, &'static str); 2] =
        [(Self::Artifact, "artifact"), (Self::Trigger, "trigger")];

    fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(per, _)| *per == self).expect("each has a name").1
    }
}

impl Field for Per {
    const EXPECTED: &'static str = "artifact or trigger";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let known = Self::NAMES.iter().find(|(_, name)| value.as_str() == Some(name));
        or_mismatch(known.map(|(per, _)| *per), &value, Self::EXPECTED, path, problems)
    }
}

impl PlaceOf {
    const NAMES: [(Self, &'static str); 2] =
        [(Self::Registry, "registry"), (Self::Source, "source")];

    fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(of, _)| *of == self).expect("each has a name").1
    }
}

impl Field for PlaceOf {
    const EXPECTED: &'static str = "registry or source";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let known = Self::NAMES.iter().find(|(_, name)| value.as_str() == Some(name));
        or_mismatch(known.map(|(of, _)| *of), &value, Self::EXPECTED, path, problems)
    }
}

impl Coalesce {
    pub(in crate::delivery) fn to_value(&self) -> Value {
        match self {
            Self::Newest { per } => json!({"newest": {"per": per.as_str()}}),
            Self::Quiet { span, max_wait, per } => {
                let mut quiet = json!({"span": span::print(*span), "per": per.as_str()});
                if let Some(max_wait) = max_wait {
                    quiet["max_wait"] = json!(span::print(*max_wait));
                }
                json!({"quiet": quiet})
            }
            Self::AtMostEvery { span, per } => {
                json!({"at_most_every": {"span": span::print(*span), "per": per.as_str()}})
            }
            Self::IndexWithin { span } => json!({"index_within": {"span": span::print(*span)}}),
            Self::AllOf { names, by, within } => {
                let within = span::print(*within);
                json!({"all_of": {"names": names, "by": by.as_str(), "within": within}})
            }
        }
    }

    pub(in crate::delivery) fn check(&self, path: &str, problems: &mut Problems) {
        match self {
            Self::Newest { .. } => {}
            Self::Quiet { span, max_wait, .. } => {
                check_span(&format!("{path}.quiet.span"), *span, Self::MAX_SPAN, problems);
                if let Some(longest) = max_wait {
                    let path = format!("{path}.quiet.max_wait");
                    check_between(&path, *longest, (*span, Self::MAX_SPAN), problems);
                }
            }
            Self::AtMostEvery { span, .. } => {
                check_span(&format!("{path}.at_most_every.span"), *span, Self::MAX_SPAN, problems);
            }
            Self::IndexWithin { span } => {
                let path = format!("{path}.index_within.span");
                check_span(&path, *span, Self::MAX_INDEX_SPAN, problems);
            }
            Self::AllOf { names, within, .. } => {
                check_names(&format!("{path}.all_of.names"), names, problems);
                let path = format!("{path}.all_of.within");
                check_between(&path, *within, (Self::MIN_WITHIN, Self::MAX_WITHIN), problems);
            }
        }
    }
}

fn check_span(path: &str, found: Duration, most: Duration, problems: &mut Problems) {
    check_between(path, found, (Coalesce::MIN_SPAN, most), problems);
}

fn check_between(
    path: &str,
    found: Duration,
    (least, most): (Duration, Duration),
    problems: &mut Problems,
) {
    if found < least || found > most {
        let [least, most, found] = [least, most, found].map(span::print);
        problems.add(path, format!("expected {least} to {most}, found {found}"));
    }
}

fn check_names(path: &str, names: &[String], problems: &mut Problems) {
    let (most, found) = (Coalesce::MAX_NAMES, names.len());
    if !(2..=most).contains(&found) {
        problems.add(path, format!("expected 2 to {most} names, found {found}"));
    }
    let mut seen = BTreeSet::new();
    for (n, name) in names.iter().enumerate() {
        let path = format!("{path}[{n}]");
        if name.is_empty() || name.len() > MAX_NAME {
            let found = name.len();
            problems.add(path, format!("expected 1 to {MAX_NAME} bytes, found {found}"));
        } else if !seen.insert(name) {
            problems.add(path, format!("expected each name once, found {name:?} again"));
        }
    }
}

/// The most bytes that the name of a place may have.
const MAX_NAME: usize = 255;

impl Field for Coalesce {
    const EXPECTED: &'static str =
        "an object with newest, quiet, at_most_every, index_within or all_of";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let before = problems.len();
        let newest: Read = |object, problems| {
            let per = object.optional("per", problems).unwrap_or_default();
            Some(Self::Newest { per })
        };
        let kinds: [(&str, Read); 5] = [
            ("newest", newest),
            ("quiet", quiet),
            ("at_most_every", at_most_every),
            ("index_within", index_within),
            ("all_of", all_of),
        ];
        let found: Vec<(Object, Read)> = kinds
            .into_iter()
            .filter_map(|(name, read)| Some((object.optional::<Object>(name, problems)?, read)))
            .collect();
        object.finish(problems);
        match <[(Object, Read); 1]>::try_from(found) {
            Ok([(mut of_kind, read)]) => {
                let read = read(&mut of_kind, problems);
                of_kind.finish(problems);
                read
            }
            Err(found) => {
                if problems.len() == before || !found.is_empty() {
                    problems.add(path, format!("expected {}, exactly one", Self::EXPECTED));
                }
                None
            }
        }
    }
}

/// Reads what stands in the object of a kind.
type Read = fn(&mut Object, &mut Problems) -> Option<Coalesce>;

fn quiet(object: &mut Object, problems: &mut Problems) -> Option<Coalesce> {
    let span = object.required("span", problems);
    let max_wait = object.optional("max_wait", problems);
    let per = object.optional("per", problems).unwrap_or_default();
    Some(Coalesce::Quiet { span: span?, max_wait, per })
}

fn at_most_every(object: &mut Object, problems: &mut Problems) -> Option<Coalesce> {
    let span = object.required("span", problems);
    let per = object.optional("per", problems).unwrap_or_default();
    Some(Coalesce::AtMostEvery { span: span?, per })
}

fn index_within(object: &mut Object, problems: &mut Problems) -> Option<Coalesce> {
    object.required("span", problems).map(Coalesce::index_within)
}

fn all_of(object: &mut Object, problems: &mut Problems) -> Option<Coalesce> {
    let names = object.required("names", problems);
    let by = object.optional("by", problems).unwrap_or_default();
    let within = object.optional("within", problems).unwrap_or(Coalesce::WITHIN);
    Some(Coalesce::AllOf { names: names?, by, within })
}
