//! The crate `quamina`, another implementation of the language, as a second judge of what both
//! have: exact texts and numbers, `prefix`, `suffix`, `wildcard`, `equals-ignore-case`,
//! `anything-but` of texts, `exists: true`, members side by side, arrays of scalars and of objects.
//!
//! Left out since they differ by design: `exists: false` beside other conditions of an array, and
//! `anything-but` of numbers. In a list beside others, `exists`, `anything-but` and
//! `equals-ignore-case` are left out too: there `quamina` 0.7.0 confuses them with the others.

use artifact_triggers::trigger::filter::Filter;
use quamina::Quamina;
use serde_json::{Value, json};

use super::equivalence::Random;

const TEXTS: [&str; 5] = ["x", "xy", "X", "yx", "zz"];

fn condition(random: &mut Random) -> Value {
    let text = random.text(&TEXTS);
    match random.below(7) {
        0..3 => json!(text),
        3 => json!(random.below(3)),
        4 => json!({"prefix": text}),
        5 => json!({"suffix": text}),
        _ => json!({"wildcard": random.text(&["x*", "*y", "*x*", "x*y"])}),
    }
}

fn pattern(random: &mut Random) -> Value {
    let any = |random: &mut Random| -> Value {
        match random.below(8) {
            0 => return json!([{"anything-but": [random.text(&TEXTS), random.text(&TEXTS)]}]),
            1 => return json!([{"exists": true}]),
            2 => return json!([{"equals-ignore-case": random.text(&TEXTS)}]),
            _ => {}
        }
        (0..=random.below(2)).map(|_| condition(random)).collect()
    };
    match random.below(3) {
        0 => json!({"a": any(random)}),
        1 => json!({"a": any(random), "b": {"c": any(random)}}),
        _ => json!({"b": {"c": any(random), "d": any(random)}}),
    }
}

fn event(random: &mut Random) -> Value {
    let text = |random: &mut Random| json!(random.text(&TEXTS));
    let member = |random: &mut Random| match random.below(4) {
        0 => json!([text(random), text(random)]),
        _ => text(random),
    };
    let object = |random: &mut Random| json!({"c": text(random), "d": text(random)});
    let number = json!(random.below(3));
    let b = match random.below(3) {
        0 => json!([object(random), object(random)]),
        1 => json!({"c": number}),
        _ => object(random),
    };
    json!({"a": member(random), "b": b})
}

#[test]
fn quamina_judges_alike() {
    let random = &mut Random::new(0x0a1b_2c3d);
    let (mut cases, mut held) = (0, 0);
    for _ in 0..2_000 {
        let pattern = pattern(random);
        let filter = Filter::from_value(&pattern).unwrap();
        let mut quamina = Quamina::new();
        quamina.add_pattern((), &pattern.to_string()).unwrap();
        for _ in 0..5 {
            let event = event(random);
            let theirs = quamina.matches_for_event(event.to_string().as_bytes()).unwrap();
            let ours = filter.matches_value(&event);
            let numbers = pattern.to_string().contains("anything-but")
                && event.to_string().contains(|char: char| char.is_ascii_digit());
            if !numbers {
                assert_eq!(ours, !theirs.is_empty(), "{pattern}\n{event}");
                cases += 1;
                held += u32::from(ours);
            }
        }
    }
    println!("{cases} cases, of which {held} hold");
    assert!(cases > 8_000 && held > cases / 10, "{cases} {held}");
}
