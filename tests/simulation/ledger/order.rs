//! Order, as it must be: who stands in which line, and whose turn it is.

use artifact_triggers::clock::Timestamp;
use artifact_triggers::delivery::{Delivery, OnDead, State};
use artifact_triggers::id::{DeliveryId, OrderingKey};

use super::{Account, Books};
use crate::invariants::Invariant;

impl Books {
    /// A delivery that was recorded takes its place in its line.
    pub(super) fn line_up(&mut self, id: DeliveryId) {
        if let Some(turn) = self.accounts[&id].delivery.turn {
            self.lines.entry(turn.key).or_default().push(id);
            self.put_back(id);
        }
    }

    /// A delivery that would be waiting waits for its turn first, if it has an order.
    pub(super) fn put_back(&mut self, id: DeliveryId) {
        self.turns += 1;
        let account = self.accounts.get_mut(&id).expect("it was recorded");
        if account.delivery.turn.is_some()
            && matches!(account.delivery.state, State::Waiting { .. })
        {
            account.delivery.state = State::Queued;
            account.queued_at = self.turns;
        }
    }

    /// Gives the turn of a delivery's line to the next one, if nobody has it or holds it up.
    pub(super) fn next_after(&mut self, id: DeliveryId, due: Timestamp) {
        if let Some(turn) = self.accounts.get(&id).and_then(|account| account.delivery.turn) {
            self.next_of(turn.key, due);
        }
    }

    pub(super) fn next_of(&mut self, key: OrderingKey, due: Timestamp) {
        let Some(line) = self.lines.get(&key) else { return };
        let in_line = || line.iter().map(|id| &self.accounts[id]);
        if in_line().any(Account::has_turn) {
            return;
        }
        let first = in_line().find(|one| one.delivery.state == State::Queued || one.blocks());
        let Some(next) = first.filter(|one| !one.blocks()).map(|one| one.delivery.id) else {
            return;
        };
        self.turns += 1;
        let account = self.accounts.get_mut(&next).expect("it stands in line");
        account.delivery.state = State::Waiting { due };
        account.turn_at = self.turns;
    }

    /// What is wrong with whose turn it is, now that a delivery is attempted.
    pub(super) fn overtaken(&self, account: &Account) -> Option<(Invariant, String)> {
        let line = self.lines.get(&account.delivery.turn?.key)?;
        let own = account.delivery.id;
        let is_wrong = |before: &&Account| {
            // One that was replayed meanwhile waits until this one is done.
            let is_queued = before.delivery.state == State::Queued;
            before.has_turn()
                || before.blocks()
                || (is_queued && before.queued_at < account.turn_at)
        };
        let before = line.iter().take_while(|id| **id != own).map(|id| &self.accounts[id]);
        let overtaken = before.into_iter().find(is_wrong)?;
        let Delivery { id, state, .. } = &overtaken.delivery;
        let what =
            format!("it is attempted before {id}, which was recorded before and is {state:?}");
        Some((Invariant::OrderIsKept, what))
    }

    /// How many deliveries wait behind one that blocks, and will do so until somebody helps.
    pub(super) fn stuck(&self) -> usize {
        self.lines.values().map(|line| self.stuck_in(line).len()).sum()
    }

    /// Whether a delivery waits behind one that blocks.
    pub(super) fn is_stuck(&self, account: &Account) -> bool {
        let line = account.delivery.turn.and_then(|turn| self.lines.get(&turn.key));
        line.is_some_and(|line| self.stuck_in(line).contains(&account.delivery.id))
    }

    fn stuck_in(&self, line: &[DeliveryId]) -> Vec<DeliveryId> {
        let in_line = || line.iter().map(|id| &self.accounts[id]);
        if in_line().any(Account::has_turn) {
            return Vec::new();
        }
        let blocked = in_line().skip_while(|one| !one.blocks());
        let queued = blocked.filter(|one| one.delivery.state == State::Queued);
        queued.map(|one| one.delivery.id).collect()
    }
}

impl Account {
    fn has_turn(&self) -> bool {
        matches!(self.delivery.state, State::Waiting { .. } | State::Leased { .. })
    }

    /// Whether those behind it wait until somebody helps it.
    fn blocks(&self) -> bool {
        let blocks = self.delivery.turn.is_some_and(|turn| turn.on_dead == OnDead::Block);
        blocks && matches!(self.delivery.state, State::Dead { .. } | State::Parked)
    }
}
