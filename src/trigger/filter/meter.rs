//! How much work a judgement may take.

/// Counts the steps of a judgement: a place that is looked at, a clause, a condition, some bytes of
/// a text.
pub(crate) trait Meter {
    /// Counts some steps; `false` if they are more than are left, and nothing more is to be done.
    fn spend(&mut self, steps: usize) -> bool;
}

/// Lets everything be done.
pub(crate) struct Unmetered;

impl Meter for Unmetered {
    fn spend(&mut self, _: usize) -> bool {
        true
    }
}

/// Lets so many steps be taken.
pub(crate) struct Steps {
    left: usize,
    /// Whether more were asked for than there were.
    ended: bool,
}

impl Meter for Steps {
    fn spend(&mut self, steps: usize) -> bool {
        match self.left.checked_sub(steps) {
            Some(left) if !self.ended => {
                self.left = left;
                true
            }
            _ => {
                self.ended = true;
                false
            }
        }
    }
}

impl Steps {
    pub(crate) fn new(left: usize) -> Self {
        Self { left, ended: false }
    }

    /// Takes at most so many steps of those that are left; `None` if that was not enough.
    pub(crate) fn within<T>(&mut self, most: usize, act: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let granted = most.min(self.left);
        let mut own = Self::new(granted);
        let done = act(&mut own);
        self.left -= granted - own.left;
        (!own.ended).then_some(done)
    }

    /// Whether more were asked for than there were: what was found since counts for nothing.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn left(&self) -> usize {
        self.left
    }
}
