//! The trace: what happened in which order. Its hash tells runs apart; loud, it is printed.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use crate::clock::Time;
use crate::random::mix;

/// Clones share one trace.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    time: Time,
    hash: Arc<Mutex<u64>>,
    loud: bool,
}

impl Trace {
    pub(crate) fn new(time: Time, loud: bool) -> Self {
        Self { time, hash: Arc::default(), loud }
    }

    /// Notes that something happened now.
    pub(crate) fn note(&self, what: &str, values: &[(&str, u64)]) {
        let now = self.time.now();
        let mut hash = self.hash.lock().unwrap();
        *hash = mix(*hash ^ now.unix_micros().cast_unsigned());
        for byte in what.as_bytes() {
            *hash = (*hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        for (_, value) in values {
            *hash = mix(*hash ^ value);
        }
        if self.loud {
            let mut line = format!("{now} {what}");
            for (name, value) in values {
                let _ = write!(line, " {name}={value:x}");
            }
            println!("{line}");
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        *self.hash.lock().unwrap()
    }
}

/// The part of an id that tells it apart from others.
pub(crate) fn short(id: &[u8; 16]) -> u64 {
    u64::from_be_bytes(id[8..].try_into().expect("8 bytes"))
}
