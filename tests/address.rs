//! Which addresses and URLs may be dialled, against tables that were made independently.

#[path = "address/every.rs"]
mod every;
#[path = "address/policies.rs"]
mod policies;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use artifact_triggers::deliverer::address::{AddressPolicy, Refusal};
use ipnet::IpNet;

fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

#[test]
fn every_url_of_the_table_is_judged_as_it_says() {
    let policy = AddressPolicy::public_only();
    let mut wrong = Vec::new();
    let mut judged = 0;
    for row in rows(include_str!("data/ssrf.tsv")) {
        let verdict = policy.parse_url(row[0]);
        judged += 1;
        if verdict.is_ok() != (row[1] == "allow") {
            wrong.push(format!("{:?} should be {}: {verdict:?} ({})", row[0], row[1], row[2]));
        }
    }
    assert!(judged > 100, "{judged} rows");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn spellings_beyond_the_table_are_judged_alike() {
    let policy = AddressPolicy::public_only();
    let judged = |text: &str| policy.parse_url(text).map(|url| url.to_string());
    assert_eq!(judged("https://@example.com/"), Err(Refusal::UserInfo));
    assert_eq!(judged("https://:@example.com/"), Err(Refusal::UserInfo));
    assert!(judged("https:example.com/").is_err());
    assert_eq!(judged("https://example.com./"), Ok("https://example.com./".to_owned()));
    assert_eq!(judged("https://bücher.example/"), Ok("https://xn--bcher-kva.example/".to_owned()));
    assert_eq!(judged("https://0x8.010.2056/"), Ok("https://8.8.8.8/".to_owned()));
    assert_eq!(judged("https://example.com/a#b@c"), Ok("https://example.com/a#b@c".to_owned()));
    let long = format!("https://example.com/{}", "a".repeat(2029));
    assert_eq!(judged(&long), Err(Refusal::Length { found: 2049, most: 2048 }));
    assert!(judged(&long[..2048]).is_ok());
}

/// The registries, most specific block first, as the table has them.
fn registry() -> Vec<(IpNet, bool)> {
    let mut blocks: Vec<(IpNet, bool)> = rows(include_str!("data/iana-special-purpose.tsv"))
        .map(|row| (row[0].parse().unwrap(), row[2] == "true"))
        .collect();
    blocks.sort_by_key(|(block, _)| std::cmp::Reverse(block.prefix_len()));
    blocks
}

/// What the table says of an address, with the allow-list for IPv6 that its head describes.
fn expected(registry: &[(IpNet, bool)], address: IpAddr) -> bool {
    if ["168.63.129.16", "192.0.0.192", "100.100.100.200"].contains(&address.to_string().as_str()) {
        return false;
    }
    match address {
        IpAddr::V4(_) => {
            registry.iter().find(|(block, _)| block.contains(&address)).is_none_or(|(_, ok)| *ok)
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return expected(registry, v4.into());
            }
            let within = |block: &str| block.parse::<IpNet>().unwrap().contains(&address);
            within("2000::/3")
                && !["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"].into_iter().any(within)
        }
    }
}

fn step(address: IpAddr, by: i128) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => {
            let bits = i128::from(v4.to_bits()) + by;
            u32::try_from(bits).ok().map(|bits| Ipv4Addr::from_bits(bits).into())
        }
        IpAddr::V6(v6) if by < 0 => {
            v6.to_bits().checked_sub(1).map(|b| Ipv6Addr::from_bits(b).into())
        }
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|b| Ipv6Addr::from_bits(b).into()),
    }
}

#[test]
fn each_blocks_edges_and_neighbours_are_judged_as_the_registry_says() {
    let (policy, registry) = (AddressPolicy::public_only(), registry());
    for (block, _) in &registry {
        let (first, last) = (block.network(), block.broadcast());
        let edges = [Some(first), Some(last), step(first, -1), step(last, 1)];
        for address in edges.into_iter().flatten() {
            let verdict = policy.judge(address).is_ok();
            assert_eq!(verdict, expected(&registry, address), "{address} beside {block}");
        }
    }
}

#[test]
fn a_sample_of_all_ipv4_addresses_is_judged_as_the_registry_says() {
    let (policy, registry) = (AddressPolicy::public_only(), registry());
    // A step that is prime and no divisor of a block's size lands everywhere in turn.
    for bits in (0..=u32::MAX).step_by(50_021) {
        let address = Ipv4Addr::from_bits(bits).into();
        assert_eq!(policy.judge(address).is_ok(), expected(&registry, address), "{address}");
    }
}

#[test]
fn a_refused_ipv4_address_is_refused_in_every_disguise() {
    let policy = AddressPolicy::public_only();
    for v4 in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "100.64.0.1", "0.0.0.0"] {
        let bits = u128::from(v4.parse::<Ipv4Addr>().unwrap().to_bits());
        let prefix = |text: &str| text.parse::<Ipv6Addr>().unwrap().to_bits();
        let disguises = [
            prefix("::ffff:0:0") | bits,
            bits,
            prefix("::ffff:0:0:0") | bits,
            prefix("64:ff9b::") | bits,
            prefix("64:ff9b:1::") | bits,
            prefix("2002::") | bits << 80,
            prefix("2001::") | (!bits & 0xffff_ffff),
            prefix("fe80::200:5efe:0:0") | bits,
        ];
        for disguise in disguises.map(Ipv6Addr::from_bits) {
            assert!(policy.judge(disguise.into()).is_err(), "{disguise} for {v4}");
        }
    }
}

#[test]
fn a_translators_prefix_allows_what_may_be_dialled_behind_it_and_no_more() {
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    let judge = |policy: &AddressPolicy, text: &str| policy.judge(text.parse().unwrap());
    let plain = AddressPolicy::public_only();
    for (prefix, public, private, metadata) in [
        ("64:ff9b::/96", "64:ff9b::1.1.1.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254"),
        (
            "64:ff9b:1:a::/96",
            "64:ff9b:1:a::101:101",
            "64:ff9b:1:a::a00:1",
            "64:ff9b:1:a::a9fe:a9fe",
        ),
        (
            "64:ff9b:1::/48",
            "64:ff9b:1:101:1:100::",
            "64:ff9b:1:a00:0:100::",
            "64:ff9b:1:a9fe:a9:fe00::",
        ),
        ("2002::/16", "2002:101:101::", "2002:a00:1::", "2002:a9fe:a9fe::"),
        ("::/96", "::1.1.1.1", "::10.0.0.1", "::169.254.169.254"),
        ("fe80::/10", "fe80::5efe:1.1.1.1", "fe80::5efe:10.0.0.1", "fe80::5efe:169.254.169.254"),
    ] {
        assert!(judge(&plain, public).is_err(), "{public} by default");
        let behind = plain.clone().allow_network(net(prefix));
        assert_eq!(judge(&behind, public), Ok(()), "{public} in {prefix}");
        assert!(judge(&behind, private).is_err(), "{private} in {prefix}");
        let wide = behind.clone().allow_network(net("0.0.0.0/0"));
        assert_eq!(judge(&wide, private), Ok(()), "{private} in {prefix} with all of IPv4");
        assert!(judge(&wide, metadata).is_err(), "{metadata} in {prefix} with all of IPv4");
        let denied = wide.clone().deny_network(net("10.0.0.0/8"));
        assert_eq!(judge(&denied, private), Err(Refusal::Denied), "{private} in {prefix}");
        let alone = IpNet::from(metadata.parse::<IpAddr>().unwrap());
        assert_eq!(judge(&plain.clone().allow_network(alone), metadata), Ok(()), "{metadata}");
    }
}

/// Where an IPv4 address stands in an IPv6 address.
type Embed = fn(u128) -> u128;

#[test]
fn a_sample_of_ipv4_addresses_is_judged_alike_behind_every_translator() {
    let plain = AddressPolicy::public_only();
    let behind = |prefix: &str| plain.clone().allow_network(prefix.parse().unwrap());
    let base = |prefix: &str| prefix.parse::<Ipv6Addr>().unwrap().to_bits();
    let translators: [(AddressPolicy, Embed, u128); 7] = [
        (behind("64:ff9b::/96"), |v4| v4, base("64:ff9b::")),
        (behind("64:ff9b:1::/48"), |v4| v4 >> 16 << 64 | (v4 & 0xffff) << 40, base("64:ff9b:1::")),
        (behind("64:ff9b:1:2:3:4::/96"), |v4| v4, base("64:ff9b:1:2:3:4::")),
        (behind("2002::/16"), |v4| v4 << 80, base("2002::")),
        (behind("::ffff:0:0:0/96"), |v4| v4, base("::ffff:0:0:0")),
        (behind("fe80::/10"), |v4| v4, base("fe80::5efe:0:0")),
        (behind("2001::/32"), |v4| !v4 & 0xffff_ffff, base("2001:0:808:808::")),
    ];
    for bits in (0..=u32::MAX).step_by(1_000_003) {
        let expected = plain.judge(Ipv4Addr::from_bits(bits).into()).is_ok();
        for (policy, embed, base) in &translators {
            let address = Ipv6Addr::from_bits(base | embed(bits.into()));
            assert_eq!(policy.judge(address.into()).is_ok(), expected, "{address}");
        }
    }
}

#[test]
fn a_public_prefix_does_not_hide_a_private_address() {
    let policy = AddressPolicy::public_only();
    assert!(policy.judge("2606:4700::5efe:10.0.0.1".parse().unwrap()).is_err());
    assert!(policy.judge("2606:4700::200:5efe:10.0.0.1".parse().unwrap()).is_err());
    assert!(policy.judge("2606:4700::5efe:1.1.1.1".parse().unwrap()).is_ok());
}

#[test]
fn allowing_loopback_allows_nothing_else() {
    let policy = AddressPolicy::public_only().allow_loopback();
    for ok in ["https://127.0.0.1/", "https://127.9.9.9/", "https://[::1]/", "https://localhost/"] {
        assert!(policy.parse_url(ok).is_ok(), "{ok}");
    }
    assert!(policy.judge("::ffff:127.0.0.1".parse().unwrap()).is_ok());
    for refused in
        ["http://127.0.0.1/", "https://10.0.0.1/", "https://[fe80::1]/", "https://0.0.0.0/"]
    {
        assert!(policy.parse_url(refused).is_err(), "{refused}");
    }
    assert!(policy.allow_http().parse_url("http://127.0.0.1:8080/hook").is_ok());
}

#[test]
fn what_is_denied_stays_denied_and_metadata_is_allowed_one_by_one_only() {
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    let judge = |policy: &AddressPolicy, text: &str| policy.judge(text.parse().unwrap());
    let policy = AddressPolicy::public_only()
        .allow_network(net("10.0.0.0/8"))
        .deny_network(net("10.1.0.0/16"))
        .deny_network(net("1.1.1.1/32"));
    assert_eq!(judge(&policy, "10.2.0.1"), Ok(()));
    assert_eq!(judge(&policy, "10.1.0.1"), Err(Refusal::Denied));
    assert_eq!(judge(&policy, "1.1.1.1"), Err(Refusal::Denied));
    assert_eq!(judge(&policy, "::ffff:10.1.0.1"), Err(Refusal::Denied));
    let mapped = AddressPolicy::public_only().deny_network(net("::ffff:1.1.1.0/120"));
    assert_eq!(judge(&mapped, "1.1.1.1"), Err(Refusal::Denied));
    assert_eq!(judge(&mapped, "1.1.2.1"), Ok(()));
    let wide = AddressPolicy::public_only().allow_network(net("169.254.0.0/16"));
    assert_eq!(judge(&wide, "169.254.1.1"), Ok(()));
    assert!(judge(&wide, "169.254.169.254").is_err());
    let exact = wide.allow_network(net("169.254.169.254/32"));
    assert_eq!(judge(&exact, "169.254.169.254"), Ok(()));
    let everything =
        AddressPolicy::public_only().allow_network(net("::/0")).allow_network(net("0.0.0.0/0"));
    for service in [
        "169.254.169.254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fe80::a9fe:a9fe",
    ] {
        assert!(judge(&everything, service).is_err(), "{service}");
        let alone = IpNet::from(service.parse::<IpAddr>().unwrap());
        assert_eq!(judge(&everything.clone().allow_network(alone), service), Ok(()), "{service}");
    }
}

#[test]
fn a_name_is_refused_whole_and_does_not_tell_why() {
    let policy = AddressPolicy::public_only();
    let addresses =
        |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<IpAddr>>();
    assert_eq!(policy.judge_all(addresses(&["1.1.1.1", "2606:4700::1111"])), Ok(()));
    assert_eq!(policy.judge_all(addresses(&["1.1.1.1", "10.0.0.1"])), Err(Refusal::Resolved));
    assert_eq!(policy.judge_all(addresses(&[])), Err(Refusal::NoAddress));
    assert!(!Refusal::Resolved.to_string().contains("10.0.0.1"));
}
