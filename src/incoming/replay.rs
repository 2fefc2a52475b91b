//! Decides whether a message was taken before, and what to remember of it.
//!
//! In: its [`Fingerprint`], the scope that it is for, the time now, and the values of its
//! [keys](Memory::keys). Out: whether it is [known](Memory::is_known), and the
//! [moves](Memory::moves) that remember it. What is remembered are cursors, in a ring of stretches
//! of time as long as the message must be remembered. A message that came in one stretch is looked
//! for in the next one too, and, for nodes whose clocks differ, in the one before.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::clock::ring::Ring;
use crate::event::Scope;
use crate::signature::Fingerprint;
use crate::storage::CursorMove;

/// The longest that is remembered, whatever the tolerance.
pub const MAX_SPAN: Duration = Duration::from_secs(24 * 60 * 60);

/// What is remembered of a message, and where.
#[derive(Debug)]
pub struct Memory {
    /// Of all messages that are remembered as long.
    ring: Ring,
    /// The name of this message.
    name: String,
    /// When it arrived, and for how long it is remembered, both in seconds.
    arrived: u64,
    span: u64,
}

impl Memory {
    /// Of a message that arrives now for a scope. One that was sent for another scope too is not
    /// known there, whoever signed both.
    pub fn of(fingerprint: &Fingerprint, scope: &Scope, now: Timestamp) -> Self {
        // Whole seconds, rounded up.
        let span = fingerprint.span().min(MAX_SPAN).as_secs() + 1;
        let since = now.since(Timestamp::MIN).as_secs();
        Self {
            ring: Ring::new(format!("replay/{span}/"), since / span),
            name: format!("{fingerprint}/{scope}"),
            arrived: since,
            span,
        }
    }

    /// The cursors to read: of the message in the stretches before, now and next, and which stretch
    /// the slot of now is used for.
    pub fn keys(&self) -> Vec<String> {
        let of_message = self.ring.looked_at().map(|stretch| self.ring.key(stretch, &self.name));
        of_message.into_iter().chain([self.ring.slot_key()]).collect()
    }

    /// Whether the message was taken, from the values of its keys.
    pub fn is_known(&self, values: &[Option<String>]) -> bool {
        let is_recent = |value: &Option<String>| {
            let arrived = value.as_deref().and_then(|value| value.parse::<u64>().ok());
            arrived.is_some_and(|arrived| arrived.abs_diff(self.arrived) <= self.span)
        };
        values.iter().take(Ring::LOOKED_AT).any(is_recent)
    }

    /// What remembers the message by itself, if the slot of now is in use: nothing has to be
    /// removed first, which may take long. May be recorded together with the last that the message
    /// says.
    pub fn own_move(&self, values: &[Option<String>]) -> Option<CursorMove> {
        let mut moves = self.moves(values);
        moves.pop().filter(|_| moves.is_empty())
    }

    /// What remembers the message, from the values of its keys; to be recorded once all that it
    /// says is.
    pub fn moves(&self, values: &[Option<String>]) -> Vec<CursorMove> {
        let read = |n: usize| values.get(n).cloned().flatten();
        let set = |key, n, value| CursorMove::Set { key, expected: read(n), value: Some(value) };
        let mut moves = Vec::new();
        if !self.ring.has_slot(read(Ring::LOOKED_AT).as_deref()) {
            moves.push(set(self.ring.slot_key(), Ring::LOOKED_AT, self.ring.slot_value()));
            moves.push(CursorMove::RemoveBelow { prefix: self.ring.slot_of_now() });
        }
        let key = self.ring.slot_of_now() + &self.name;
        moves.push(set(key, 1, self.arrived.to_string()));
        moves
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::signature::{Message, Scheme, SigningSecret, Verifier};

    /// Cursors as a storage has them.
    #[derive(Default)]
    struct Cursors(BTreeMap<String, String>);

    impl Cursors {
        /// Whether a message is known; it is afterwards.
        fn take(&mut self, fingerprint: &Fingerprint, now: Timestamp) -> bool {
            let memory = Memory::of(fingerprint, &"acme".parse().unwrap(), now);
            let values: Vec<_> = memory.keys().iter().map(|key| self.0.get(key).cloned()).collect();
            let is_known = memory.is_known(&values);
            if !is_known {
                let moves = memory.moves(&values);
                let in_use = moves.len() == 1;
                assert_eq!(memory.own_move(&values), in_use.then(|| moves[0].clone()));
                for one in &moves {
                    if let CursorMove::Set { key, expected, .. } = one {
                        assert_eq!(self.0.get(key), expected.as_ref(), "{key}");
                    }
                }
                for one in moves {
                    self.apply(one);
                }
            }
            is_known
        }

        fn apply(&mut self, one: CursorMove) {
            match one {
                CursorMove::Set { key, value, .. } => {
                    self.0.insert(key, value.unwrap());
                }
                CursorMove::RemoveBelow { prefix } => {
                    self.0.retain(|key, _| !key.starts_with(&prefix));
                }
            }
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    fn fingerprint(id: &str, tolerance: Duration) -> Fingerprint {
        let secret = SigningSecret::from_bytes(&[1; 32]).unwrap();
        let signed = Scheme::StandardWebhooks
            .sign(std::slice::from_ref(&secret), &Message::new(id, at(0), b""));
        let verifier = Verifier::standard_webhooks([secret]).with_tolerance(tolerance);
        verifier.verify(&signed.unwrap(), b"", at(0)).unwrap().fingerprint().unwrap()
    }

    #[test]
    fn a_message_is_known_for_as_long_as_it_may_be_taken_whenever_it_came() {
        let tolerance = Duration::from_secs(30);
        let (one, other) = (fingerprint("1", tolerance), fingerprint("2", tolerance));
        for begin in 0..200 {
            for later in [0, 1, 30, 59, 60] {
                let mut cursors = Cursors::default();
                assert!(!cursors.take(&one, at(begin)));
                assert!(cursors.take(&one, at(begin + later)), "{begin} + {later}");
                assert!(!cursors.take(&other, at(begin + later)));
                assert!(cursors.take(&one, at(begin + later)), "{begin} + {later}");
                // As another node has it, whose clock is behind.
                assert!(cursors.take(&one, at(begin - later)), "{begin} - {later}");
            }
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_by_what_comes_in_a_few_stretches() {
        let mut cursors = Cursors::default();
        let mut most = 0;
        for second in 0..2_000 {
            let one = fingerprint(&second.to_string(), Duration::from_secs(30));
            assert!(!cursors.take(&one, at(second)));
            most = most.max(cursors.0.len());
        }
        assert!((61..=61 * 4 + 4).contains(&most), "{most}");
        // After a long pause all of it goes, slot by slot.
        for n in 0..4 {
            let one = fingerprint(&format!("late{n}"), Duration::from_secs(30));
            assert!(!cursors.take(&one, at(10_000 + n * 61)));
        }
        assert_eq!(cursors.0.len(), 8);
    }

    #[test]
    fn a_tolerance_of_less_than_a_second_is_remembered_for_one() {
        for tolerance in [Duration::ZERO, Duration::from_millis(400)] {
            let mut cursors = Cursors::default();
            let one = fingerprint("1", tolerance);
            assert!(!cursors.take(&one, at(0)));
            assert!(cursors.take(&one, at(0) + Duration::from_millis(800)));
            assert!(cursors.take(&one, at(1)));
        }
    }

    #[test]
    fn a_tolerance_without_end_is_remembered_for_a_day() {
        let mut cursors = Cursors::default();
        let one = fingerprint("1", Duration::MAX);
        assert!(!cursors.take(&one, at(0)));
        assert!(cursors.take(&one, at(24 * 60 * 60)));
        assert!(!cursors.take(&one, at(4 * 24 * 60 * 60)));
    }

    #[test]
    fn a_message_is_forgotten_when_its_time_is_over_whenever_it_came() {
        let one = fingerprint("1", Duration::from_secs(30));
        for begin in 0..200 {
            let mut cursors = Cursors::default();
            assert!(!cursors.take(&one, at(begin)));
            assert!(!cursors.take(&one, at(begin + 62)), "{begin}");
        }
    }
}
