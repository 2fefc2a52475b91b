//! What templates may use: filters, tests and functions, the engine's and our own.
//!
//! None makes lists of lists, lists of what is not there already, or marks a value as fit for a
//! place.

use minijinja::{Environment, Error, State, Value, functions, tests};
use std::fmt::Write as _;

use super::escape::{Place, Ready, percent_encoded, refused, text_of};
use super::json;
use crate::clock::Timestamp;
use crate::event::is_digest;

/// How much of a digest people read.
const SHORT_DIGEST: usize = 12;
/// The longest form of a date, in bytes.
const MAX_DATE_BYTES: usize = 256;

/// Adds all of them to an engine that has none.
pub(super) fn add(engine: &mut Environment<'static>) {
    use minijinja::filters::{
        abs, bool, capitalize, default, first, float, int, last, length, lines, list, lower, max,
        min, replace, reverse, round, sort, split, string, title, trim, unique, upper,
    };
    engine.add_filter("abs", abs);
    engine.add_filter("bool", bool);
    engine.add_filter("capitalize", capitalize);
    engine.add_filter("d", default);
    engine.add_filter("date", date);
    engine.add_filter("default", default);
    engine.add_filter("first", first);
    engine.add_filter("float", float);
    engine.add_filter("int", int);
    engine.add_filter("join", join);
    engine.add_filter("last", last);
    engine.add_filter("length", length);
    engine.add_filter("lines", lines);
    engine.add_filter("list", list);
    engine.add_filter("lower", lower);
    engine.add_filter("max", max);
    engine.add_filter("min", min);
    engine.add_filter("replace", replace);
    engine.add_filter("reverse", reverse);
    engine.add_filter("round", round);
    engine.add_filter("short_digest", short_digest);
    engine.add_filter("sort", sort);
    engine.add_filter("split", split);
    engine.add_filter("string", string);
    engine.add_filter("title", title);
    engine.add_filter("tojson", tojson);
    engine.add_filter("trim", trim);
    engine.add_filter("truncate", truncate);
    engine.add_filter("unique", unique);
    engine.add_filter("upper", upper);
    engine.add_filter("urlencode", urlencode);
    engine.add_function("range", functions::range);
    add_tests(engine);
}

fn add_tests(engine: &mut Environment<'static>) {
    engine.add_test("boolean", tests::is_boolean);
    engine.add_test("defined", tests::is_defined);
    engine.add_test("divisibleby", tests::is_divisibleby);
    engine.add_test("endingwith", tests::is_endingwith);
    engine.add_test("even", tests::is_even);
    engine.add_test("integer", tests::is_integer);
    engine.add_test("mapping", tests::is_mapping);
    engine.add_test("none", tests::is_none);
    engine.add_test("number", tests::is_number);
    engine.add_test("odd", tests::is_odd);
    engine.add_test("sequence", tests::is_sequence);
    engine.add_test("startingwith", tests::is_startingwith);
    engine.add_test("string", tests::is_string);
    engine.add_test("undefined", tests::is_undefined);
}

/// The items of a list as one text.
fn join(state: &State<'_, '_>, list: &Value, between: Option<&str>) -> Result<String, Error> {
    known(list)?;
    let mut text = String::new();
    for (n, item) in list.try_iter()?.enumerate() {
        known(&item)?;
        let before = text.len();
        if n > 0 {
            text.push_str(between.unwrap_or_default());
        }
        text.push_str(&text_of(&item)?);
        state.consume_fuel(1 + (text.len() - before) as u64 / 64)?;
    }
    Ok(text)
}

/// The value as JSON.
fn tojson(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let mut text = String::new();
    json::write(value, &mut text)?;
    state.consume_fuel(text.len() as u64 / 64)?;
    Ok(Value::from_object(Ready { place: Place::Json, text }))
}

/// The text percent-encoded; once, also where that is done anyway.
fn urlencode(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    known(value)?;
    let text = percent_encoded(&text_of(value)?);
    Ok(match Place::of_name(state.name()) {
        place @ Place::Url => Value::from_object(Ready { place, text }),
        _ => Value::from(text),
    })
}

/// The first characters of a text, and a sign if that is not all.
fn truncate(value: &Value, length: Option<usize>, end: Option<&str>) -> Result<String, Error> {
    known(value)?;
    let text = text_of(value)?;
    let length = length.unwrap_or(255);
    Ok(match text.char_indices().nth(length) {
        Some((at, _)) => format!("{}{}", &text[..at], end.unwrap_or("…")),
        None => text,
    })
}

/// The first characters of a digest, without its algorithm.
fn short_digest(value: &Value, length: Option<usize>) -> Result<String, Error> {
    known(value)?;
    let text = text_of(value)?;
    let encoded = text.split_once(':').filter(|_| is_digest(&text)).map(|(_, encoded)| encoded);
    let encoded = encoded.ok_or_else(|| refused("expected a digest such as sha256:e3b0c442…"))?;
    Ok(encoded.chars().take(length.unwrap_or(SHORT_DIGEST)).collect())
}

/// A time in another form, in UTC.
fn date(value: &Value, form: Option<&str>) -> Result<String, Error> {
    known(value)?;
    let time: Timestamp = text_of(value)?
        .parse()
        .map_err(|_| refused("expected a time as RFC 3339 has it, such as event.occurred_at"))?;
    let form = form.unwrap_or("%Y-%m-%d");
    let mut text = String::new();
    let is_short = form.len() <= MAX_DATE_BYTES;
    let written = is_short && write!(text, "{}", time.to_datetime().format(form)).is_ok();
    if written {
        Ok(text)
    } else {
        Err(refused("expected a form of dates such as \"%Y-%m-%d %H:%M\""))
    }
}

/// Refuses what is not there.
fn known(value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::from(minijinja::ErrorKind::UndefinedError));
    }
    Ok(())
}
