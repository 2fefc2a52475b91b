//! Which addresses and URLs may be dialled.
//!
//! In: an address that a name was resolved to, or a URL. Out: whether it may be dialled. The check
//! that counts is made on the addresses of every connection; the one on a URL is for the comfort of
//! who enters it.

mod embedded;
mod host;
mod refusal;
mod registry;

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

pub use host::{HostPattern, ParseHostPatternError};
pub use refusal::Refusal;

use crate::request::{MAX_URL_BYTES, check_spelling};

/// Which addresses and URLs may be dialled.
///
/// What is denied is denied even if it is allowed as well. What is allowed is allowed even if it is
/// not public, except the metadata services of clouds: those only if they are allowed one by one.
///
/// An IPv6 address that holds an IPv4 address (NAT64, 6to4, Teredo, ISATAP and so on) has to pass
/// with both. None of these blocks is public, so a translator's prefix is allowed as a network:
/// `64:ff9b::/96` allows all that is public behind NAT64, and no more. A translator's prefix of
/// your own is not seen through, so it must not be allowed. An address that is allowed one by one
/// is allowed as it stands.
///
/// Host names and ports can be denied, or all be denied but some. That narrows: an address that a
/// host resolves to has to pass whatever the host is called.
///
/// ```
/// use artifact_triggers::deliverer::address::AddressPolicy;
///
/// let policy = AddressPolicy::public_only().allow_network("10.20.0.0/16".parse()?);
/// assert!(policy.judge("10.20.1.1".parse()?).is_ok());
/// assert!(policy.judge("10.21.1.1".parse()?).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressPolicy {
    allowed: Vec<IpNet>,
    denied: Vec<IpNet>,
    /// Nothing else, unless empty.
    only: Vec<IpNet>,
    denied_hosts: Vec<HostPattern>,
    /// No others, unless empty.
    only_hosts: Vec<HostPattern>,
    denied_ports: Vec<RangeInclusive<u16>>,
    /// No others, unless empty.
    only_ports: Vec<RangeInclusive<u16>>,
    /// Whose failures are told although they are not public.
    told: Vec<IpNet>,
    allow_http: bool,
    /// What has to agree.
    also: Vec<AddressPolicy>,
}

/// A piece of the IPv4 addresses, up to where the next one begins, and the block that refuses it.
struct Piece {
    first: u32,
    refused_by: Option<&'static str>,
}

struct Tables {
    v4: Vec<Piece>,
    global_v6: Ipv6Net,
    refused_v6: Vec<(Ipv6Net, &'static str)>,
    metadata: Vec<IpAddr>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables {
    v4: pieces(&blocks(&registry::REFUSED_V4), &registry::REACHABLE_V4.map(parsed)),
    global_v6: parsed(registry::GLOBAL_V6),
    refused_v6: blocks(&registry::REFUSED_V6),
    metadata: registry::METADATA.map(parsed).to_vec(),
});

fn blocks<N: std::str::FromStr>(rows: &[(&str, &'static str)]) -> Vec<(N, &'static str)> {
    rows.iter().map(|(block, name)| (parsed(block), *name)).collect()
}

/// All of the IPv4 addresses in pieces that are refused or reachable as a whole.
fn pieces(refused: &[(Ipv4Net, &'static str)], reachable: &[Ipv4Net]) -> Vec<Piece> {
    let networks = || refused.iter().map(|(network, _)| network).chain(reachable);
    let firsts = networks().map(|network| network.network().to_bits());
    let behind = networks().filter_map(|network| network.broadcast().to_bits().checked_add(1));
    let mut cuts: Vec<u32> = firsts.chain(behind).chain([0]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let piece = |first| {
        let address = Ipv4Addr::from_bits(first);
        let block = refused.iter().find(|(network, _)| network.contains(&address));
        let is_reachable = reachable.iter().any(|network| network.contains(&address));
        Piece { first, refused_by: block.filter(|_| !is_reachable).map(|(_, name)| *name) }
    };
    cuts.into_iter().map(piece).collect()
}

fn parsed<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| unreachable!("the table holds addresses only: {text}"))
}

impl AddressPolicy {
    /// The longest URL, in bytes.
    pub const MAX_URL_BYTES: usize = MAX_URL_BYTES;

    /// Public addresses by https and nothing else.
    pub fn public_only() -> Self {
        Self::default()
    }

    /// Allows a network, public or not.
    pub fn allow_network(mut self, network: IpNet) -> Self {
        self.allowed.push(canonical(network));
        self
    }

    /// Denies a network, public or not.
    pub fn deny_network(mut self, network: IpNet) -> Self {
        self.denied.push(canonical(network));
        self
    }

    /// Denies all but this network, and others of which it is said too. It allows nothing: what is
    /// not public has to be [allowed](Self::allow_network) besides.
    pub fn only_network(mut self, network: IpNet) -> Self {
        self.only.push(canonical(network));
        self
    }

    /// Denies hosts, whatever they resolve to.
    pub fn deny_host(mut self, pattern: HostPattern) -> Self {
        self.denied_hosts.push(pattern);
        self
    }

    /// Denies all hosts but these, and others of which it is said too; also all that are written as
    /// addresses. What they resolve to has to pass all the same.
    pub fn only_host(mut self, pattern: HostPattern) -> Self {
        self.only_hosts.push(pattern);
        self
    }

    /// Denies ports.
    pub fn deny_ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.denied_ports.push(ports);
        self
    }

    /// Denies all ports but these, and others of which it is said too.
    pub fn only_ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.only_ports.push(ports);
        self
    }

    /// Allows this machine itself: 127.0.0.0/8, `::1`, and the names of it, and lets
    /// [failures be told](Self::tell_failures_of). For tests and examples.
    pub fn allow_loopback(self) -> Self {
        ["127.0.0.0/8", "::1/128"]
            .map(parsed::<IpNet>)
            .into_iter()
            .fold(self, |policy, network| policy.allow_network(network).tell_failures_of(network))
    }

    /// Lets what fails at the addresses of an allowed network be told in as many words as what
    /// fails at public ones. Without it whoever may choose a URL learns only whether an endpoint
    /// there answers by HTTP, not which ports are open.
    pub fn tell_failures_of(mut self, network: IpNet) -> Self {
        self.told.push(canonical(network));
        self
    }

    /// Allows plain http, beside https.
    pub fn allow_http(mut self) -> Self {
        self.allow_http = true;
        self
    }

    /// Both this policy and another: what is dialled has to pass both, so either can only narrow.
    ///
    /// ```
    /// use artifact_triggers::deliverer::address::AddressPolicy;
    ///
    /// let private = AddressPolicy::public_only().allow_network("10.0.0.0/8".parse()?);
    /// let both = private.clone().and(AddressPolicy::public_only());
    /// assert!(private.judge("10.0.0.1".parse()?).is_ok());
    /// assert!(both.judge("10.0.0.1".parse()?).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn and(mut self, other: Self) -> Self {
        self.also.push(other);
        self
    }

    /// Judges an address that is about to be dialled.
    ///
    /// # Errors
    /// [`Refusal::Denied`] or [`Refusal::NotPublic`].
    pub fn judge(&self, address: IpAddr) -> Result<(), Refusal> {
        // An IPv4-mapped address is dialled as IPv4.
        let address = address.to_canonical();
        self.judge_alone(address)?;
        self.also.iter().try_for_each(|policy| policy.judge(address))
    }

    fn judge_alone(&self, address: IpAddr) -> Result<(), Refusal> {
        let inside = self.embedded(address);
        if self.is_denied(address) || inside.iter().any(|inner| self.is_denied(*inner)) {
            return Err(Refusal::Denied);
        }
        if !self.only.is_empty() && !self.only.iter().any(|network| network.contains(&address)) {
            return Err(Refusal::Denied);
        }
        self.judge_itself(address)?;
        if self.is_allowed_alone(address) {
            return Ok(());
        }
        inside.into_iter().try_for_each(|inner| self.judge_itself(inner))
    }

    /// Judges all addresses that a name resolved to: if one is refused, all are.
    ///
    /// # Errors
    /// [`Refusal::NoAddress`] if there is none; [`Refusal::Resolved`], which does not tell which
    /// one was refused or why.
    pub fn judge_all(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), Refusal> {
        let mut addresses = addresses.into_iter().peekable();
        if addresses.peek().is_none() {
            return Err(Refusal::NoAddress);
        }
        for address in addresses {
            self.judge(address).map_err(|_| Refusal::Resolved)?;
        }
        Ok(())
    }

    /// Judges what can be told of a URL without resolving its host.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn judge_url(&self, url: &Url) -> Result<(), Refusal> {
        let found = url.as_str().len();
        if found > Self::MAX_URL_BYTES {
            return Err(Refusal::Length { found, most: Self::MAX_URL_BYTES });
        }
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            found => {
                return Err(Refusal::Scheme { found: found.to_owned(), http: self.allow_http });
            }
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInfo);
        }
        if url.port() == Some(0) {
            return Err(Refusal::Port);
        }
        self.judge_port(url.port_or_known_default())?;
        match url.host() {
            Some(Host::Ipv4(address)) => self.judge_listed(None).and(self.judge(address.into())),
            Some(Host::Ipv6(address)) => self.judge_listed(None).and(self.judge(address.into())),
            Some(Host::Domain(name)) => self.judge_listed(Some(name)).and(self.judge_name(name)),
            None => Err(Refusal::Host { found: String::new() }),
        }?;
        self.also.iter().try_for_each(|policy| policy.judge_url(url))
    }

    /// Whether what fails at an address may be told in full: it is public, or the operator lets it
    /// [be told](Self::tell_failures_of).
    pub fn tells_failures_of(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let told = |inner: IpAddr| {
            judge_public(inner).is_ok() || self.told.iter().any(|network| network.contains(&inner))
        };
        let all = told(address) && self.embedded(address).into_iter().all(told);
        all && self.also.iter().all(|policy| policy.tells_failures_of(address))
    }

    /// Parses a URL and judges it.
    ///
    /// # Errors
    /// [`Refusal`]; also for spellings that parsers read differently, such as a backslash or a
    /// missing slash.
    pub fn parse_url(&self, text: &str) -> Result<Url, Refusal> {
        check_spelling(text)?;
        let url = Url::parse(text).map_err(|error| Refusal::NoUrl { reason: error.to_string() })?;
        self.judge_url(&url)?;
        Ok(url)
    }

    fn embedded(&self, address: IpAddr) -> Vec<IpAddr> {
        let IpAddr::V6(outer) = address else { return Vec::new() };
        let allowing = self.allowed.iter().filter(|network| network.contains(&address));
        let prefixes: Vec<u8> = allowing.map(IpNet::prefix_len).collect();
        embedded::embedded(outer, &prefixes).into_iter().map(IpAddr::from).collect()
    }

    fn is_denied(&self, address: IpAddr) -> bool {
        self.denied.iter().any(|network| network.contains(&address))
    }

    fn is_allowed_alone(&self, address: IpAddr) -> bool {
        self.allowed.contains(&IpNet::from(address))
    }

    fn judge_itself(&self, address: IpAddr) -> Result<(), Refusal> {
        // None of the metadata services is public.
        judge_public(address).or_else(|refusal| {
            let is_allowed = if TABLES.metadata.contains(&address) {
                self.is_allowed_alone(address)
            } else {
                self.allowed.iter().any(|network| network.contains(&address))
            };
            if is_allowed { Ok(()) } else { Err(refusal) }
        })
    }

    fn judge_port(&self, port: Option<u16>) -> Result<(), Refusal> {
        let is_in = |ports: &[RangeInclusive<u16>]| {
            port.is_some_and(|port| ports.iter().any(|range| range.contains(&port)))
        };
        let is_left = self.only_ports.is_empty() || is_in(&self.only_ports);
        if is_left && !is_in(&self.denied_ports) { Ok(()) } else { Err(Refusal::DeniedPort) }
    }

    /// Judges a host by the lists of names; none is one that is written as an address.
    fn judge_listed(&self, name: Option<&str>) -> Result<(), Refusal> {
        let is_in = |patterns: &[HostPattern]| {
            name.is_some_and(|name| patterns.iter().any(|pattern| pattern.matches(name)))
        };
        let is_left = self.only_hosts.is_empty() || is_in(&self.only_hosts);
        if is_left && !is_in(&self.denied_hosts) { Ok(()) } else { Err(Refusal::DeniedHost) }
    }

    fn judge_name(&self, name: &str) -> Result<(), Refusal> {
        let bare = name.strip_suffix('.').unwrap_or(name);
        let is_label = |label: &str| !label.is_empty() && label.len() <= 63 && label != "xn--";
        if bare.len() > 253 || !bare.split('.').all(is_label) {
            return Err(Refusal::Host { found: name.chars().take(80).collect() });
        }
        let of_this_machine = bare == "localhost" || bare.ends_with(".localhost");
        if of_this_machine && self.judge(parsed("127.0.0.1")).is_err() {
            return Err(Refusal::Localhost);
        }
        Ok(())
    }
}

/// A network of IPv4-mapped addresses as the IPv4 network that it is: what is judged is never
/// mapped.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(outer) = network else { return network };
    let mapped = outer.addr().to_ipv4_mapped().zip(outer.prefix_len().checked_sub(96));
    let inner = mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    inner.map_or(network, IpNet::V4)
}

fn judge_public(address: IpAddr) -> Result<(), Refusal> {
    let tables = &*TABLES;
    let block = match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            // The first piece begins at 0.
            tables.v4[tables.v4.partition_point(|piece| piece.first <= bits) - 1].refused_by
        }
        IpAddr::V6(address) if !tables.global_v6.contains(&address) => Some("not global unicast"),
        IpAddr::V6(address) => {
            let mut refused = tables.refused_v6.iter();
            refused.find(|(network, _)| network.contains(&address)).map(|row| row.1)
        }
    };
    block.map_or(Ok(()), |block| Err(Refusal::NotPublic { block }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_metadata_service_is_public() {
        assert!(TABLES.metadata.iter().all(|address| judge_public(*address).is_err()));
    }
}
