//! What a thousand bodies without end cost in memory, all at once, in a process that does nothing
//! else.

use std::env;
use std::fs;
use std::process::Command;
use std::time::Duration;

use artifact_triggers::deliverer::Deliverer as _;
use artifact_triggers::request::Request;
use futures_util::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::time::sleep;

use crate::raw::{Raw, raw, read_request};
use crate::{DRIP, GIVEN_UP, local, request};

const AT_ONCE: usize = 1_000;
const MOST: usize = 128 * 1024 * 1024;

/// Tells the process that delivers where to.
const TARGET: &str = "ARTIFACT_TRIGGERS_TEST_TARGET";

/// Sends bodies as fast as they are read, or a lot of one and then drips, so that it stays.
async fn endless(then: Duration) -> Raw {
    raw(move |mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        stream.write_all(&vec![b'a'; 60 * 1024]).await?;
        loop {
            stream.write_all(&[b'a'; 8]).await?;
            sleep(then).await;
        }
    })
    .await
}

#[test]
fn a_thousand_bodies_without_end_at_once_cost_no_more_than_they_may() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for (kind, then) in [("fast", Duration::ZERO), ("dripping", DRIP)] {
        let endpoint = runtime.block_on(endless(then));
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "memory::a_process_that_delivers", "--ignored", "--nocapture"]);
        let output = child.env(TARGET, endpoint.url()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
        let cost = told.lines().find_map(|line| line.strip_prefix("cost: "));
        let cost: usize = cost.unwrap().parse().unwrap();
        println!("{AT_ONCE} {kind} bodies at once: + {} KiB", cost / 1024);
        assert!(cost <= MOST, "{kind}: {cost} bytes");
        assert!(endpoint.connections() >= AT_ONCE, "{kind}: {}", endpoint.connections());
    }
}

/// A size of this process by its name in `/proc/self/status`, in bytes.
fn size(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    1024 * line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<usize>().unwrap()
}

#[tokio::test]
#[ignore = "is run by a_thousand_bodies_without_end_at_once_cost_no_more_than_they_may"]
async fn a_process_that_delivers() {
    let Ok(target) = env::var(TARGET) else { return };
    let deliverer = local().connections_per_host(AT_ONCE).build().unwrap();
    let requests = |count| {
        let request = || Request { timeout: Duration::from_secs(5), ..request(&target) };
        join_all((0..count).map(|_| deliverer.deliver(request())).collect::<Vec<_>>())
    };
    requests(1).await;
    let before = size("VmRSS");
    let answers = tokio::time::timeout(GIVEN_UP, requests(AT_ONCE)).await.unwrap();
    for answer in answers {
        let response = answer.unwrap();
        assert_eq!((response.status, response.body.len()), (200, 1024));
    }
    println!("\ncost: {}", size("VmHWM").saturating_sub(before));
}
