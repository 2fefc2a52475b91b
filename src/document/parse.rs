//! From bytes to one JSON value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::number::{is_kept, number_of};
use super::{Borrowed, Problems, cut};

/// Parses bytes as one JSON value of at most `limit` bytes, in which no object has two members of
/// one name: readers take either, so such a document would mean two things.
pub(crate) fn parse(json: &[u8], limit: usize) -> Result<Value, Problems> {
    check_size(json, limit)?;
    serde_json::from_slice(json).map(|Unambiguous(value)| value).map_err(|error| no_json(&error))
}

/// Parses what somebody else wrote by their own rules: of members of one name the last counts.
pub(crate) fn parse_foreign(json: &[u8], limit: usize) -> Result<Value, Problems> {
    check_size(json, limit)?;
    // That it is UTF-8 is found once for all texts, rather than for each of them.
    let read = match std::str::from_utf8(json) {
        Ok(json) => serde_json::from_str(json),
        Err(_) => serde_json::from_slice(json),
    };
    read.map_err(|error| no_json(&error))
}

/// Parses what the crate itself wrote, without copying its texts.
pub(crate) fn parse_borrowed(json: &[u8], limit: usize) -> Result<Borrowed<'_>, Problems> {
    check_size(json, limit)?;
    // Once for all texts, rather than for each of them.
    let json = std::str::from_utf8(json).map_err(|error| no_json(&error))?;
    serde_json::from_str(json).map_err(|error| no_json(&error))
}

fn check_size(json: &[u8], limit: usize) -> Result<(), Problems> {
    if json.len() <= limit {
        return Ok(());
    }
    let found = json.len();
    Err(Problems::of(format!("expected at most {limit} bytes of JSON, found {found}")))
}

fn no_json(error: &dyn fmt::Display) -> Problems {
    Problems::of(format!("expected JSON: {error}"))
}

struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number.map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Unambiguous(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if is_kept(&name) && map.is_empty() {
                return number_of(&members.next_value::<String>()?).map(Value::Number);
            }
            let Unambiguous(value) = members.next_value()?;
            if map.contains_key(&name) {
                let message = format!("the member {:?} is there twice", cut(&name));
                return Err(A::Error::custom(message));
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}
