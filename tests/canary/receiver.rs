//! A receiver on loopback that answers with what it was sent, and a token endpoint.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Receiver {
    port: u16,
}

impl Receiver {
    pub(crate) async fn start(token: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, token));
            }
        });
        Self { port }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// Reads one request whole and answers by the first segment of its path.
async fn answer(mut stream: TcpStream, token: &str) {
    let mut request = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while !is_whole(&request) {
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let what = text.split('/').nth(1).unwrap_or_default();
    let answer = match what {
        "token" => {
            let body = format!(r#"{{"access_token": "{token}", "token_type": "Bearer"}}"#);
            response("200 OK", &body)
        }
        "refuse" => response("401 Unauthorized", &text),
        "garbage" => format!("SSH-2.0 {text}"),
        "cut" => response("500 Error", &text).replace("content-length: ", "content-length: 1"),
        status => response(&format!("{status} Status"), &text),
    };
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    body.len() >= length.and_then(|text| text.parse().ok()).unwrap_or(0)
}
