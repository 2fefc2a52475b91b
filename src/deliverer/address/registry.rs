//! The special-purpose address registries, as a table.
//!
//! Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and its updates) and
//! the IANA IPv4 multicast and reserved space, as of November 2026. `tests/address.rs` compares it
//! with an independent copy.

/// IPv4 blocks that are not globally reachable.
pub(super) const REFUSED_V4: [(&str, &str); 17] = [
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private use"),
    ("100.64.0.0/10", "shared address space"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link local"),
    ("172.16.0.0/12", "private use"),
    ("192.0.0.0/24", "IETF protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "deprecated 6to4 relay anycast"),
    ("192.168.0.0/16", "private use"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("255.255.255.255/32", "limited broadcast"),
    ("168.63.129.16/32", "metadata service"),
];

/// IPv4 addresses inside refused blocks that are globally reachable all the same.
pub(super) const REACHABLE_V4: [&str; 2] = ["192.0.0.9/32", "192.0.0.10/32"];

/// IPv6 is an allow-list: global unicast …
pub(super) const GLOBAL_V6: &str = "2000::/3";

/// … less these blocks of it.
pub(super) const REFUSED_V6: [(&str, &str); 4] = [
    ("2001::/23", "IETF protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "documentation"),
];

/// Where clouds answer with credentials. Refused even inside an allowed network, unless allowed one
/// by one.
pub(super) const METADATA: [&str; 13] = [
    "169.254.169.254", // nearly all
    "169.254.170.2",   // Amazon ECS
    "169.254.170.23",  // Amazon EKS
    "169.254.0.23",    // Tencent
    "169.254.42.42",   // Scaleway
    "100.100.100.200", // Alibaba
    "168.63.129.16",   // Azure
    "192.0.0.192",     // Oracle
    "fd00:ec2::254",   // Amazon EC2
    "fd00:ec2::23",    // Amazon EKS
    "fd20:ce::254",    // Google
    "fd00:42::42",     // Scaleway
    "fe80::a9fe:a9fe", // OpenStack
];
