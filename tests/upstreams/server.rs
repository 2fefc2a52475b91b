//! A registry on loopback that answers as a test tells it.

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A parameter of the query, without its encoding.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let url: url::Url = format!("http://x{}", self.target).parse().unwrap();
        url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    sending: Sending,
}

/// How the body is sent.
#[derive(Debug, Clone, Copy)]
enum Sending {
    Whole,
    /// As chunks, and closed in their midst.
    Broken,
    /// The beginning, and then nothing.
    Stalled,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), sending: Sending::Whole }
    }

    pub(crate) fn of(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new(200) }
    }

    pub(crate) fn json(value: &serde_json::Value) -> Self {
        Self::of(value.to_string()).with("content-type", "application/json")
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn broken(self) -> Self {
        Self { sending: Sending::Broken, ..self }
    }

    pub(crate) fn stalled(self) -> Self {
        Self { sending: Sending::Stalled, ..self }
    }

    /// The answer if it has another tag than the one that is asked with, and 304 otherwise.
    pub(crate) fn tagged(self, tag: &str, asked: &Asked) -> Self {
        let answer = if asked.header("if-none-match") == Some(tag) { Self::new(304) } else { self };
        answer.with("etag", tag)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(crate) async fn begin(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { port: listener.local_addr().unwrap().port(), asked: Arc::default() };
        let (log, answer) = (server.asked.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (log.clone(), answer.clone());
                tokio::spawn(async move {
                    // An error ends it, as the other side has gone.
                    let _ = serve(stream, &log, &*answer).await;
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What was asked until now; it is forgotten.
    pub(crate) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Method, path and query of what was asked until now; it is forgotten.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.take().into_iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(&Asked) -> Answer + Send + Sync),
) -> io::Result<()> {
    loop {
        let asked = read(&mut stream).await?;
        log.lock().unwrap().push(asked.clone());
        let answer = answer(&asked);
        let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
        for (name, value) in &answer.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let length = answer.body.len();
        if matches!(answer.sending, Sending::Broken) {
            let head = format!("{head}transfer-encoding: chunked\r\n\r\n{length:x}\r\n");
            let all = [head.as_bytes(), &answer.body, b"\r\n"].concat();
            return stream.write_all(&all).await;
        }
        if answer.status != 304 {
            let _ = write!(head, "content-length: {length}\r\n");
        }
        let sent = match (asked.method.as_str(), answer.sending) {
            ("HEAD", _) => 0,
            (_, Sending::Stalled) => length / 2,
            _ => length,
        };
        // At once: what comes in pieces waits for each to be acknowledged.
        let all = [head.as_bytes(), b"\r\n", &answer.body[..sent]].concat();
        stream.write_all(&all).await?;
        if matches!(answer.sending, Sending::Stalled) {
            std::future::pending::<()>().await;
        }
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, target) = (word(), word());
    let fields = lines.filter_map(|line| line.split_once(": "));
    let headers = fields.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Ok(Asked { method, target, headers })
}
