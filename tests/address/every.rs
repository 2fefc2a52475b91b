//! All IPv4 addresses, and the edges of all blocks in every disguise, against the table read in a
//! way of its own: as intervals of numbers, with no package for networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;

use artifact_triggers::deliverer::address::AddressPolicy;

/// A block of the table as the numbers of its first and last address.
#[derive(Debug, Clone, Copy)]
struct Block {
    first: u32,
    last: u32,
    is_open: bool,
}

/// The IPv4 blocks of the table. Also those of one address that the table's head adds.
fn blocks() -> Vec<Block> {
    let table = include_str!("../data/iana-special-purpose.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#') && !line.contains("::"));
    let mut blocks: Vec<Block> = rows
        .map(|row| {
            let mut cells = row.split('\t');
            let (address, length) = cells.next().unwrap().split_once('/').unwrap();
            let octets = address.split('.').map(|octet| octet.parse::<u32>().unwrap());
            let first = octets.fold(0, |number, octet| number << 8 | octet);
            let size = 1_u64 << (32 - length.parse::<u32>().unwrap());
            let last = u32::try_from(u64::from(first) + size - 1).unwrap();
            Block { first, last, is_open: cells.nth(1) == Some("true") }
        })
        .collect();
    assert_eq!(blocks.len(), 23, "as the table has them");
    let metadata = u32::from_be_bytes([168, 63, 129, 16]);
    blocks.push(Block { first: metadata, last: metadata, is_open: false });
    blocks
}

/// The whole space, cut wherever a block begins or ends, with what the smallest block around each
/// piece says; what lies in none is open.
fn pieces() -> Vec<Block> {
    let blocks = blocks();
    let mut cuts: Vec<u64> = vec![0, 1 << 32];
    cuts.extend(
        blocks.iter().flat_map(|block| [u64::from(block.first), u64::from(block.last) + 1]),
    );
    cuts.sort_unstable();
    cuts.dedup();
    let verdict = |at: u32| {
        let around = blocks.iter().filter(|block| (block.first..=block.last).contains(&at));
        around.min_by_key(|block| block.last - block.first).is_none_or(|block| block.is_open)
    };
    let piece = |pair: &[u64]| {
        let first = u32::try_from(pair[0]).unwrap();
        let last = u32::try_from(pair[1] - 1).unwrap();
        Block { first, last, is_open: verdict(first) }
    };
    cuts.windows(2).map(piece).collect()
}

/// The addresses of a piece within a half of the space that are judged wrong.
fn wrong(policy: &AddressPolicy, piece: Block, half: (u32, u32)) -> (u64, Vec<Ipv4Addr>) {
    let (first, last) = (piece.first.max(half.0), piece.last.min(half.1));
    let mut judged = 0;
    let mut wrong = Vec::new();
    for bits in first..=last {
        let address = Ipv4Addr::from_bits(bits);
        judged += 1;
        if policy.judge(IpAddr::V4(address)).is_ok() != piece.is_open && wrong.len() < 10 {
            wrong.push(address);
        }
    }
    (judged, wrong)
}

#[test]
#[ignore = "takes minutes: run by .ci/run, optimised"]
fn every_ipv4_address_is_judged_as_the_registry_says() {
    let begin = std::time::Instant::now();
    let pieces = pieces();
    let judge = |half: (u32, u32)| {
        let policy = AddressPolicy::public_only();
        let judged = pieces.iter().map(|piece| wrong(&policy, *piece, half));
        judged.fold((0, Vec::new()), |(count, mut all), (judged, wrong)| {
            all.extend(wrong);
            (count + judged, all)
        })
    };
    let middle = 1_u32 << 31;
    let (lower, upper) = thread::scope(|scope| {
        let lower = scope.spawn(|| judge((0, middle - 1)));
        let upper = judge((middle, u32::MAX));
        (lower.join().unwrap(), upper)
    });
    assert_eq!((&lower.1, &upper.1), (&Vec::new(), &Vec::new()));
    assert_eq!(lower.0 + upper.0, 1 << 32, "addresses judged");
    println!("{} addresses judged in {:?}", lower.0 + upper.0, begin.elapsed());
}

#[test]
fn the_edges_of_each_refused_block_are_refused_in_every_disguise() {
    let policy = AddressPolicy::public_only();
    let base = |text: &str| text.parse::<Ipv6Addr>().unwrap().to_bits();
    let refused = pieces().into_iter().filter(|piece| !piece.is_open);
    for bits in refused.flat_map(|piece| [piece.first, piece.last]) {
        let v4 = u128::from(bits);
        let split = |above: u32| v4 >> (32 - above) << 64 | (v4 << above & 0xffff_ffff) << 24;
        for (name, disguised) in [
            ("mapped", base("::ffff:0:0") | v4),
            ("compatible", v4),
            ("translated", base("::ffff:0:0:0") | v4),
            ("NAT64", base("64:ff9b::") | v4),
            ("local NAT64, /48", base("64:ff9b:1::") | split(16)),
            ("local NAT64, /56", base("64:ff9b:1:aa00::") | split(8)),
            ("local NAT64, /64", base("64:ff9b:1:aabb::") | v4 << 24),
            ("local NAT64, /96", base("64:ff9b:1:aabb::") | v4),
            ("6to4", base("2002::1") | v4 << 80),
            ("Teredo, client", base("2001:0:808:808::") | (!v4 & 0xffff_ffff)),
            ("Teredo, server", base("2001::f7f7:f7f7") | v4 << 64),
            ("ISATAP", base("2606:4700::5efe:0:0") | v4),
            ("ISATAP, global", base("2606:4700::200:5efe:0:0") | v4),
        ] {
            let address = Ipv6Addr::from_bits(disguised);
            assert!(policy.judge(address.into()).is_err(), "{name}: {address} for {bits:#x}");
        }
    }
}
