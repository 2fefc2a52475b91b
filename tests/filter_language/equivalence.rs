//! Filter and naive evaluator agree; the normal form means and prints the same however it is
//! written.

use artifact_triggers::trigger::filter::Filter;
use serde_json::{Map, Value, json};

use super::naive;

/// A small generator of numbers: the same ones for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % limit as u64).unwrap()
    }

    fn pick(&mut self, from: &[Value]) -> Value {
        from[self.below(from.len())].clone()
    }

    pub(crate) fn text(&mut self, from: &[&'static str]) -> &'static str {
        from[self.below(from.len())]
    }

    fn name(&mut self) -> &'static str {
        self.text(&["a", "b", "c"])
    }
}

fn condition(random: &mut Random) -> Value {
    let texts = [json!("x"), json!("xy"), json!("X"), json!("1"), json!("x/y"), json!("")];
    let text = random.pick(&texts);
    let some = random.pick(&texts[..5]);
    let number = json!(random.below(3));
    match random.below(24) {
        0..5 => text,
        5..7 => number,
        7 => random.pick(&[json!(1.0), json!(null), json!(true), json!(9_007_199_254_740_993_u64)]),
        8 => json!({"prefix": text}),
        9 => json!({"suffix": {"equals-ignore-case": text}}),
        10 => json!({"equals-ignore-case": text}),
        11 => json!({"anything-but": [text, some]}),
        12 => json!({"anything-but": number}),
        13 => json!({"anything-but": {"suffix": [some]}}),
        14 => json!({"anything-but": {"wildcard": "*x"}}),
        15 => json!({"numeric": [">", 0, "<=", number.as_u64().unwrap() + 1]}),
        16 | 17 => json!({"exists": false}),
        18 => json!({"exists": true}),
        19 => json!({"wildcard": random.text(&["*x", "x*y", "*x*", "*", r"\*x"])}),
        20 => json!({"glob": random.text(&["*", "**", "x*", "?", "*/?"])}),
        21 => json!({"regex": random.text(&["^x", "(?i)x$", "[0-9]"])}),
        22 => json!({"contains": some}),
        _ => json!({"exactly": text}),
    }
}

fn pattern(random: &mut Random, depth: usize) -> Value {
    let mut members = Map::new();
    for _ in 0..=random.below(2) {
        let name = random.name();
        let value = if depth > 0 && random.below(2) == 0 {
            pattern(random, depth - 1)
        } else {
            (0..=random.below(5)).map(|_| condition(random)).collect()
        };
        members.insert(name.to_owned(), value);
    }
    let patterns = |random: &mut Random| -> Value {
        (0..2 + random.below(2)).map(|_| pattern(random, depth - 1)).collect()
    };
    if depth > 0 && random.below(3) == 0 {
        members.insert("$or".to_owned(), patterns(random));
    }
    if depth > 0 && random.below(8) == 0 {
        members.insert("$and".to_owned(), patterns(random));
    }
    if depth > 0 && random.below(8) == 0 {
        members.insert("$not".to_owned(), pattern(random, depth - 1));
    }
    Value::Object(members)
}

fn value(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 5 } else { 12 }) {
        0..4 => random.pick(&[json!("x"), json!("xy"), json!("X"), json!("x/y"), json!("")]),
        4 => random.pick(&[json!(1), json!(1.0), json!("1"), json!(null), json!(true), json!(2)]),
        5..8 => (0..random.below(3)).map(|_| value(random, depth - 1)).collect(),
        _ => object(random, depth - 1),
    }
}

fn object(random: &mut Random, depth: usize) -> Value {
    let members = (0..=random.below(3)).map(|_| (random.name().to_owned(), value(random, depth)));
    Value::Object(members.collect::<Vec<_>>().into_iter().collect())
}

/// The same in another order, and partly twice.
fn shuffled(pattern: &Value, random: &mut Random) -> Value {
    match pattern {
        Value::Array(items) if items.iter().any(Value::is_number) && items.len() != 1 => {
            pattern.clone()
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| shuffled(item, random)).collect();
            let twice = random.pick(&items);
            items.push(twice);
            items.rotate_left(random.below(3) % 2);
            items.reverse();
            Value::Array(items)
        }
        Value::Object(members) if members.contains_key("numeric") => pattern.clone(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, v)| (name.clone(), shuffled(v, random)));
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}

#[test]
fn filters_mean_what_a_naive_evaluator_says_and_so_does_their_normal_form() {
    let random = &mut Random::new(0x5eed_cafe);
    let (mut cases, mut held) = (0_u32, 0_u32);
    for _ in 0..9_000 {
        let depth = [0, 1, 1, 2, 2, 3][random.below(6)];
        let pattern = pattern(random, depth);
        let filter = match Filter::from_value(&pattern) {
            Ok(filter) => filter,
            Err(problems) => {
                assert!(problems.to_string().contains("combinations"), "{pattern}: {problems}");
                continue;
            }
        };
        let normal = filter.to_value();
        assert_eq!(Filter::from_value(&normal).unwrap(), filter, "{pattern}\n{normal}");
        // What is there twice may be too many combinations.
        if let Ok(other) = Filter::from_value(&shuffled(&pattern, random)) {
            assert_eq!(other.to_string(), filter.to_string(), "{pattern}");
        }
        for _ in 0..6 {
            let event = object(random, 3);
            let expected = naive::matches(&pattern, &event);
            let found = filter.matches_value(&event);
            assert_eq!(
                found, expected,
                "the filter:\n{pattern}\nprinted:\n{normal}\nevent:\n{event}"
            );
            let printed = naive::matches(&normal, &event);
            assert_eq!(printed, expected, "printed:\n{normal}\nwas:\n{pattern}\nevent:\n{event}");
            cases += 1;
            held += u32::from(expected);
        }
    }
    println!("{cases} cases, of which {held} hold");
    assert!(cases > 50_000 && held > cases / 10 && held < cases / 10 * 9, "{cases} {held}");
}
