//! Notifications: a node that stored something to deliver says so to those that listen, a few times
//! a second at most, so that they look at once. Only a hint: what a lost one missed is found by
//! looking.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::first_due::Noted;
use super::{OpenError, PostgresStorage, Shared, connection};
use crate::clock::Timestamp;
use crate::id::OrderingKey;

/// How long after one notification there is no other.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether there is something to say.
#[derive(Debug, Default)]
pub(super) struct News {
    is_new: AtomicBool,
    /// Whether a task says so already.
    is_told: AtomicBool,
}

impl Shared {
    /// Takes in what was written, and says to other nodes if something of it can be claimed.
    pub(super) fn tell_all(self: &Arc<Self>, noted: &Noted) {
        self.note(noted);
        if !self.notifies || !noted.is_claimable() {
            return;
        }
        self.news.is_new.store(true, Ordering::SeqCst);
        if !self.news.is_told.swap(true, Ordering::SeqCst) {
            tokio::spawn(Arc::clone(self).tell());
        }
    }

    async fn tell(self: Arc<Self>) {
        loop {
            while self.news.is_new.swap(false, Ordering::SeqCst) {
                // In a transaction of its own: one that notifies commits alone in its database.
                let notify = "SELECT pg_notify($1, '')";
                let _ = self.database.query(notify, &[&self.channel()]).await;
                tokio::time::sleep(PAUSE).await;
            }
            self.news.is_told.store(false, Ordering::SeqCst);
            // Who came in between saw that it was told already.
            let has_more = self.news.is_new.load(Ordering::SeqCst);
            if !has_more || self.news.is_told.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }

    /// The name that those of this schema listen to.
    fn channel(&self) -> String {
        // A schema's name may be too long for a word more, and have any characters.
        let schema = self.database.schema.as_bytes();
        format!("artifact_triggers_{}", OrderingKey::derived(Timestamp::UNIX_EPOCH, &[schema]))
    }
}

/// Tells when another node has something to deliver. Ends with its connection.
#[derive(Debug)]
pub struct Listener {
    shared: Arc<Shared>,
    notified: mpsc::Receiver<()>,
    /// Keeps the connection open.
    _client: Client,
}

impl Listener {
    /// Waits for a hint; `None` once the connection is gone: listen anew, and meanwhile do without.
    ///
    /// # Cancel safety
    /// Nothing is lost if it is dropped.
    pub async fn next(&mut self) -> Option<()> {
        self.notified.recv().await?;
        self.shared.first_due.look_again();
        Some(())
    }
}

impl PostgresStorage {
    /// Listens, on a connection of its own, to what other nodes say that they stored. By the URL,
    /// without TLS. Whoever gets a hint wakes the engine of this storage by
    /// [`Engine::wake`](crate::engine::Engine::wake).
    ///
    /// Nodes that publish and deliver need none: they know what they publish. One that only
    /// delivers finds what others publish at its next
    /// [refresh](crate::engine::EngineOptions::refresh) if it does not listen.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn listen(&self, url: &str) -> Result<Listener, OpenError> {
        let (client, mut connection) = connection::config(url)?.connect(NoTls).await?;
        // Hints that nobody has taken yet say no more than one does.
        let (sender, notified) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                if matches!(message, AsyncMessage::Notification(_)) {
                    let _ = sender.try_send(());
                }
            }
        });
        client.batch_execute(&format!("LISTEN {}", self.shared.channel())).await?;
        Ok(Listener { shared: self.shared.clone(), notified, _client: client })
    }
}
