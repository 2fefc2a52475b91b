//! What a connector would dial, told to something that counts instead.

use std::net::{Ipv4Addr, Ipv6Addr};

use async_trait::async_trait;
use ipnet::IpNet;

use super::super::places::Total;
use super::*;

/// Notes instead of connecting, and sees to it that only what may be dialled is.
#[derive(Debug, Default)]
struct Counting(Mutex<Vec<SocketAddr>>);

impl Dial for Counting {
    fn dial(&self, addresses: Vec<SocketAddr>) -> BoxFuture<TcpStream> {
        let policy = AddressPolicy::public_only();
        assert!(addresses.iter().all(|socket| policy.judge(socket.ip()).is_ok()), "{addresses:?}");
        self.0.lock().unwrap().extend(addresses);
        Box::pin(std::future::ready(Err(Unreachable.into())))
    }
}

/// Every name is these.
#[derive(Debug, Default)]
struct Fixed(Mutex<Vec<IpAddr>>);

#[async_trait]
impl Resolve for Fixed {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(self.0.lock().unwrap().clone())
    }
}

struct Bench {
    connector: Connector,
    counting: Arc<Counting>,
    fixed: Arc<Fixed>,
}

impl Bench {
    fn new() -> Self {
        let (counting, fixed) = (Arc::<Counting>::default(), Arc::<Fixed>::default());
        let connector = Connector {
            policy: Arc::new(AddressPolicy::public_only()),
            resolver: fixed.clone(),
            dial: counting.clone(),
            tls: None,
            places: Places::new(Total::new(1), 1),
            most: Duration::from_secs(60),
        };
        Self { connector, counting, fixed }
    }

    /// Whether anything is dialled for a URL.
    async fn dials(&self, uri: &str) -> bool {
        let before = self.counting.0.lock().unwrap().len();
        let connected = self.connector.clone().call(uri.parse().unwrap()).await;
        assert!(connected.is_err(), "nobody connects");
        self.counting.0.lock().unwrap().len() > before
    }
}

/// The edges of each block of the table and their neighbours, those of IPv4 in IPv6 too.
fn addresses() -> Vec<IpAddr> {
    let table = include_str!("../../../../tests/data/iana-special-purpose.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    let blocks = rows.map(|row| row.split('\t').next().unwrap().parse::<IpNet>().unwrap());
    let edges = blocks.flat_map(|block| [block.network(), block.broadcast()]);
    let around = edges.flat_map(|edge| match edge {
        IpAddr::V4(edge) => {
            let bits = edge.to_bits();
            let near = [bits.wrapping_sub(1), bits, bits.wrapping_add(1)];
            let near = near.map(Ipv4Addr::from_bits);
            let mapped = near.map(|v4| IpAddr::from(v4.to_ipv6_mapped()));
            let translated = near.map(|v4| {
                let prefix = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).to_bits();
                IpAddr::from(Ipv6Addr::from_bits(prefix | u128::from(v4.to_bits())))
            });
            [near.map(IpAddr::from), mapped, translated].concat()
        }
        IpAddr::V6(edge) => {
            let bits = edge.to_bits();
            let near = [bits.wrapping_sub(1), bits, bits.wrapping_add(1)];
            near.map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits))).to_vec()
        }
    });
    around.collect()
}

#[tokio::test]
async fn nothing_is_dialled_that_is_refused_by_address_or_by_name() {
    let bench = Bench::new();
    let public: IpAddr = "1.1.1.1".parse().unwrap();
    let mut dialled = 0;
    for address in addresses() {
        let expected = bench.connector.policy.judge(address).is_ok();
        dialled += usize::from(expected);
        let host = match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        for scheme in ["http", "https"] {
            assert_eq!(bench.dials(&format!("{scheme}://{host}:8443/")).await, expected, "{host}");
        }
        for answer in [vec![address], vec![address, public], vec![public, address]] {
            *bench.fixed.0.lock().unwrap() = answer;
            assert_eq!(bench.dials("https://name.example/").await, expected, "{address}");
        }
    }
    assert!(dialled > 50, "{dialled} that may be dialled are");
}

#[tokio::test]
async fn what_was_judged_is_dialled_on_the_port_of_the_url_or_of_its_scheme() {
    let bench = Bench::new();
    let both = ["1.1.1.1", "2606:4700::1111"].map(|text| text.parse().unwrap());
    *bench.fixed.0.lock().unwrap() = both.to_vec();
    for (uri, port) in [
        ("http://name.example/", 80),
        ("https://name.example/", 443),
        ("http://name.example:443/", 443),
        ("https://name.example:8443/", 8443),
    ] {
        assert!(bench.dials(uri).await);
        let dialled = std::mem::take(&mut *bench.counting.0.lock().unwrap());
        assert_eq!(dialled, both.map(|address| SocketAddr::new(address, port)), "{uri}");
    }
}
