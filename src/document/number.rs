//! JSON numbers by their value, however they are written.

use std::cmp::Ordering;
use std::sync::LazyLock;

use serde::de::Error;
use serde_json::{Number, Value};

/// A number that is compared exactly: `1` is `1.0`, and no integer of 64 bits is taken for its
/// neighbour. What JSON has beyond 64 bits and double precision is what a double makes of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Decimal {
    Whole(i128),
    /// Not whole, or too large for the other.
    Float(f64),
}

/// Doubles are whole numbers of `i128` below this, 2^127.
const WHOLE: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

impl Decimal {
    /// The number as JSON, whole numbers without a fraction.
    pub(crate) fn to_value(self) -> Value {
        // As it is without the feature `arbitrary_precision` of serde_json, which keeps what is
        // beyond 64 bits too.
        let whole = match self {
            Self::Whole(whole) => u64::try_from(whole)
                .map(Number::from)
                .or_else(|_| i64::try_from(whole).map(Number::from))
                .ok(),
            Self::Float(_) => None,
        };
        whole.or_else(|| Number::from_f64(self.to_float())).map_or(Value::Null, Value::Number)
    }

    #[expect(clippy::cast_precision_loss, reason = "it came from a double if it is that large")]
    fn to_float(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Float(float) => float,
        }
    }

    /// The same for equal numbers, to hash.
    pub(crate) fn bits(self) -> [u8; 16] {
        match self {
            Self::Whole(whole) => whole.to_le_bytes(),
            Self::Float(float) => u128::from(float.to_bits()).to_be_bytes(),
        }
    }
}

impl From<u64> for Decimal {
    fn from(number: u64) -> Self {
        Self::Whole(number.into())
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        Self::Whole(number.into())
    }
}

impl From<f64> for Decimal {
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^127")]
    fn from(number: f64) -> Self {
        if number.fract() == 0.0 && number.abs() < WHOLE {
            Self::Whole(number as i128)
        } else {
            Self::Float(number)
        }
    }
}

impl From<&Number> for Decimal {
    fn from(number: &Number) -> Self {
        if let Some(whole) = number.as_u64() {
            Self::from(whole)
        } else if let Some(whole) = number.as_i64() {
            Self::from(whole)
        } else {
            Self::from(number.as_f64().unwrap_or(f64::NAN))
        }
    }
}

/// The name of the only member of the object as which `serde_json` shows a number if somebody in
/// the build turned on its feature `arbitrary_precision`. Of an event that has it, it makes a
/// number too, with the feature.
const KEPT_NUMBER: &str = "$serde_json::private::Number";

/// Whether a member's name says that its value is the text of a number.
pub(super) fn is_kept(name: &str) -> bool {
    name == KEPT_NUMBER && *KEEPS_NUMBERS
}

/// Whether `serde_json` keeps the texts of numbers, so that they may be of any length.
pub(crate) fn keeps_numbers() -> bool {
    *KEEPS_NUMBERS
}

static KEEPS_NUMBERS: LazyLock<bool> =
    LazyLock::new(|| serde_json::from_str::<Number>("1.00").is_ok_and(|n| n.to_string() == "1.00"));

/// The number of a text that `serde_json` keeps, as it is without that.
pub(super) fn number_of<E: Error>(text: &str) -> Result<Number, E> {
    let whole = text.parse::<u64>().map(Number::from).ok();
    let negative = || text.parse().ok().filter(|whole: &i64| *whole < 0).map(Number::from);
    let float = || text.parse::<f64>().ok().and_then(Number::from_f64);
    let number = whole.or_else(negative).or_else(float);
    number.ok_or_else(|| E::custom("number out of range"))
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (*self, *other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Whole(a), Self::Float(b)) => whole_to_float(a, b),
            (Self::Float(a), Self::Whole(b)) => whole_to_float(b, a).map(Ordering::reverse),
        }
    }
}

/// Compares a whole number with one that is not whole, or is larger than any of its type.
fn whole_to_float(whole: i128, float: f64) -> Option<Ordering> {
    if float.abs() >= WHOLE {
        return 0.0.partial_cmp(&float);
    }
    if float.is_nan() {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is below 2^127")]
    let floor = float.floor() as i128;
    Some(if whole <= floor { Ordering::Less } else { Ordering::Greater })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(json: &str) -> Decimal {
        let value: Value = serde_json::from_str(json).unwrap();
        Decimal::from(value.as_number().unwrap())
    }

    #[test]
    fn numbers_are_equal_by_their_value() {
        for (a, b) in [("1", "1.0"), ("-0", "0.0"), ("1e3", "1000"), ("0.1", "1e-1")] {
            assert_eq!(number(a), number(b), "{a} {b}");
            assert_eq!(number(a).bits(), number(b).bits(), "{a} {b}");
            assert_eq!(number(a).to_value(), number(b).to_value(), "{a} {b}");
        }
    }

    #[test]
    fn neighbours_are_told_apart_and_ordered() {
        let ascending = [
            "-1e300",
            "-9223372036854775808",
            "-2.5",
            "-2",
            "0",
            "0.1",
            "0.10000000000000002",
            "1",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551615",
            "1e39",
            "1e300",
        ];
        for (n, lower) in ascending.iter().enumerate() {
            for higher in &ascending[n + 1..] {
                assert!(number(lower) < number(higher), "{lower} {higher}");
                assert!(number(higher) > number(lower), "{lower} {higher}");
                assert_ne!(number(lower).bits(), number(higher).bits(), "{lower} {higher}");
            }
        }
    }
}
