//! JSON that points into the bytes it was read from.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Decimal;

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

/// Members that most objects have no more of.
const USUAL_MEMBERS: usize = 8;

impl<'b> Borrowed<'b> {
    /// A member of an object; of several of one name the last.
    pub(crate) fn get(&self, name: &str) -> Option<&Borrowed<'b>> {
        let Self::Object(members) = self else { return None };
        members.iter().rev().find(|(member, _)| member == name).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Borrowed<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BorrowedVisitor)
    }
}

struct BorrowedVisitor;

impl<'de> Visitor<'de> for BorrowedVisitor {
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
        while let Some(value) = items.next_element()? {
            values.push(value);
        }
        Ok(Borrowed::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Borrowed<'de>, A::Error> {
        let mut object = Vec::new();
        while let Some((Name(name), value)) = members.next_entry()? {
            if object.is_empty() {
                object.reserve_exact(USUAL_MEMBERS);
            }
            object.push((name, value));
        }
        // A document may consist of objects of one member each.
        if object.len() <= USUAL_MEMBERS / 4 {
            object.shrink_to_fit();
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
    fn a_small_object_takes_no_more_memory_than_its_members() {
        let json = br#"[{}, {"a": 1}, {"a": 1, "b": {}}]"#;
        let Borrowed::Array(objects) = serde_json::from_slice(json).unwrap() else { panic!() };
        let rooms = objects.iter().map(|object| match object {
            Borrowed::Object(members) => members.capacity(),
            _ => panic!("an object was written"),
        });
        assert_eq!(rooms.collect::<Vec<_>>(), [0, 1, 2]);
    }
}
