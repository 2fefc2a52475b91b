//! The default policy for URLs and addresses.
//!
//! In: a text. As a URL it is refused, or it is one of https whose host is a name or an address
//! that the registries call reachable, by a reading of their table that is written here anew. Its
//! first 16 bytes are judged as an address too.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use artifact_triggers::deliverer::address::AddressPolicy;
use libfuzzer_sys::fuzz_target;
use url::{Host, Url};

static POLICY: LazyLock<AddressPolicy> = LazyLock::new(AddressPolicy::public_only);
static TABLE: LazyLock<Vec<Block>> = LazyLock::new(table);

fuzz_target!(|data: &[u8]| {
    if let Some((octets, rest)) = data.split_first_chunk::<16>() {
        check_v6(Ipv6Addr::from(*octets));
        if let Some(octets) = rest.first_chunk::<4>() {
            check_v4(Ipv4Addr::from(*octets));
        }
    }
    if let Ok(url) = std::str::from_utf8(data).map_err(drop).and_then(parse) {
        check_url(&url);
    }
});

fn parse(text: &str) -> Result<Url, ()> {
    POLICY.parse_url(text).map_err(drop)
}

fn check_url(url: &Url) {
    assert_eq!((url.scheme(), url.username(), url.password()), ("https", "", None), "{url}");
    assert_eq!(parse(url.as_str()).as_ref(), Ok(url), "as it is printed");
    match url.host().expect("a URL that is dialled has a host") {
        Host::Ipv4(address) => assert!(is_open(address.into()), "{url}"),
        Host::Ipv6(address) => assert!(is_open(address.into()), "{url}"),
        Host::Domain(name) => {
            let bare = name.trim_end_matches('.').to_ascii_lowercase();
            assert!(bare.parse::<IpAddr>().is_err(), "{url}");
            assert!(bare != "localhost" && !bare.ends_with(".localhost"), "{url}");
        }
    }
}

fn check_v4(address: Ipv4Addr) {
    assert_eq!(POLICY.judge(address.into()).is_ok(), is_open(address.into()), "{address}");
}

/// One that holds an IPv4 address has to pass with both, so an open one may be refused all the
/// same.
fn check_v6(address: Ipv6Addr) {
    assert!(POLICY.judge(address.into()).is_err() || is_open(address.into()), "{address}");
}

/// A block of the table, as its first bits.
struct Block {
    is_v4: bool,
    bits: u128,
    length: u32,
    is_open: bool,
}

fn table() -> Vec<Block> {
    let rows = include_str!("../../data/iana-special-purpose.tsv").lines();
    let blocks = rows.filter(|row| !row.starts_with('#')).map(|row| {
        let mut cells = row.split('\t');
        let (address, length) = cells.next().and_then(|block| block.split_once('/')).expect(row);
        let (is_v4, bits) = bits(address.parse().expect(row));
        let is_open = cells.nth(1) == Some("true");
        Block { is_v4, bits, length: length.parse().expect(row), is_open }
    });
    blocks.collect()
}

/// Whether it is one of version 4, and its bits from the top.
fn bits(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(address) => (true, u128::from(address.to_bits()) << 96),
        IpAddr::V6(address) => (false, address.to_bits()),
    }
}

/// What the smallest block around an address says, and for IPv6 the head of the table: nothing but
/// `2000::/3`, of which its blocks are refused whatever they hold.
fn is_open(address: IpAddr) -> bool {
    let (is_v4, bits) = bits(address);
    if !is_v4 && bits >> 32 == 0xffff {
        let [.., a, b, c, d] = bits.to_be_bytes();
        return is_open(Ipv4Addr::new(a, b, c, d).into());
    }
    let around = TABLE.iter().filter(|block| {
        let outside = (block.bits ^ bits).checked_shr(128 - block.length).unwrap_or(0);
        block.is_v4 == is_v4 && outside == 0
    });
    if is_v4 {
        let is_metadata = bits >> 96 == 0xa83f_8110;
        let smallest = around.max_by_key(|block| block.length);
        return !is_metadata && smallest.is_none_or(|block| block.is_open);
    }
    // 2620:4f:8000::/48 is outside of what the head refuses; the others that are open lie within
    // it.
    let outermost = around.min_by_key(|block| block.length);
    bits >> 125 == 0b001 && outermost.is_none_or(|block| block.is_open)
}
