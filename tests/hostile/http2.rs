//! Endpoints that speak HTTP/2 frame by frame, and abuse it.

use std::io;
use std::sync::Arc;

use artifact_triggers::deliverer::DeliverError;
use artifact_triggers::request::Response;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, sink, split};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::raw::{Raw, raw};
use crate::{deliver, late, local, request};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const UNKNOWN: u8 = 0xee;

const END_HEADERS: u8 = 4;
/// `:status: 200`, by the static table of HPACK.
const STATUS_200: u8 = 0x88;
/// `accept-encoding: gzip, deflate`, by the static table: one byte for many.
const FIELD: u8 = 0x90;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn head() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &[STATUS_200])
}

/// What an endpoint sends: its settings, this once the request is there, and this for ever.
#[derive(Debug, Clone, Default)]
struct Attack {
    settings: Vec<u8>,
    first: Vec<u8>,
    again: Vec<u8>,
}

#[cfg(feature = "http-aws-lc-rs")]
fn provider() -> CryptoProvider {
    tokio_rustls::rustls::crypto::aws_lc_rs::default_provider()
}

#[cfg(not(feature = "http-aws-lc-rs"))]
fn provider() -> CryptoProvider {
    tokio_rustls::rustls::crypto::ring::default_provider()
}

fn acceptor() -> TlsAcceptor {
    let own = rcgen::generate_simple_self_signed(["hooks.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn endpoint(attack: Attack) -> Raw {
    let acceptor = acceptor();
    raw(move |stream| assault(acceptor.clone(), stream, attack.clone())).await
}

async fn assault(acceptor: TlsAcceptor, stream: TcpStream, attack: Attack) -> io::Result<()> {
    let (mut reader, mut writer) = split(acceptor.accept(stream).await?);
    reader.read_exact(&mut [0; 24]).await?;
    writer.write_all(&frame(SETTINGS, 0, 0, &attack.settings)).await?;
    writer.flush().await?;
    read_to_headers(&mut reader).await?;
    let reading = tokio::spawn(async move { tokio::io::copy(&mut reader, &mut sink()).await });
    writer.write_all(&attack.first).await?;
    writer.flush().await?;
    while !attack.again.is_empty() {
        // Many at once: a flood, not a trickle.
        writer.write_all(&attack.again.repeat(64)).await?;
        writer.flush().await?;
    }
    reading.await?.map(drop)
}

/// Reads frames up to the head of a request.
async fn read_to_headers(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    loop {
        let mut head = [0; 9];
        reader.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        reader.read_exact(&mut vec![0; usize::try_from(length).unwrap()]).await?;
        if head[3] == HEADERS {
            return Ok(());
        }
    }
}

async fn answer(attack: Attack) -> (Result<Response, DeliverError>, usize) {
    let endpoint = endpoint(attack).await;
    let deliverer = local().danger_accept_invalid_certificates().build().unwrap();
    let url = format!("https://127.0.0.1:{}/", endpoint.port);
    let answer = deliver(&deliverer, request(&url)).await;
    (answer, endpoint.connections())
}

fn floods(
    frames: impl IntoIterator<Item = (&'static str, Vec<u8>)>,
) -> Vec<(&'static str, Attack)> {
    let flood = |(name, again)| (name, Attack { again, ..Attack::default() });
    frames.into_iter().map(flood).collect()
}

#[tokio::test]
async fn frames_that_mean_nothing_end_with_the_time_at_the_latest() {
    let one = 1_u32.to_be_bytes();
    let mut attacks = floods([
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("acknowledgements", frame(SETTINGS, 1, 0, &[])),
        ("pings", frame(PING, 0, 0, &[7; 8])),
        ("pongs", frame(PING, 1, 0, &[7; 8])),
        ("priorities", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 16])),
        ("windows", frame(WINDOW_UPDATE, 0, 0, &one)),
        ("unknown frames", frame(UNKNOWN, 0, 0, &[1; 64])),
        ("interim answers", frame(HEADERS, END_HEADERS, 1, b"\x08\x03103")),
    ]);
    assert_eq!(answer(Attack::default()).await.0.unwrap_err(), late());
    // SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_INITIAL_WINDOW_SIZE of 0.
    for (name, id) in [("no stream", 3), ("no window", 4)] {
        attacks.push((name, Attack { settings: vec![0, id, 0, 0, 0, 0], ..Attack::default() }));
    }
    for (name, attack) in attacks {
        let (answer, connections) = answer(attack).await;
        let error = answer.expect_err(name);
        let expected = error == late() || matches!(error, DeliverError::Broken { .. });
        assert!(expected, "{name}: {error}");
        assert_eq!(connections, 1, "{name}");
    }
}

#[tokio::test]
async fn what_breaks_the_protocol_breaks_the_exchange() {
    let most = 0x7fff_ffff_u32.to_be_bytes();
    let mut attacks = floods([
        ("a reset", frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())),
        ("a refusal", frame(RST_STREAM, 0, 1, &7_u32.to_be_bytes())),
        ("resets of no stream", frame(RST_STREAM, 0, 2, &8_u32.to_be_bytes())),
        ("a farewell", frame(GOAWAY, 0, 0, &[0; 8])),
        ("windows beyond all bounds", frame(WINDOW_UPDATE, 0, 0, &most)),
        ("data before the head", frame(DATA, 0, 1, b"data")),
        ("a promise", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, STATUS_200])),
        ("a head of many fields", {
            let mut fields = vec![FIELD; 16_000];
            fields[0] = STATUS_200;
            frame(HEADERS, END_HEADERS, 1, &fields)
        }),
        ("a head that is nonsense", frame(HEADERS, END_HEADERS, 1, &[0xff; 64])),
    ]);
    let mut long = frame(DATA, 0, 1, b"");
    long[..3].fill(0xff);
    attacks.extend(floods([("a frame that is too long", long)]));
    for (name, again) in [
        ("continuations", frame(CONTINUATION, 0, 1, &[FIELD; 64])),
        ("empty continuations", frame(CONTINUATION, 0, 1, &[])),
    ] {
        let first = frame(HEADERS, 0, 1, &[STATUS_200]);
        attacks.push((name, Attack { first, again, ..Attack::default() }));
    }
    for (name, attack) in attacks {
        let (answer, connections) = answer(attack).await;
        let error = answer.expect_err(name);
        assert!(matches!(error, DeliverError::Broken { .. }), "{name}: {error}");
        assert_eq!(connections, 1, "{name}");
    }
}

#[tokio::test]
async fn a_body_that_floods_costs_its_rest_and_not_the_status() {
    for (name, again, most) in [
        ("data", frame(DATA, 0, 1, &[b'a'; 16_384]), 1024),
        ("empty data", frame(DATA, 0, 1, &[]), 0),
        ("data that is all padding", frame(DATA, 8, 1, &[255; 256]), 0),
        ("resets", frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()), 0),
        ("trailers", frame(HEADERS, END_HEADERS, 1, &[FIELD; 64]), 0),
    ] {
        let (answer, connections) =
            answer(Attack { first: head(), again, ..Attack::default() }).await;
        let response = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((response.status, response.body.len() <= most), (200, true), "{name}");
        assert_eq!(connections, 1, "{name}");
    }
}
