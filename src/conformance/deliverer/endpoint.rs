//! Endpoints that the suite plays: plain sockets on loopback, each connection on a thread of its
//! own.
//!
//! A connection ends when the deliverer closes it, or after [`LONGEST`].

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::deliverer::DeliverError;
use crate::event::Scope;
use crate::request::{Method, Request, Response};

/// How long the suite waits for what should come at once.
pub(super) const LONGEST: Duration = Duration::from_secs(10);

/// What an endpoint does with each request that it has read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Behaviour {
    Answer(&'static str),
    /// Sends this, and then nothing for ever.
    Stall(&'static str),
    /// Sends this, and then closes.
    Close(&'static str),
    /// Sends this, and then this again and again.
    Repeat(&'static str, &'static str),
    /// Answers once so many requests are there.
    Gather(usize, &'static str),
}

/// A request as it arrived.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) line: String,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Arrived {
    /// The values of a field, in their order.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let of = self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        of.map(|(_, value)| value.as_str()).collect()
    }
}

/// How many requests are there, for those that wait until all are.
#[derive(Debug, Default)]
struct Gathered(Mutex<usize>, Condvar);

impl Gathered {
    /// Counts one more and waits for the others, but no longer than [`LONGEST`].
    fn wait_for(&self, count: usize) {
        let mut there = self.0.lock().expect("nobody panics who holds it");
        *there += 1;
        self.1.notify_all();
        let waited = self.1.wait_timeout_while(there, LONGEST, |there| *there < count);
        drop(waited.expect("nobody panics who holds it"));
    }
}

/// What became of a connection.
#[derive(Debug)]
enum News {
    Arrived(Arrived),
    Closed,
}

pub(super) struct Endpoint {
    port: u16,
    connections: Arc<AtomicUsize>,
    news: UnboundedReceiver<News>,
}

impl Endpoint {
    pub(super) fn begin(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let gathered: Arc<Gathered> = Arc::default();
        let (sender, news) = unbounded_channel();
        let counted = connections.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                if sender.is_closed() {
                    return;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let (sender, gathered) = (sender.clone(), gathered.clone());
                std::thread::spawn(move || {
                    // An error is the other side's going away.
                    let _ = serve(stream, behaviour, &gathered, &sender);
                    let _ = sender.send(News::Closed);
                });
            }
        });
        Self { port, connections, news }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?q=1", self.port)
    }

    /// How many connections were made.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The next request, if one comes.
    pub(super) async fn arrived(&mut self) -> Option<Arrived> {
        loop {
            match tokio::time::timeout(LONGEST, self.news.recv()).await.ok()?? {
                News::Arrived(arrived) => return Some(arrived),
                News::Closed => {}
            }
        }
    }

    /// The requests that have come until now.
    pub(super) fn so_far(&mut self) -> usize {
        let mut count = 0;
        while let Ok(news) = self.news.try_recv() {
            count += usize::from(matches!(news, News::Arrived(_)));
        }
        count
    }

    /// Whether a connection is closed by the other side.
    pub(super) async fn is_closed(&mut self) -> bool {
        loop {
            match tokio::time::timeout(LONGEST, self.news.recv()).await {
                Ok(Some(News::Closed)) => return true,
                Ok(Some(News::Arrived(_))) => {}
                Ok(None) | Err(_) => return false,
            }
        }
    }
}

/// So that the thread which takes connections ends.
impl Drop for Endpoint {
    fn drop(&mut self) {
        self.news.close();
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn serve(
    mut stream: TcpStream,
    behaviour: Behaviour,
    gathered: &Gathered,
    news: &UnboundedSender<News>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(3 * LONGEST))?;
    stream.set_write_timeout(Some(3 * LONGEST))?;
    let mut read = Vec::new();
    loop {
        let arrived = request(&mut stream, &mut read)?;
        let _ = news.send(News::Arrived(arrived));
        match behaviour {
            Behaviour::Answer(answer) => stream.write_all(answer.as_bytes())?,
            Behaviour::Close(answer) => return stream.write_all(answer.as_bytes()),
            Behaviour::Stall(answer) => {
                stream.write_all(answer.as_bytes())?;
                return stream.read_to_end(&mut Vec::new()).map(drop);
            }
            Behaviour::Repeat(answer, again) => {
                stream.write_all(answer.as_bytes())?;
                loop {
                    stream.write_all(again.as_bytes())?;
                }
            }
            Behaviour::Gather(count, answer) => {
                gathered.wait_for(count);
                stream.write_all(answer.as_bytes())?;
            }
        }
    }
}

/// Reads one request; what comes behind it stays in `read`.
fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> std::io::Result<Arrived> {
    let head = loop {
        match read.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(end) => break read.drain(..end + 4).collect::<Vec<u8>>(),
            None => more(stream, read)?,
        }
    };
    let head = String::from_utf8_lossy(&head);
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let line = head.lines().next().unwrap_or_default().to_owned();
    let mut arrived = Arrived { line, fields: fields.collect(), body: Vec::new() };
    let length = arrived.all("content-length").first().and_then(|text| text.parse().ok());
    let Some(length) = length else {
        arrived.body = chunks(stream, read)?;
        return Ok(arrived);
    };
    while read.len() < length {
        more(stream, read)?;
    }
    arrived.body = read.drain(..length).collect();
    Ok(arrived)
}

/// Reads a body in chunks, without trailers (RFC 9112, section 7.1).
fn chunks(stream: &mut TcpStream, read: &mut Vec<u8>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            match read.windows(2).position(|two| two == b"\r\n") {
                Some(end) => break read.drain(..end + 2).collect::<Vec<u8>>(),
                None => more(stream, read)?,
            }
        };
        let digits = String::from_utf8_lossy(&line);
        let size = usize::from_str_radix(digits.trim(), 16).map_err(|_| ErrorKind::InvalidData)?;
        while read.len() < size + 2 {
            more(stream, read)?;
        }
        body.extend(read.drain(..size + 2).take(size));
        if size == 0 {
            return Ok(body);
        }
    }
}

fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> std::io::Result<()> {
    let mut some = [0; 4096];
    match stream.read(&mut some)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        count => {
            read.extend_from_slice(&some[..count]);
            Ok(())
        }
    }
}

/// A request that may take its time.
pub(super) fn request_to(url: &str) -> Request {
    Request {
        method: Method::Post,
        url: url.parse().expect("it is a URL"),
        headers: [("webhook-id", "msg_1"), ("content-type", "application/json"), ("x-own", "a")]
            .into_iter()
            .collect(),
        body: Arc::from(&br#"{"a":  1.50,"b":"\u00e9"}"#[..]),
        timeout: 3 * LONGEST,
        scope: Scope::root(),
        response_bytes: 0,
    }
}

/// A request to an endpoint that does not answer as it should.
pub(super) fn hasty(url: &str) -> Request {
    Request { timeout: Duration::from_millis(300), ..request_to(url) }
}

/// What comes of a request, which has to end in its time and some more.
pub(super) async fn deliver(
    subject: &super::Subject,
    request: Request,
) -> Result<Response, DeliverError> {
    let limit = request.timeout;
    let answer = tokio::time::timeout(limit + LONGEST, subject.deliver(request)).await;
    answer.unwrap_or_else(|_| {
        panic!("expected an answer within {limit:?}, found none after {LONGEST:?} more")
    })
}
