//! What providers send, as it becomes notices.
//!
//! `tests/data/receivers/PROVIDER/NAME.json` is a request, `NAME.notices.json` beside it what
//! becomes of it; `UPDATE_EXPECTED=1` writes the latter anew. Each provider's README there tells
//! what its requests were made from.

#[cfg(feature = "tokio")]
mod acts;
mod harbor;
mod malformed;
mod mapping;
mod sample;
mod snapshots;
#[cfg(unix)]
mod steps;
#[cfg(feature = "tokio")]
mod stored;
mod verifiers;
