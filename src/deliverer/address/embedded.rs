//! IPv4 addresses inside IPv6 addresses: where a packet may end up that is sent to the outer one.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The IPv4 addresses that an IPv6 address may lead to.
///
/// `prefixes` are the lengths of the networks by which the operator allows the address. In the
/// block for local translation (RFC 8215) they tell where the IPv4 address stands; nothing in the
/// address does. An IPv4-mapped address is none of these: it is IPv4 itself.
pub(super) fn embedded(address: Ipv6Addr, prefixes: &[u8]) -> Vec<Ipv4Addr> {
    let octets = address.octets();
    let at = |n: usize| Ipv4Addr::new(octets[n], octets[n + 1], octets[n + 2], octets[n + 3]);
    let last = at(12);
    let mut found = match address.segments() {
        // Unspecified and loopback only look like IPv4-compatible addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        // IPv4-compatible (RFC 4291), IPv4-translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0 | 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => vec![last],
        [0x64, 0xff9b, 1, ..] => locally_translated(octets, prefixes),
        // 6to4 (RFC 3056).
        [0x2002, ..] => vec![at(2)],
        // Teredo (RFC 4380) hides the client's address from translators by inverting it.
        [0x2001, 0, ..] => vec![at(4), Ipv4Addr::from_bits(!last.to_bits())],
        _ => Vec::new(),
    };
    // ISATAP (RFC 5214) goes with any prefix.
    if matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, ..]) {
        found.push(last);
    }
    found
}

/// The layouts of RFC 6052, section 2.2, that fit the prefixes: one by which a translator's whole
/// prefix is allowed, all if the operator's network is wider than the block.
fn locally_translated(octets: [u8; 16], prefixes: &[u8]) -> Vec<Ipv4Addr> {
    const LAYOUTS: [u8; 4] = [48, 56, 64, 96];
    let fits = |layout: u8| {
        prefixes.iter().any(|&length| {
            length < LAYOUTS[0]
                || layout == LAYOUTS.into_iter().find(|l| *l >= length).unwrap_or(96)
        })
    };
    let read = |layout: u8| {
        // The octet after the first 64 bits is never part of the address.
        let mut from = (usize::from(layout) / 8..16).filter(|n| *n != 8).map(|n| octets[n]);
        Ipv4Addr::from(std::array::from_fn(|_| from.next().unwrap_or_default()))
    };
    LAYOUTS.into_iter().filter(|layout| fits(*layout)).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(address: &str, prefixes: &[u8]) -> Vec<String> {
        let found = embedded(address.parse().unwrap(), prefixes);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_disguise_is_seen_through() {
        for address in [
            "::10.1.2.3",
            "::ffff:0:10.1.2.3",
            "64:ff9b::10.1.2.3",
            "2002:a01:203::1",
            "2001:db8::5efe:10.1.2.3",
            "2001:db8::200:5efe:10.1.2.3",
        ] {
            assert_eq!(inside(address, &[]), ["10.1.2.3"], "{address}");
        }
        assert_eq!(inside("2002:101:101::5efe:10.1.2.3", &[]), ["1.1.1.1", "10.1.2.3"]);
        // The example of RFC 4380: server 65.54.227.120, client 192.0.2.45.
        let teredo = "2001:0:4136:e378:8000:63bf:3fff:fdd2";
        assert_eq!(inside(teredo, &[]), ["65.54.227.120", "192.0.2.45"]);
    }

    #[test]
    fn plain_addresses_hold_none() {
        for address in ["::", "::1", "fe80::1", "2606:4700::1111", "fd00::5eff:a01:203"] {
            assert!(inside(address, &[]).is_empty(), "{address}");
        }
    }

    #[test]
    fn local_translation_is_read_as_its_prefix_says() {
        // The table of RFC 6052, section 2.4, for 192.0.2.33.
        for (address, prefix) in [
            ("64:ff9b:1:c000:2:2100::", 48),
            ("64:ff9b:1:aac0:0:221::", 56),
            ("64:ff9b:1:aabb:c0:2:2100::", 64),
            ("64:ff9b:1:aabb::192.0.2.33", 96),
            ("64:ff9b:1:aabb::192.0.2.33", 128),
        ] {
            assert_eq!(inside(address, &[prefix]), ["192.0.2.33"], "{address}/{prefix}");
        }
        let all = inside("64:ff9b:1::10.1.2.3", &[0]);
        assert_eq!(all, ["0.0.0.0", "0.0.0.0", "0.0.0.10", "10.1.2.3"]);
    }
}
