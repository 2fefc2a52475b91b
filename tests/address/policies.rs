//! Policies by host name, port and network, and what they say together.

use std::net::IpAddr;

use artifact_triggers::deliverer::address::{AddressPolicy, HostPattern, Refusal};
use ipnet::IpNet;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn host(text: &str) -> HostPattern {
    text.parse().unwrap()
}

fn url(policy: &AddressPolicy, text: &str) -> Result<(), Refusal> {
    policy.parse_url(text).map(drop)
}

#[test]
fn a_name_may_be_as_long_as_names_are_and_no_longer() {
    let labels = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(57)].join(".");
    for (name, fits) in [
        (format!("{labels}.dev"), true),
        (format!("{labels}.dev."), true),
        (format!("{labels}.devs"), false),
    ] {
        let answer = url(&AddressPolicy::public_only(), &format!("https://{name}/"));
        assert_eq!(answer.is_ok(), fits, "{} bytes: {answer:?}", name.len());
    }
}

#[test]
fn a_denied_host_is_refused_however_it_is_spelt() {
    let policy = AddressPolicy::public_only()
        .deny_host(host("evil.example"))
        .deny_host(host("*.bücher.example"));
    for refused in [
        "https://evil.example/",
        "https://EVIL.example./",
        "https://ev%69l.example/",
        "https://ｅｖｉｌ.example/",
        "https://a.b.bücher.example/",
        "https://a.xn--bcher-kva.example/",
    ] {
        assert_eq!(url(&policy, refused), Err(Refusal::DeniedHost), "{refused}");
    }
    for allowed in ["https://a.evil.example/", "https://bücher.example/", "https://1.1.1.1/"] {
        assert_eq!(url(&policy, allowed), Ok(()), "{allowed}");
    }
}

#[test]
fn only_the_hosts_of_a_list_are_left_and_no_addresses() {
    let policy = AddressPolicy::public_only()
        .only_host(host("hooks.example"))
        .only_host(host("*.partner.example"))
        .deny_host(host("old.partner.example"));
    assert_eq!(url(&policy, "https://hooks.example./a"), Ok(()));
    assert_eq!(url(&policy, "https://eu.partner.example:8443/"), Ok(()));
    for refused in [
        "https://partner.example/",
        "https://old.partner.example/",
        "https://hooks.example.evil.example/",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]/",
    ] {
        assert_eq!(url(&policy, refused), Err(Refusal::DeniedHost), "{refused}");
    }
    // A name on the list is no leave to dial what it resolves to.
    let private: IpAddr = "10.0.0.1".parse().unwrap();
    assert_eq!(policy.judge_all([private]), Err(Refusal::Resolved));
}

#[test]
fn ports_are_judged_also_where_the_scheme_implies_them() {
    let policy = AddressPolicy::public_only().allow_http().only_ports(443..=443);
    let policy = policy.only_ports(8000..=8999).deny_ports(8080..=8080);
    for allowed in ["https://a.example/", "https://a.example:443/", "http://a.example:8000/"] {
        assert_eq!(url(&policy, allowed), Ok(()), "{allowed}");
    }
    for refused in ["http://a.example/", "https://a.example:22/", "https://a.example:8080/"] {
        assert_eq!(url(&policy, refused), Err(Refusal::DeniedPort), "{refused}");
    }
}

#[test]
fn only_networks_narrow_and_allow_nothing() {
    let judge = |policy: &AddressPolicy, text: &str| policy.judge(text.parse().unwrap());
    let public = AddressPolicy::public_only().only_network(net("8.8.8.0/24"));
    assert_eq!(judge(&public, "8.8.8.8"), Ok(()));
    assert_eq!(judge(&public, "::ffff:8.8.8.8"), Ok(()));
    assert_eq!(judge(&public, "1.1.1.1"), Err(Refusal::Denied));
    assert_eq!(judge(&public, "2606:4700::1111"), Err(Refusal::Denied));
    let private = AddressPolicy::public_only().only_network(net("10.0.0.0/8"));
    assert!(judge(&private, "10.0.0.1").is_err(), "it is not allowed");
    assert_eq!(judge(&private.allow_network(net("10.0.0.0/8")), "10.0.0.1"), Ok(()));
}

#[test]
fn two_policies_together_allow_what_both_do_and_no_more() {
    let judge = |policy: &AddressPolicy, text: &str| policy.judge(text.parse().unwrap());
    let wide = AddressPolicy::public_only().allow_http().allow_network(net("10.0.0.0/8"));
    let narrow = AddressPolicy::public_only()
        .allow_network(net("10.1.0.0/16"))
        .allow_network(net("192.168.0.0/16"))
        .only_ports(443..=443);
    for both in [wide.clone().and(narrow.clone()), narrow.clone().and(wide.clone())] {
        assert_eq!(judge(&both, "10.1.0.1"), Ok(()));
        assert_eq!(judge(&both, "1.1.1.1"), Ok(()));
        assert!(judge(&both, "10.2.0.1").is_err(), "the one does not allow it");
        assert!(judge(&both, "192.168.0.1").is_err(), "the other does not allow it");
        assert!(
            both.judge_all(["10.1.0.1", "10.2.0.1"].map(|text| text.parse().unwrap())).is_err()
        );
        assert_eq!(url(&both, "https://10.1.0.1/"), Ok(()));
        assert!(matches!(url(&both, "http://10.1.0.1/"), Err(Refusal::Scheme { .. })));
        assert_eq!(url(&both, "https://10.1.0.1:8443/"), Err(Refusal::DeniedPort));
        assert!(url(&both, "https://10.2.0.1/").is_err());
    }
    let three = wide.and(narrow).and(AddressPolicy::public_only());
    assert!(judge(&three, "10.1.0.1").is_err());
}

#[test]
fn what_fails_is_told_of_public_addresses_and_of_those_that_the_operator_names() {
    let tells =
        |policy: &AddressPolicy, text: &str| policy.tells_failures_of(text.parse().unwrap());
    let policy = AddressPolicy::public_only().allow_network(net("10.0.0.0/8"));
    assert!(tells(&policy, "1.1.1.1"));
    assert!(!tells(&policy, "10.0.0.1"));
    assert!(!tells(&policy, "127.0.0.1"));
    assert!(!tells(&policy, "2606:4700::5efe:10.0.0.1"));
    let told = policy.clone().tell_failures_of(net("10.1.0.0/16"));
    assert!(tells(&told, "10.1.0.1") && tells(&told, "::ffff:10.1.0.1"));
    assert!(!tells(&told, "10.2.0.1"));
    assert!(!tells(&told.and(policy), "10.1.0.1"), "both have to say so");
    assert!(tells(&AddressPolicy::public_only().allow_loopback(), "::1"));
}
