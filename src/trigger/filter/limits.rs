//! How large a filter may be.

/// The largest filter, in bytes of its JSON.
pub const MAX_FILTER_BYTES: usize = 64 * 1024;
/// The deepest nesting of a filter.
pub const MAX_FILTER_DEPTH: usize = 16;
/// The most conditions in a filter.
pub const MAX_CONDITIONS: usize = 1024;
/// The most rules that a filter stands for when each `$or` is resolved into one of its patterns.
/// Those of the parts of `$and` that have an `$or` are added up, those of what stands side by side
/// multiplied: it bounds how often an element of an array is looked at.
pub const MAX_COMBINATIONS: usize = 1000;
/// The longest text in a condition, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1024;
/// The most `*` in one pattern.
pub const MAX_WILDCARDS: usize = 16;
/// The largest regular expression, in bytes of what it is compiled to.
pub const MAX_REGEX_BYTES: usize = 64 * 1024;
/// The most text of all regular expressions of a filter together, in bytes.
pub const MAX_REGEXES_BYTES: usize = 16 * 1024;
/// The most character classes in the regular expressions of a filter that have to be brought into
/// every case: those of an expression with `(?i)` in which some class is as large as `\p{L}`.
pub const MAX_FOLDED_CLASSES: usize = 64;

/// How large a filter may be. The constants of this module are the default, and the most. They
/// hold for who writes a filter: what is stored stays readable. An
/// [engine](crate::manual::embedding) can ask for less of new triggers.
///
/// ```
/// use artifact_triggers::trigger::filter::{Filter, FilterLimits};
///
/// let limits = FilterLimits::default().with_conditions(1);
/// let filter: Filter = r#"{"kind": ["ping", "artifact.ingested"]}"#.parse()?;
/// let problems = filter.check(&limits).unwrap_err();
/// assert_eq!(problems.to_string(), "expected at most 1 conditions, found 2");
/// # Ok::<(), artifact_triggers::document::Problems>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterLimits {
    /// See [`MAX_FILTER_BYTES`].
    pub bytes: usize,
    /// See [`MAX_FILTER_DEPTH`].
    pub depth: usize,
    /// See [`MAX_CONDITIONS`].
    pub conditions: usize,
    /// See [`MAX_COMBINATIONS`].
    pub combinations: usize,
    /// See [`MAX_PATTERN_BYTES`].
    pub pattern_bytes: usize,
    /// See [`MAX_WILDCARDS`].
    pub wildcards: usize,
    /// See [`MAX_REGEX_BYTES`].
    pub regex_bytes: usize,
    /// See [`MAX_REGEXES_BYTES`].
    pub regexes_bytes: usize,
    /// See [`MAX_FOLDED_CLASSES`].
    pub folded_classes: usize,
}

impl Default for FilterLimits {
    fn default() -> Self {
        Self {
            bytes: MAX_FILTER_BYTES,
            depth: MAX_FILTER_DEPTH,
            conditions: MAX_CONDITIONS,
            combinations: MAX_COMBINATIONS,
            pattern_bytes: MAX_PATTERN_BYTES,
            wildcards: MAX_WILDCARDS,
            regex_bytes: MAX_REGEX_BYTES,
            regexes_bytes: MAX_REGEXES_BYTES,
            folded_classes: MAX_FOLDED_CLASSES,
        }
    }
}

macro_rules! with {
    ($($(#[$doc:meta])* $method:ident = $field:ident;)*) => {
        $($(#[$doc])*
        pub fn $method(mut self, most: usize) -> Self {
            self.$field = most;
            self
        })*
    };
}

impl FilterLimits {
    /// For what is stored: only what protects the stack, and the memory and time of the process.
    /// Everything that was ever taken is within these.
    pub(crate) fn of_stored() -> Self {
        Self {
            bytes: usize::MAX,
            depth: 4 * MAX_FILTER_DEPTH,
            conditions: usize::MAX,
            combinations: 64 * MAX_COMBINATIONS,
            pattern_bytes: usize::MAX,
            wildcards: usize::MAX,
            regex_bytes: 64 * MAX_REGEX_BYTES,
            regexes_bytes: usize::MAX,
            folded_classes: usize::MAX,
        }
    }

    with! {
        /// Sets [`bytes`](Self::bytes).
        with_bytes = bytes;
        /// Sets [`depth`](Self::depth).
        with_depth = depth;
        /// Sets [`conditions`](Self::conditions).
        with_conditions = conditions;
        /// Sets [`combinations`](Self::combinations).
        with_combinations = combinations;
        /// Sets [`pattern_bytes`](Self::pattern_bytes).
        with_pattern_bytes = pattern_bytes;
        /// Sets [`wildcards`](Self::wildcards).
        with_wildcards = wildcards;
        /// Sets [`regex_bytes`](Self::regex_bytes).
        with_regex_bytes = regex_bytes;
        /// Sets [`regexes_bytes`](Self::regexes_bytes).
        with_regexes_bytes = regexes_bytes;
        /// Sets [`folded_classes`](Self::folded_classes).
        with_folded_classes = folded_classes;
    }
}
