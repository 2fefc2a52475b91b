//! Conformance suites: the contracts of [`Storage`](crate::storage::Storage) and
//! [`Deliverer`](crate::deliverer::Deliverer) as tests, for who writes one.
//!
//! In: an async function that makes a fresh one. Out: a `#[test]` for each thing that a rule
//! promises, its name beginning with the rule's number. One that fails names the rule and says what
//! was expected and what was found. The whole test file:
//!
//! ```
//! use artifact_triggers::conformance::storage::Subject;
//! use artifact_triggers::storage::MemoryStorage;
//!
//! async fn my_storage() -> Subject {
//!     Subject::new(MemoryStorage::new())
//! }
//!
//! artifact_triggers::storage_conformance!(my_storage);
//! ```
//!
//! For development only: the suites bring a runtime and a generator of random calls. They may grow
//! with any release, so that a storage which breaks a rule unnoticed today is told of it tomorrow.

pub mod deliverer;
mod rule;
pub mod storage;

pub use rule::{Rule, Verdict};

/// Fails unless what was found is what was expected, and then says in words what it was about.
macro_rules! expect_eq {
    ($found:expr, $expected:expr, $($words:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => if *found != *expected {
                panic!("{}: expected {expected:?}, found {found:?}", format_args!($($words)+));
            }
        }
    };
}
use expect_eq;

/// Makes a suite: the list of its rules, and the macro that makes a test of each.
///
/// `$run` is the function that says what a rule of that file is run with.
macro_rules! suite {
    (
        $(#[$about:meta])*
        macro $name:ident($d:tt) of $room:ident::$subject:ident;
        $($file:ident by $run:ident { $($rule:ident),+ $(,)? })+
    ) => {
        /// The rules that the suite tests, in the order in which they stand in its files.
        pub fn rules() -> Vec<$crate::conformance::Rule<$subject>> {
            vec![$($($crate::conformance::Rule::new(
                stringify!($rule),
                $run($file::$rule),
            )),+),+]
        }

        $(#[$about])*
        #[macro_export]
        macro_rules! $name {
            ($d fresh:expr) => {
                $($(
                    #[test]
                    fn $rule() {
                        let rules = $crate::conformance::$room::rules();
                        $crate::conformance::Rule::assert(rules, stringify!($rule), $d fresh);
                    }
                )+)+
            };
        }
    };
}
use suite;
