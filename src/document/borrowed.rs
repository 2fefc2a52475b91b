//! JSON that points into the bytes it was read from.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Decimal;
use super::number::{is_kept, number_of};

/// A JSON value whose texts stay where they are, unless they had to be unescaped.
#[derive(Debug)]
pub(crate) enum Borrowed<'b> {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(Cow<'b, str>),
    Array(Vec<Borrowed<'b>>),
    Object(Vec<(Cow<'b, str>, Borrowed<'b>)>),
}

/// Members that most objects of an event have no more of.
const USUAL_MEMBERS: usize = 12;
/// So many objects of a document get room for the usual members at once. A document may consist of
/// nothing but small objects: the others grow with what is in them.
const ROOMY_OBJECTS: usize = 8;

impl<'b> Borrowed<'b> {
    /// A member of an object; of several of one name the last.
    pub(crate) fn get(&self, name: &str) -> Option<&Borrowed<'b>> {
        let Self::Object(members) = self else { return None };
        members.iter().rev().find(|(member, _)| member == name).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Borrowed<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reading { roomy: &Cell::new(ROOMY_OBJECTS) }.deserialize(deserializer)
    }
}

/// A document that is being read.
#[derive(Clone, Copy)]
struct Reading<'r> {
    /// How many objects still get room for the usual members.
    roomy: &'r Cell<usize>,
}

impl Reading<'_> {
    /// The room for an object's members, of which there is one.
    fn room(self) -> usize {
        let left = self.roomy.get();
        self.roomy.set(left.saturating_sub(1));
        if left > 0 { USUAL_MEMBERS } else { 1 }
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Borrowed<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Borrowed<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Borrowed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Borrowed<'de>, E> {
        Ok(Borrowed::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Borrowed<'de>, E> {
        Ok(Borrowed::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Borrowed<'de>, E> {
        Ok(Borrowed::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Borrowed<'de>, E> {
        Ok(Borrowed::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Borrowed<'de>, E> {
        Ok(Borrowed::Number(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Borrowed<'de>, E> {
        Ok(Borrowed::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Borrowed<'de>, E> {
        Ok(Borrowed::Text(Cow::Borrowed(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Borrowed<'de>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Borrowed::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Borrowed<'de>, A::Error> {
        let mut object = Vec::new();
        while let Some(Name(name)) = members.next_key()? {
            if object.is_empty() {
                if is_kept(&name) {
                    let number = number_of(&members.next_value::<String>()?)?;
                    return Ok(Borrowed::Number(Decimal::from(&number)));
                }
                object.reserve_exact(self.room());
            }
            object.push((name, members.next_value_seed(self)?));
        }
        Ok(Borrowed::Object(object))
    }
}

struct Name<'b>(Cow<'b, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_beyond_the_first_take_no_more_memory_than_their_members() {
        let json = format!("[{{}}, {}]", [r#"{"a": 1}"#; ROOMY_OBJECTS + 2].join(", "));
        let Borrowed::Array(objects) = serde_json::from_str(&json).unwrap() else { panic!() };
        let rooms = objects.iter().map(|object| match object {
            Borrowed::Object(members) => members.capacity(),
            _ => panic!("an object was written"),
        });
        let mut expected = vec![0];
        expected.extend([USUAL_MEMBERS; ROOMY_OBJECTS]);
        expected.extend([1, 1]);
        assert_eq!(rooms.collect::<Vec<_>>(), expected);
    }
}
