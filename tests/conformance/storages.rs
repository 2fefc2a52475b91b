//! Wrong storages: the model, but for one fault each.

mod faults;

use std::future::{Ready, ready};

use artifact_triggers::conformance::Verdict;
use artifact_triggers::conformance::storage::{Subject, rules};
use artifact_triggers::storage::MemoryStorage;
use faults::{Fault, Faulty};

use super::{assert_breaks, broken};

fn assert_fault_breaks(rule: &str, fault: Fault) {
    assert_breaks(rule, &broken(rules(), move || subject(fault)));
}

fn subject(fault: Fault) -> Ready<Subject> {
    let storage = Faulty::with(fault);
    ready(Subject::new(storage.clone()).with_nodes(move || ready(storage.clone())))
}

#[test]
fn the_model_breaks_nothing() {
    let storage = || {
        let storage = MemoryStorage::new();
        let (node, left) = (storage.clone(), storage.clone());
        ready(
            Subject::new(storage)
                .with_nodes(move || ready(node.clone()))
                .with_reopening(move |_| ready(left.clone())),
        )
    };
    assert_eq!(broken(rules(), storage), [].into());
}

#[test]
fn rule_01_an_event_that_is_there_before_its_deliveries() {
    assert_fault_breaks("01", Fault::DeliveriesLater);
}

#[test]
fn rule_02_a_storage_that_is_empty_after_a_crash() {
    let forgetful = || {
        ready(Subject::new(MemoryStorage::new()).with_reopening(|_| ready(MemoryStorage::new())))
    };
    assert_breaks("02", &broken(rules(), forgetful));
}

#[test]
fn rule_04_a_duplicate_events_deliveries_are_stored() {
    assert_fault_breaks("04", Fault::DuplicatesStored);
}

#[test]
fn rule_05_a_cursor_is_moved_without_comparing() {
    assert_fault_breaks("05", Fault::CursorsNotCompared);
}

#[test]
fn rule_07_one_lease_is_given_to_two_that_ask_at_once() {
    assert_fault_breaks("07", Fault::LeasesGivenTwice);
}

#[test]
fn rule_07_quotas_are_ignored() {
    assert_fault_breaks("07", Fault::QuotasIgnored);
}

#[test]
fn rule_08_each_claim_gives_the_message_another_id() {
    assert_fault_breaks("08", Fault::MessagesRenamed);
}

#[test]
fn rule_09_a_stale_token_settles() {
    assert_fault_breaks("09", Fault::TokensIgnored);
}

#[test]
fn rule_10_the_events_that_follow_are_forgotten() {
    assert_fault_breaks("10", Fault::FollowingForgotten);
}

#[test]
fn rule_11_revisions_are_not_compared() {
    assert_fault_breaks("11", Fault::RevisionsIgnored);
}

#[test]
fn rule_12_the_feed_forgets_what_was_deleted() {
    assert_fault_breaks("12", Fault::DeletionsUntold);
}

#[test]
fn rule_14_pages_are_counted_off_and_skip_under_writes() {
    assert_fault_breaks("14", Fault::PagesByOffset);
}

#[test]
fn rule_15_ordering_is_ignored() {
    assert_fault_breaks("15", Fault::OrderIgnored);
}

#[test]
fn rule_16_companions_do_not_fit_their_bytes() {
    assert_fault_breaks("16", Fault::BytesIgnored);
}

#[test]
fn rule_19_a_replay_takes_what_will_be_tried_anyway() {
    assert_fault_breaks("19", Fault::ReplayTakesLive);
}

#[test]
fn rule_17_prune_deletes_what_is_leased() {
    assert_fault_breaks("17", Fault::PruneTakesLeased);
}

#[test]
fn rule_20_the_backlog_leaves_out_what_is_leased() {
    assert_fault_breaks("20", Fault::BacklogWithoutLeased);
}

#[test]
fn rule_21_what_is_superseded_goes_all_the_same() {
    assert_fault_breaks("21", Fault::SupersededStays);
}

#[test]
fn random_calls_find_a_fault_and_shrink_to_those_that_show_it() {
    let random = rules().into_iter().find(|rule| rule.name().starts_with("rules_")).unwrap();
    let verdict = random.check(|| subject(Fault::DuplicatesStored));
    let Verdict::Broken { message } = verdict else { panic!("nobody notices: {verdict:?}") };
    assert!(message.starts_with(random.name()), "{message}");
    assert!(message.contains("expected ") && message.contains("found "), "{message}");
    let calls = message.matches("Record").count() - message.matches("Recorded").count();
    assert!((2..=4).contains(&calls), "two records show it: {message}");
}

#[test]
fn what_is_missing_for_a_rule_is_told_and_it_is_left_out() {
    let plain = || ready(Subject::new(MemoryStorage::new()));
    let left_out: Vec<_> = rules()
        .into_iter()
        .filter_map(|rule| match rule.check(plain) {
            Verdict::LeftOut { reason } => Some((rule.name(), reason)),
            _ => None,
        })
        .collect();
    assert!(left_out.iter().any(|(name, _)| name.contains("node")), "{left_out:?}");
    assert!(left_out.iter().any(|(name, _)| name.contains("reopening")), "{left_out:?}");
    for (_, reason) in left_out {
        assert!(reason.contains("Subject::with_"), "{reason}");
    }
}
