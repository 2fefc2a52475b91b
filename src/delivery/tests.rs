use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn delivery(state: State) -> Delivery {
    let trigger = TriggerId::from_bytes([1; 16]);
    let key = EndpointKey::new("action:scan");
    let delivery = Delivery::new(EventId::from_bytes([2; 16]), trigger, Scope::root(), key, at(1));
    Delivery { attempts: 3, ..delivery.with_state(state) }
}

#[test]
fn a_key_of_an_endpoint_is_shown_as_its_origin() {
    let key = EndpointKey::of_url(&"https://hooks.example:8443/a?b=c".parse().unwrap());
    assert_eq!(
        (key.as_str(), key.to_string().as_str()),
        ("https://hooks.example:8443", key.as_str())
    );
}

#[test]
fn what_waits_or_is_leased_can_be_claimed_and_what_waits_for_its_turn_goes_on() {
    let dead = State::Dead { reason: DeadReason::Gone };
    let cancelled = State::Cancelled { reason: CancelReason::Discarded };
    for (state, claimable_at, is_final) in [
        (State::Waiting { due: at(5) }, Some(at(5)), false),
        (State::Leased { until: at(6) }, Some(at(6)), false),
        (State::Queued, None, false),
        (State::Delivered, None, true),
        (State::Parked, None, true),
        (dead, None, true),
        (cancelled, None, true),
    ] {
        assert_eq!((state.claimable_at(), state.is_final()), (claimable_at, is_final), "{state:?}");
    }
}

#[test]
fn reasons_are_written_and_read_by_names_of_their_own() {
    let dead = DeadReason::ALL.map(|reason| reason.to_string());
    let expected = ["exhausted", "too_old", "gone", "refused", "blocked", "invalid", "unreadable"];
    assert_eq!(dead, expected);
    for reason in DeadReason::ALL {
        assert_eq!(reason.as_str().parse(), Ok(reason));
        assert_eq!(serde_json::json!(reason), reason.as_str());
    }
    let cancelled = CancelReason::ALL.map(|reason| reason.to_string());
    let expected =
        ["trigger_deleted", "suspended", "superseded", "discarded", "not_sent", "unknown"];
    assert_eq!(cancelled, expected);
    for reason in CancelReason::ALL {
        assert_eq!(reason.as_str().parse(), Ok(reason));
        assert_eq!(serde_json::json!(reason), reason.as_str());
    }
    assert!("".parse::<DeadReason>().is_err() && "gone".parse::<CancelReason>().is_err());
}

#[test]
fn a_settlement_leads_to_its_state_and_counts_what_was_tried() {
    let leased = delivery(State::Leased { until: at(9) });
    for (settlement, name, state, attempts) in [
        (Settlement::Delivered, "delivered", State::Delivered, 3),
        (Settlement::Retry { at: at(20) }, "retry", State::Waiting { due: at(20) }, 3),
        (
            Settlement::Dead(DeadReason::Exhausted),
            "dead",
            State::Dead { reason: DeadReason::Exhausted },
            3,
        ),
        (
            Settlement::Cancelled(CancelReason::Superseded),
            "cancelled",
            State::Cancelled { reason: CancelReason::Superseded },
            3,
        ),
        (Settlement::Parked, "parked", State::Parked, 2),
        (Settlement::Released { at: at(8) }, "released", State::Waiting { due: at(8) }, 2),
        (Settlement::Extended { until: at(40) }, "extended", State::Leased { until: at(40) }, 3),
    ] {
        let mut settled = leased.clone();
        settlement.apply(&mut settled);
        assert_eq!(settled, Delivery { state, attempts, ..leased.clone() });
        assert_eq!(settlement.name(), name);
    }
}
