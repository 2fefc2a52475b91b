//! The third reference: the crate `quamina`, with rules that its 0.7.0 survives: each wants one
//! kind or two, one registry, and an exact repository (70 %) or what repository (15 %) or tag
//! (15 %) begin with. The index is given the very same rules, and both the same events; `quamina`
//! reads them as JSON.

use std::hint::black_box;
use std::time::Duration;

use quamina::Quamina;
use serde_json::{Value, json};

use super::case::{Case, Pool};
use super::events::EVENTS;
use super::measure::{Table, median, per_event, time, times};
use super::rule::{KINDS, Rule};
use super::world::{Workload, World};

pub(crate) struct Rival {
    case: Case,
    quamina: Quamina<usize>,
    times: Vec<f64>,
}

impl Rival {
    pub(crate) fn new(triggers: usize) -> Self {
        let case = Case::new("plain", Workload::Plain, triggers, &mut Pool::default());
        let world = World::new(Workload::Plain, triggers);
        println!(
            "  plain rules, which quamina 0.7.0 survives: one or two kinds, a registry, and an exact \
             repository (70 %), or what repository (15 %) or tag (15 %) begin with"
        );
        let mut quamina = Quamina::new();
        for n in World::numbers(triggers) {
            let pattern = pattern(&world.rule(n)).to_string();
            quamina.add_pattern(n, &pattern).expect("it is a pattern");
        }
        // The first match makes what the later ones use.
        for (json, expected) in case.events.json.iter().zip(&case.events.expected) {
            let mut found = quamina.matches_for_event(json).expect("it is an event");
            found.sort_unstable();
            assert_eq!(&found, expected, "quamina agrees");
        }
        Self { case, quamina, times: Vec::new() }
    }

    /// One round of both. So few rules stay in the caches: each is measured once it is warm, after
    /// a pass that does not count.
    pub(crate) fn measure(&mut self) {
        self.case.warm();
        self.case.measure();
        let json = &self.case.events.json;
        for json in json.iter().take(EVENTS / 4) {
            black_box(self.quamina.matches_for_event(json).expect("it is an event"));
        }
        self.times.push(per_event(EVENTS, Duration::from_secs(1), |n| {
            black_box(self.quamina.matches_for_event(&json[n]).expect("it is an event"));
        }));
    }

    pub(crate) fn report(mut self, table: &mut Table) {
        self.case.print();
        let its = median(&mut self.times);
        let (found, found_json) = (self.case.find(), self.case.find_json());
        let what = format!("against `quamina` 0.7, {} plain rules, faster", self.case.triggers);
        let measured = format!("{} ({} / {})", times(its / found), time(its), time(found));
        table.row(&what, &measured, "≥ 80×");
        let what = format!("{what}, both from JSON");
        table.row(
            &what,
            &format!("{} ({} / {})", times(its / found_json), time(its), time(found_json)),
            "",
        );
    }
}

fn pattern(rule: &Rule) -> Value {
    let mut pattern = rule.pattern();
    let kinds: Vec<&str> = rule.kinds.iter().map(|&kind| KINDS[kind].0.as_str()).collect();
    pattern.insert("kind".to_owned(), json!(kinds));
    Value::Object(pattern)
}
