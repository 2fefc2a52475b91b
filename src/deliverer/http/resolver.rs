//! Resolvers: from a name to its addresses.

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Finds the addresses of a name. What it answers is judged before it is dialled.
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// The addresses of a name.
    ///
    /// # Errors
    /// The name has none, or nobody could be asked. Either way the delivery is tried again.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Asks the system, for at most a few names at once, since each look-up holds a thread of the
/// runtime's.
///
/// A look-up that the system has begun cannot be cancelled. One that is not waited for any longer
/// still counts until it ends, so that look-ups that hang never take up more threads than that.
#[derive(Debug)]
pub struct SystemResolver {
    turns: Arc<Semaphore>,
}

impl SystemResolver {
    /// Looks up at most so many names at once; none at all if it is 0.
    pub fn new(at_once: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))) }
    }

    async fn look_up(
        &self,
        ask: impl FnOnce() -> io::Result<Vec<IpAddr>> + Send + 'static,
    ) -> io::Result<Vec<IpAddr>> {
        let turn = self.turns.clone().acquire_owned().await.map_err(io::Error::other)?;
        let answer = spawn_blocking(move || {
            let _turn = turn;
            ask()
        });
        answer.await.map_err(io::Error::other)?
    }
}

impl Default for SystemResolver {
    /// 32 names at once.
    fn default() -> Self {
        Self::new(32)
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let name = name.to_owned();
        let ask =
            move || Ok((name.as_str(), 0).to_socket_addrs()?.map(|found| found.ip()).collect());
        self.look_up(ask).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_look_up_that_nobody_waits_for_keeps_its_turn_until_it_ends() {
        let resolver = SystemResolver::new(1);
        let (started, is_started) = mpsc::channel();
        let (end, told_to_end) = mpsc::channel::<()>();
        let hung = resolver.look_up(move || {
            started.send(()).map_err(io::Error::other)?;
            told_to_end.recv().map_err(io::Error::other)?;
            Ok(Vec::new())
        });
        assert!(hung.now_or_never().is_none(), "abandoned after its first step");
        is_started.recv().unwrap();
        assert_eq!(resolver.turns.available_permits(), 0);
        end.send(()).unwrap();
        let next = resolver.look_up(|| Ok(vec![IpAddr::from([127, 0, 0, 1])]));
        assert_eq!(next.await.unwrap(), [IpAddr::from([127, 0, 0, 1])]);
    }

    #[tokio::test]
    async fn a_look_up_that_panics_is_an_error_and_gives_its_turn_back() {
        let resolver = SystemResolver::new(1);
        assert!(resolver.look_up(|| panic!("as it should")).await.is_err());
        assert_eq!(resolver.look_up(|| Ok(Vec::new())).await.unwrap(), Vec::<IpAddr>::new());
    }
}
