//! Ring: under which keys is kept what is to be forgotten after a while.
//!
//! In: what the keys begin with, and the stretch of time that is now, as long as something has to
//! be remembered. Out: the keys. Four stretches have a place of their own: before, now, next, and
//! one that is forgotten. A stretch is forgotten as a whole when its slot is used again, so that
//! what is kept is bounded by what comes within a few of them.

/// The names of the places that stretches have of their own.
const SLOTS: [&str; 4] = ["0", "1", "2", "3"];

/// The places of what is remembered.
#[derive(Debug, Clone)]
pub(crate) struct Ring {
    /// What all keys begin with.
    prefix: String,
    /// The stretch of time that is now.
    stretch: u64,
}

impl Ring {
    /// How many stretches are looked into.
    pub(crate) const LOOKED_AT: usize = 3;

    pub(crate) fn new(prefix: String, stretch: u64) -> Self {
        Self { prefix, stretch }
    }

    /// The stretches to look into, before, now and next; the next one for nodes whose clocks
    /// differ.
    pub(crate) fn looked_at(&self) -> [u64; Self::LOOKED_AT] {
        [self.stretch.saturating_sub(1), self.stretch, self.stretch + 1]
    }

    /// The key of a name in the slot of a stretch.
    pub(crate) fn key(&self, stretch: u64, name: &str) -> String {
        [&self.prefix, slot(stretch), "/", name].concat()
    }

    /// What the keys of now begin with, and of those that had the slot before.
    pub(crate) fn slot_of_now(&self) -> String {
        self.key(self.stretch, "")
    }

    /// Says for which stretch the slot of now is used.
    pub(crate) fn slot_key(&self) -> String {
        [&self.prefix, "slot/", slot(self.stretch)].concat()
    }

    /// What stands there once it is used for this one.
    pub(crate) fn slot_value(&self) -> String {
        self.stretch.to_string()
    }

    /// Whether the slot of now is used for this stretch, by what stands there.
    pub(crate) fn has_slot(&self, found: Option<&str>) -> bool {
        found == Some(&*self.slot_value())
    }
}

fn slot(stretch: u64) -> &'static str {
    let place = stretch % SLOTS.len() as u64;
    SLOTS[usize::try_from(place).expect("there are few")]
}
