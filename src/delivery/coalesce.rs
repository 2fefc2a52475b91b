//! Coalescing: which deliveries of a trigger stand for others, and when they go.
//!
//! In: an event, and what is remembered of those before it. Out: a [`Decision`]: whether a delivery
//! is made, when it is due, and which ones it takes the place of. What is remembered are a few
//! short texts by [key](Places), which move in the same atomic step that records the event with its
//! deliveries, each from what was read: of two nodes that decide at once one has to read again and
//! decide anew.
//!
//! Nothing is held back in memory: a delivery that waits for others is stored, due later, and one
//! that came after it cancels it and takes its place. So the last of a burst is always there.

mod decide;
mod document;
mod place;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use decide::{Decision, Fate};
pub use place::Places;

/// Which deliveries of a trigger stand for others.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coalesce {
    /// The newest event cancels what waits of older ones. By the time at which they
    /// [occurred](crate::event::Event::occurred_at), or were received if that is earlier, since a
    /// clock may be ahead; of the same time the one that comes later is the newer. An older one
    /// that comes late is cancelled at once. What is being attempted is left to end, and not tried
    /// again.
    Newest {
        /// Of what.
        per: Per,
    },
    /// It goes once nothing has come for so long, with the event that came last.
    Quiet {
        /// How long.
        span: Duration,
        /// The longest that the first event of a burst waits, even if more keep coming; without an
        /// end if `None`.
        max_wait: Option<Duration>,
        /// Of what.
        per: Per,
    },
    /// The first event goes at once, and from then on at most one in such a span: at its end, with
    /// the event that came last.
    AtMostEvery {
        /// The span.
        span: Duration,
        /// Of what.
        per: Per,
    },
    /// An OCI index stands for its children: manifests that were
    /// [pushed](crate::event::OciRole::Child) by their digest alone wait so long for an index that
    /// lists them, and are cancelled if it comes. If none comes, they go after that.
    IndexWithin {
        /// How long.
        span: Duration,
    },
    /// It goes once, with the event by which a version is there in all of some places.
    AllOf {
        /// What the places are called.
        names: Vec<String>,
        /// Where the name of its place stands in an event.
        by: PlaceOf,
        /// After how long, from the first event of a version on, it is forgotten where it was seen
        /// and whether it went.
        within: Duration,
    },
}

/// What is coalesced together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Per {
    /// The events of one artifact, whatever its version, tag or digest, as
    /// [`Order::PerArtifact`](super::Order::PerArtifact) has it; those without an artifact
    /// together.
    #[default]
    Artifact,
    /// All events of the trigger.
    Trigger,
}

/// Where the name of its place stands in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PlaceOf {
    /// The artifact's registry.
    #[default]
    Registry,
    /// The name of the event's source.
    Source,
}

impl Coalesce {
    /// The shortest span of any kind but [`MIN_WITHIN`](Self::MIN_WITHIN).
    pub const MIN_SPAN: Duration = Duration::from_millis(100);
    /// The longest that something may be quiet or held back for.
    pub const MAX_SPAN: Duration = Duration::from_secs(7 * 24 * 3600);
    /// The longest that children wait for their index.
    pub const MAX_INDEX_SPAN: Duration = Duration::from_secs(3600);
    /// The shortest that versions are remembered.
    pub const MIN_WITHIN: Duration = Duration::from_secs(60);
    /// How long versions are remembered unless it is said.
    pub const WITHIN: Duration = Duration::from_secs(7 * 24 * 3600);
    /// The longest that versions are remembered.
    pub const MAX_WITHIN: Duration = Duration::from_secs(90 * 24 * 3600);
    /// How long it is remembered which event is the newest.
    pub const NEWEST_KNOWN: Duration = Duration::from_secs(30 * 24 * 3600);
    /// The most places that a version may have to be in.
    pub const MAX_NAMES: usize = 16;
    /// The most children that an index stands for; what more it lists goes by itself.
    pub const MAX_CHILDREN: usize = 64;

    /// The newest event of each artifact cancels what waits of older ones.
    pub fn newest() -> Self {
        Self::Newest { per: Per::default() }
    }

    /// One delivery for each artifact once nothing has come of it for so long.
    pub fn quiet(span: Duration) -> Self {
        Self::Quiet { span, max_wait: None, per: Per::default() }
    }

    /// At most one delivery in such a span for each artifact.
    pub fn at_most_every(span: Duration) -> Self {
        Self::AtMostEvery { span, per: Per::default() }
    }

    /// One delivery for an OCI index and its children, which wait so long for it.
    pub fn index_within(span: Duration) -> Self {
        Self::IndexWithin { span }
    }

    /// One delivery once a version is in all of some registries.
    pub fn all_of<S: Into<String>>(registries: impl IntoIterator<Item = S>) -> Self {
        let names = registries.into_iter().map(Into::into).collect();
        Self::AllOf { names, by: PlaceOf::default(), within: Self::WITHIN }
    }

    /// Sets what is coalesced together; nothing where that is not a question.
    pub fn with_per(mut self, what: Per) -> Self {
        match &mut self {
            Self::Newest { per } | Self::Quiet { per, .. } | Self::AtMostEvery { per, .. } => {
                *per = what;
            }
            Self::IndexWithin { .. } | Self::AllOf { .. } => {}
        }
        self
    }

    /// Sets the longest that the first event of a burst waits; nothing of any other kind than
    /// [`Quiet`](Self::Quiet).
    pub fn with_max_wait(mut self, span: Duration) -> Self {
        if let Self::Quiet { max_wait, .. } = &mut self {
            *max_wait = Some(span);
        }
        self
    }

    /// Sets where the name of its place stands in an event, and how long a version is remembered;
    /// nothing of any other kind than [`AllOf`](Self::AllOf).
    pub fn with_places(mut self, of: PlaceOf, span: Duration) -> Self {
        if let Self::AllOf { by, within, .. } = &mut self {
            (*by, *within) = (of, span);
        }
        self
    }

    /// The longest that it makes a delivery wait by itself.
    pub fn longest_wait(&self) -> Duration {
        match self {
            Self::Newest { .. } | Self::AllOf { .. } => Duration::ZERO,
            Self::Quiet { span, .. }
            | Self::AtMostEvery { span, .. }
            | Self::IndexWithin { span } => *span,
        }
    }

    /// How long what is remembered has to be.
    fn known_for(&self) -> Duration {
        match self {
            Self::Newest { .. } => Self::NEWEST_KNOWN,
            Self::AllOf { within, .. } => *within,
            // The one that waits goes at the end of a span, and from then on another begins.
            Self::AtMostEvery { span, .. } => *span * 2,
            _ => self.longest_wait(),
        }
    }
}
