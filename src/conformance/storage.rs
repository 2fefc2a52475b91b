//! The suite of [`Storage`](crate::storage::Storage).
//!
//! In: a [`Subject`]. What is stored and asked stands in [`samples`], for tests of what only your
//! storage promises. Times are artificial, given as `now` and `created_at`: a storage that goes by
//! a time of its own (rule 13) needs an option to go by the caller's, for tests.

mod atomicity;
mod claims;
mod companions;
mod events;
mod fairness;
mod history;
mod leases;
mod many;
mod model;
mod nodes;
mod order;
mod reopening;
mod retention;
pub mod samples;
mod subject;
mod superseding;
mod triggers;

use std::future::Future;

pub use subject::Subject;

use super::rule::{Fresh, Run};
use super::{expect_eq, suite};
use crate::storage::StorageError;

suite! {
    /// Makes a test of each rule of [`Storage`](crate::storage::Storage), of what an async function
    /// makes: a fresh [`Subject`](crate::conformance::storage::Subject).
    ///
    /// ```
    /// use artifact_triggers::conformance::storage::Subject;
    /// use artifact_triggers::storage::MemoryStorage;
    ///
    /// mod memory {
    ///     artifact_triggers::storage_conformance!(super::memory_storage);
    /// }
    ///
    /// async fn memory_storage() -> Subject {
    ///     let storage = MemoryStorage::new();
    ///     Subject::new(storage.clone()).with_nodes(move || std::future::ready(storage.clone()))
    /// }
    /// ```
    macro storage_conformance($) of storage::Subject;
    atomicity by each {
        rule_01_an_event_is_seen_with_all_its_deliveries,
        rule_01_a_call_that_fails_takes_nothing_from_others,
        rule_01_cursors_are_read_all_at_one_time,
        rule_01_a_settlement_is_seen_with_its_log_and_its_events,
        rule_02_what_was_answered_is_there,
        rule_03_a_dropped_call_took_effect_whole_or_not,
    }
    events by each {
        rule_04_an_event_is_stored_once,
        rule_04_a_record_without_an_event_stores_the_rest,
        rule_05_a_cursor_that_moved_stops_the_record,
        rule_05_removing_below_a_prefix_takes_it_literally,
        rule_06_a_delivery_is_stored_once,
    }
    claims by each {
        rule_07_what_is_waiting_and_due_is_given_once,
        rule_07_a_quota_bounds_what_an_endpoint_gets,
        rule_07_the_longest_due_of_an_endpoint_come_first,
        rule_07_what_is_left_is_told,
        rule_07_a_claim_of_one_gives_that_one_if_it_is_due,
        rule_07_a_claim_gives_what_came_due_by_a_time,
        rule_08_a_claim_counts_and_leases_and_a_lost_lease_is_given_anew,
    }
    fairness by each {
        rule_07_endpoints_take_turns,
        rule_07_no_endpoint_has_two_turns_in_a_round,
    }
    leases by each {
        rule_09_a_lost_lease_settles_nothing,
        rule_09_a_lost_lease_logs_and_records_nothing,
        rule_09_a_lease_that_is_extended_lasts_longer,
        rule_09_what_is_not_there_is_no_lease,
        rule_09_a_lease_from_before_a_replay_settles_nothing,
        rule_10_each_settlement_leads_where_it_says,
        rule_10_what_was_attempted_is_logged_as_it_was,
    }
    triggers by each {
        rule_11_revisions_and_names_are_compared,
        rule_12_the_feed_tells_the_last_change_of_each_trigger,
    }
    many by each {
        rule_01_of_an_event_all_or_nothing_is_seen_by_threads,
        rule_04_of_many_that_record_an_event_one_stores_it,
        rule_05_a_cursor_is_moved_once_by_many,
        rule_07_what_many_claim_is_disjoint,
        rule_09_of_many_that_settle_a_lease_one_does,
        rule_11_of_many_updates_of_a_revision_one_is_made,
        rule_12_who_follows_the_feed_under_writes_misses_nothing,
        rule_14_pages_under_writes_tell_what_is_there_once,
        rule_15_of_a_key_many_never_hold_two,
        rule_19_what_many_replay_is_disjoint,
    }
    history by each {
        rule_13_time_is_the_callers,
        rule_13_the_largest_and_the_smallest_of_everything_is_taken,
        rule_14_pages_are_in_the_order_of_ids,
        rule_14_what_comes_and_goes_between_pages_moves_no_place,
        rule_14_queries_select_by_each_of_their_fields,
        rule_19_a_replay_takes_what_is_dead_or_parked_and_nothing_else,
        rule_19_a_replay_spreads_renames_and_selects_by_time,
        rule_17_prune_takes_what_is_final_and_old,
        rule_17_prune_leaves_what_is_not_final,
        rule_20_the_backlog_is_told_by_endpoint,
    }
    retention by each {
        rule_17_each_outcome_has_a_cutoff_of_its_own,
        rule_17_all_but_the_newest_of_an_outcome_go,
        rule_17_events_go_by_age_and_number_once_they_have_no_deliveries,
        rule_17_of_a_held_scope_nothing_goes_as_long_as_it_is_held,
        rule_17_the_oldest_go_first_and_no_more_than_the_limit,
        rule_18_without_contents_a_delivery_keeps_its_log_and_is_not_replayed,
        rule_15_a_dead_letter_without_contents_blocks_until_it_goes,
    }
    order by each {
        rule_15_one_key_goes_in_the_order_of_recording,
        rule_15_a_dead_letter_that_blocks_is_waited_for,
        rule_15_a_dead_letter_that_does_not_block_is_passed,
        rule_15_what_is_discarded_or_pruned_holds_nobody_up,
        rule_15_a_parked_one_that_blocks_is_waited_for,
    }
    companions by each {
        rule_16_companions_are_of_one_trigger_and_endpoint_and_may_not_be_due,
        rule_16_what_was_attempted_is_no_companion_before_it_is_due,
        rule_16_companions_fit_their_number_and_bytes,
        rule_16_what_was_replayed_may_go_with_others_and_what_is_done_does_not,
    }
    superseding by each {
        rule_21_what_waits_is_cancelled_and_what_takes_its_place_is_not,
        rule_21_what_is_leased_or_done_stays_as_it_is,
        rule_04_a_duplicate_supersedes_nothing,
        rule_05_what_a_cursor_stops_supersedes_nothing,
        rule_21_what_has_no_event_supersedes_and_what_has_no_delivery_does_not,
        rule_21_what_was_queued_behind_goes_on,
        rule_21_what_was_superseded_is_pruned_as_cancelled,
        rule_21_what_many_claim_and_supersede_is_leased_or_cancelled,
    }
    nodes by among_nodes {
        rule_05_a_cursor_is_moved_once_among_nodes,
        rule_07_what_nodes_claim_is_disjoint,
        rule_09_a_lease_that_another_node_took_over_settles_nothing,
        rule_12_a_node_follows_the_changes_of_others,
    }
    reopening by across_reopening {
        rule_02_what_was_answered_is_there_after_a_reopening,
        rule_02_triggers_and_their_changes_are_there_after_a_reopening,
        rule_02_leases_come_back_after_a_reopening,
        rule_03_what_was_under_way_is_there_whole_or_not_after_a_reopening,
    }
    model by from_scratch {
        rules_01_to_21_random_calls_are_answered_as_by_the_model,
    }
}

/// Runs a rule with a fresh subject.
fn each<F>(rule: impl Fn(Subject) -> F + Send + Sync + Copy + 'static) -> Run<Subject>
where
    F: Future<Output = ()> + Send + 'static,
{
    Box::new(move |fresh| {
        Box::pin(async move {
            rule(fresh().await).await;
            Ok(())
        })
    })
}

/// Runs a rule with a fresh subject that several nodes may share.
fn among_nodes<F>(rule: impl Fn(Subject) -> F + Send + Sync + Copy + 'static) -> Run<Subject>
where
    F: Future<Output = ()> + Send + 'static,
{
    Box::new(move |fresh| {
        Box::pin(async move {
            let subject = fresh().await;
            if !subject.has_nodes() {
                return Err("nothing was said of how to open a second node (Subject::with_nodes)");
            }
            rule(subject).await;
            Ok(())
        })
    })
}

/// Runs a rule with a fresh subject that can be reopened.
fn across_reopening<F>(rule: impl Fn(Subject) -> F + Send + Sync + Copy + 'static) -> Run<Subject>
where
    F: Future<Output = ()> + Send + 'static,
{
    Box::new(move |fresh| {
        Box::pin(async move {
            let subject = fresh().await;
            if !subject.can_be_reopened() {
                return Err("nothing was said of how to open it again (Subject::with_reopening)");
            }
            rule(subject).await;
            Ok(())
        })
    })
}

/// Runs a rule that needs many fresh subjects.
fn from_scratch<F>(
    rule: impl Fn(Fresh<Subject>) -> F + Send + Sync + Copy + 'static,
) -> Run<Subject>
where
    F: Future<Output = ()> + Send + 'static,
{
    Box::new(move |fresh| {
        Box::pin(async move {
            rule(fresh).await;
            Ok(())
        })
    })
}

/// The answer to a call that has no reason to fail.
trait Answer<T> {
    fn answer(self) -> T;
}

impl<T> Answer<T> for Result<T, StorageError> {
    #[track_caller]
    fn answer(self) -> T {
        self.unwrap_or_else(|error| panic!("expected an answer, found the error {error:?}"))
    }
}
