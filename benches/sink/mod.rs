//! A receiver on loopback that reads posts and answers each with 204, as cheaply as can be; and
//! what posts to it.

use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::HttpDeliverer;
use artifact_triggers::endpoint::EndpointPolicy;
use artifact_triggers::engine::{Engine, EngineOptions};
use artifact_triggers::storage::Storage;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Listens, and calls `on_post` with the head of each post. Gives the URL.
pub(crate) async fn start(on_post: impl Fn(&str) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let on_post = Arc::new(on_post);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, on_post.clone()));
        }
    });
    url
}

async fn answer(mut stream: TcpStream, on_post: Arc<impl Fn(&str)>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(8_192);
    loop {
        while let Some((head, whole)) = request(&buffer) {
            on_post(head);
            buffer.drain(..whole);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// The head of the request at the beginning of a buffer, and the length of all of it, if it is
/// there.
fn request(buffer: &[u8]) -> Option<(&str, usize)> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let whole = head + length.parse::<usize>().ok()?;
    (buffer.len() >= whole).then_some((text, whole))
}

/// An engine that delivers to loopback, with so many connections to an endpoint.
pub(crate) async fn engine(storage: impl Storage, connections: usize) -> Engine {
    let policy = AddressPolicy::public_only().allow_loopback().allow_http();
    let deliverer = HttpDeliverer::builder().address_policy(policy).build();
    let deliverer = deliverer.expect("it needs nothing from outside");
    let endpoint = EndpointPolicy::default().with_concurrency(connections);
    let options = EngineOptions::default().with_endpoint(endpoint);
    let engine = Engine::builder(storage).deliverer(deliverer).options(options).build();
    engine.await.expect("it can be built")
}

/// Ends an engine, which waits for what is under way.
pub(crate) async fn end(engine: &Engine) {
    engine.shutdown(Duration::from_secs(10)).await;
}
