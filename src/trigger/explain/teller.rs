//! Tells of what is wanted, the most telling first, as far as there is room.

use std::fmt::Write as _;

use super::part::{Part, Wanted, Weight};
use super::{Explanation, MAX_ELEMENTS, MAX_FOUND, MAX_FOUND_CHARS, MAX_STEPS, MAX_WORDS};
use crate::event::node::{Leaf, Node, Shape};
use crate::trigger::filter::meter::{Meter, Steps};
use crate::trigger::filter::{Clause, Condition, Pattern, Verdict, leaf_holds, sentence};
use crate::trigger::line::Line;

const ONE_ELEMENT: &str = "one and the same element satisfies all of it";
const ONE_ABSENCE: &str = "all elements satisfy it in one and the same way";

pub(super) struct Teller {
    /// How many parts more there is room for.
    room: usize,
    /// For judging what is to be shown.
    steps: Steps,
    /// For looking at what was found.
    looks: Steps,
}

/// The parts of something, the most telling first.
struct Ranked<'f, 'e> {
    parts: Vec<(Part<'f, 'e>, Weight)>,
    left_out: usize,
    /// What decided beside the parts.
    reason: Option<&'static str>,
}

impl Teller {
    pub(super) fn new(room: usize, steps: usize) -> Self {
        Self { room, steps: Steps::new(steps), looks: Steps::new(MAX_STEPS) }
    }

    /// Tells of a part of which it is known whether it held, if there is room for it.
    pub(super) fn begin(&mut self, part: &Part<'_, '_>, held: bool) -> Explanation {
        self.room = self.room.saturating_sub(1);
        let half = self.steps.left() / 2;
        let weight = part.weigh(Some(held), half, &mut self.steps);
        self.tell(part, weight.unwrap_or(Weight { held, nearness: 0 }))
    }

    fn tell(&mut self, part: &Part<'_, '_>, weight: Weight) -> Explanation {
        let explanation = Explanation::new(wants(part), weight);
        if let Wanted::Leaf { any, node } = part.wanted {
            let mut found = Found::default();
            if let Some(node) = node {
                found.look(node, any, weight.held, &mut self.looks);
            }
            let left_out = found.left_out;
            return Explanation { found: Some(found.shown), left_out, ..explanation };
        }
        let Ranked { parts: ranked, mut left_out, reason } = self.rank(part, weight.held);
        let mut parts = Vec::new();
        if let Some(reason) = reason.filter(|_| self.take()) {
            let nearness = if weight.held { 100 } else { 50 };
            parts.push(Explanation::new(reason.to_owned(), Weight { nearness, ..weight }));
        }
        let mut behind = ranked.len();
        for (part, weight) in ranked {
            behind -= 1;
            if self.take() {
                // What lies below the first leaves the others room to be named.
                let kept = behind.min(self.room / 2);
                self.room -= kept;
                parts.push(self.tell(&part, weight));
                self.room += kept;
            } else {
                left_out += 1;
            }
        }
        Explanation { left_out, ..explanation.with_parts(parts) }
    }

    /// Whether there was room for one part more.
    fn take(&mut self) -> bool {
        let room = self.room > 0;
        self.room = self.room.saturating_sub(1);
        room
    }

    fn rank<'f, 'e>(&mut self, whole: &Part<'f, 'e>, held: bool) -> Ranked<'f, 'e> {
        let known = whole.known_of_parts(held);
        if let Wanted::Elements { pattern, array, len } = whole.wanted {
            return self.rank_elements(whole, held, pattern, array, len);
        }
        let (mut parts, mut undecided) = self.weigh(whole.parts().map(|part| (part, known)));
        let entangled = matches!(whole.wanted, Wanted::All { pattern, .. } if pattern.entangled);
        let mut reason = None;
        if entangled {
            let apart = parts.iter().all(|(_, weight)| weight.held);
            let jointly = if held { !apart } else { apart && undecided.is_empty() };
            reason = jointly.then_some(ONE_ELEMENT);
        } else if undecided.len() == 1 && parts.iter().all(|(_, weight)| weight.held != held) {
            // It is the one that decided, since no other did.
            let nearness = if held { 100 } else { 0 };
            parts.extend(undecided.pop().map(|part| (part, Weight { held, nearness })));
        }
        sort(&mut parts, held);
        Ranked { parts, left_out: undecided.len(), reason }
    }

    /// Of an array the element that decided, if one did, and the nearest of the first ones.
    fn rank_elements<'f, 'e>(
        &mut self,
        whole: &Part<'f, 'e>,
        held: bool,
        pattern: &'f Pattern,
        array: Node<'e>,
        len: usize,
    ) -> Ranked<'f, 'e> {
        let known = whole.known_of_parts(held);
        let (mut decider, mut reason) = (None, None);
        if known.is_none() {
            let deciding = |verdict: Verdict| {
                if held { verdict == Verdict::Yes } else { verdict == Verdict::No }
            };
            let half = self.steps.left() / 2;
            let sought = self.steps.within(half, |steps| {
                (0..len).find(|at| {
                    deciding(pattern.judge_within(array.element(*at), steps)) || steps.ended()
                })
            });
            decider = sought.flatten();
            reason = (!held && sought == Some(None)).then_some(ONE_ABSENCE);
        }
        let is_decider = |part: &Part<'_, '_>| decider.is_some() && part.element == decider;
        let further = decider.map(|at| Part::element(pattern, array, at, &whole.path));
        let first = whole.parts().filter(|part| !is_decider(part));
        let (mut parts, _) = self.weigh(further.into_iter().chain(first).map(|part| {
            let known = if is_decider(&part) { Some(held) } else { known };
            (part, known)
        }));
        let behind = usize::from(decider.is_some()).min(parts.len());
        sort(&mut parts[behind..], held);
        parts.truncate(MAX_ELEMENTS);
        Ranked { left_out: len - parts.len(), parts, reason }
    }

    /// Weighs parts, each with its share of half of the steps that are left. Those that could not
    /// be judged come apart.
    fn weigh<'f, 'e>(
        &mut self,
        each: impl Iterator<Item = (Part<'f, 'e>, Option<bool>)>,
    ) -> (Vec<(Part<'f, 'e>, Weight)>, Vec<Part<'f, 'e>>) {
        let each: Vec<_> = each.collect();
        let (mut weighed, mut undecided) = (Vec::with_capacity(each.len()), Vec::new());
        let kept = self.steps.left() / 2;
        let mut behind = each.len();
        for (part, known) in each {
            // A verdict and a nearness take a share each.
            let share = self.steps.left().saturating_sub(kept) / (2 * behind);
            behind -= 1;
            match part.weigh(known, share, &mut self.steps) {
                Some(weight) => weighed.push((part, weight)),
                None => undecided.push(part),
            }
        }
        (weighed, undecided)
    }
}

/// First those that agree with the verdict of the whole, since they are why it is so, and of these
/// the nearest.
fn sort(parts: &mut [(Part<'_, '_>, Weight)], held: bool) {
    parts.sort_by_key(|(_, weight)| (weight.held != held, u8::MAX - weight.nearness));
}

/// What is wanted, in words.
fn wants(part: &Part<'_, '_>) -> String {
    let path = &part.path;
    Line::of(MAX_WORDS, |line| {
        if let Some(at) = part.element {
            write!(line, "element {at}: ")?;
        }
        match part.wanted {
            Wanted::Leaf { any, .. } => sentence::leaf(line, path, any, false),
            Wanted::All { pattern, .. } | Wanted::Elements { pattern, .. } => {
                match pattern.clauses.as_slice() {
                    [] => line.write_str("anything"),
                    [_] => sentence::pattern(line, pattern, path, false),
                    _ if path.is_root() => line.write_str("all of these"),
                    _ => write!(line, "all of these, of the same {path}"),
                }
            }
            Wanted::Group { clause, .. } => line.write_str(match clause {
                Clause::Or(_) => "any of these",
                Clause::Not(_) => "none of this",
                _ => "all of these, each on its own",
            }),
        }
    })
}

/// What was found where a leaf was looked for.
#[derive(Default)]
struct Found {
    shown: Vec<String>,
    left_out: usize,
    /// Whether a leaf that fits is among them.
    fits: bool,
}

impl Found {
    /// Looks at the leaves of a place: those of an array's elements, not those below an object. Of
    /// a list of conditions that `held`, a leaf that fits is always shown.
    fn look(&mut self, node: Node<'_>, any: &[Condition], held: bool, steps: &mut Steps) {
        match node.shape() {
            Shape::Object => self.show(false, || "an object, which is no leaf".to_owned()),
            Shape::Array(0) => self.show(false, || "an empty list, which has no leaf".to_owned()),
            Shape::Array(len) => {
                for element in (0..len).filter_map(|at| node.element(at)) {
                    if !steps.spend(1) {
                        return;
                    }
                    self.look(element, any, held, steps);
                }
            }
            Shape::Leaf(leaf) => {
                let fits = held && !self.fits && leaf_holds(any, leaf, steps);
                self.fits |= fits;
                self.show(fits, || show(leaf));
            }
        }
    }

    fn show(&mut self, fits: bool, text: impl FnOnce() -> String) {
        if self.shown.len() < MAX_FOUND {
            self.shown.push(text());
            return;
        }
        self.left_out += 1;
        if fits {
            self.shown[MAX_FOUND - 1] = text();
        }
    }
}

fn show(leaf: Leaf<'_>) -> String {
    let quoted = |text: &str| {
        // What is behind as many characters is not even looked at.
        let end = text.char_indices().nth(MAX_FOUND_CHARS).map_or(text.len(), |(end, _)| end);
        Line::of(MAX_FOUND_CHARS, |line| write!(line, "{:?}", &text[..end]))
    };
    leaf.with_text(quoted)
        .unwrap_or_else(|| Line::of(MAX_FOUND_CHARS, |line| write!(line, "{}", leaf.to_value())))
}
