//! The filter language judged from outside: by fixtures of what EventBridge documents, by a second,
//! naive evaluator over generated patterns and events, and by the crate `quamina`.

mod equivalence;
mod fixtures;
mod judge_quamina;
mod known_defects;
mod naive;
