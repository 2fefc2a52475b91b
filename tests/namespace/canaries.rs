//! The network and its listeners.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

/// What must not be dialled, all of it there.
pub(crate) const PRIVATE: [&str; 19] = [
    "127.0.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "10.0.0.1",
    "100.64.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.1",
    "::1",
    "fd00::1",
    "fd00:ec2::254",
    "2001:db8::1",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "3fff::1",
];

/// An address that may be dialled, here a receiver of this network alone.
pub(crate) const PUBLIC: &str = "8.8.8.8";

/// Says that the process is in the namespace.
const INSIDE: &str = "ARTIFACT_TRIGGERS_TEST_NAMESPACE";

/// Runs a test of this file in a network of its own; tells whether it is in it.
pub(crate) fn enter(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    // As root, or as one who may be root in a namespace of users.
    let ways = [&["--net"][..], &["--map-root-user", "--net"]];
    let may = |way: &&[&str]| {
        let output = Command::new("unshare").args(*way).args(["ip", "link"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let Some(way) = ways.into_iter().find(may) else {
        assert!(env::var_os("CI").is_none(), "{test} may not make a network");
        println!("LEFT OUT: {test} needs the right to make a network, `unshare` and `ip`");
        return false;
    };
    let mut command = Command::new("unshare");
    command.args(way).arg(env::current_exe().expect("this is a file"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(INSIDE, "1");
    // One of the ways: a proxy that is there and would take what comes.
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, "http://10.0.0.1").env(name.to_lowercase(), "http://10.0.0.1");
    }
    let status = command.env_remove("NO_PROXY").env_remove("no_proxy").status();
    assert!(status.expect("it was there before").success(), "see above");
    false
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("there is one");
    assert!(status.success(), "ip {arguments:?}");
}

/// The first line that somebody sent.
type Line = Arc<Mutex<String>>;

/// Whoever came, by where to and with which first line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Canaries(Arc<Mutex<Vec<(IpAddr, Line)>>>);

impl Canaries {
    /// Makes the network, and listens on the ports of http and https of every address.
    pub(crate) fn listen() -> Self {
        ip(&["link", "set", "lo", "up"]);
        let canaries = Self::default();
        for address in PRIVATE.iter().chain([&PUBLIC]) {
            match *address {
                "127.0.0.1" | "::1" => {}
                // It is used at once, without asking who else has it.
                v6 if v6.contains(':') => {
                    ip(&["address", "add", &format!("{v6}/128"), "dev", "lo", "nodad"]);
                }
                v4 => ip(&["address", "add", &format!("{v4}/32"), "dev", "lo"]),
            }
            let address: IpAddr = address.parse().expect("it is one");
            for port in [80, 443] {
                let listener = TcpListener::bind((address, port)).expect("nobody else is here");
                let canaries = canaries.clone();
                thread::spawn(move || {
                    listener.incoming().flatten().for_each(|stream| canaries.note(address, stream));
                });
            }
        }
        canaries
    }

    fn note(&self, address: IpAddr, mut stream: TcpStream) {
        let noted = Line::default();
        // Who sends nothing has come as well.
        self.0.lock().unwrap().push((address, noted.clone()));
        let mut lines = BufReader::new(stream.try_clone().unwrap()).split(b'\n');
        let mut read = || {
            let line = lines.next().and_then(Result::ok).unwrap_or_default();
            String::from_utf8_lossy(&line).trim_end().to_owned()
        };
        let first = read();
        while !read().is_empty() {}
        let answer = match first.split(' ').nth(1) {
            Some("/redirect") => "307 Go On\r\nlocation: http://169.254.169.254/",
            Some("/once") => "204 No Content",
            _ => "500 No",
        };
        *noted.lock().unwrap() = first;
        let answer = format!("HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        // Whoever has gone does not want it.
        let _ = stream.write_all(answer.as_bytes());
    }

    /// The first lines of what came to an address, which is forgotten.
    pub(crate) fn take(&self, address: &str) -> Vec<String> {
        let address: IpAddr = address.parse().unwrap();
        let mut seen = self.0.lock().unwrap();
        let (taken, left): (Vec<_>, Vec<_>) = seen.drain(..).partition(|(at, _)| *at == address);
        *seen = left;
        taken.into_iter().map(|(_, line)| line.lock().unwrap().clone()).collect()
    }

    /// Nobody came to any other.
    pub(crate) fn assert_untouched(&self) {
        let seen = self.0.lock().unwrap();
        assert!(seen.is_empty(), "{seen:?}");
    }
}
