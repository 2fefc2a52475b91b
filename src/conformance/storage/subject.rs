//! The storage under test, with what it needs.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::storage::Storage;

type Reopen = Box<dyn Fn(Arc<dyn Storage>) -> BoxFuture<'static, Arc<dyn Storage>> + Send + Sync>;
type OpenNode = Box<dyn Fn() -> BoxFuture<'static, Arc<dyn Storage>> + Send + Sync>;

/// A storage to be tested: empty, with what has to live as long, and with what can be done with it
/// beside the calls of the trait. It is asked as the storage itself is.
pub struct Subject {
    // Dropped in this order: the storage before what it lives on.
    storage: Arc<dyn Storage>,
    node: Option<OpenNode>,
    reopen: Option<Reopen>,
    cases: u32,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subject").field(&self.storage).finish()
    }
}

/// The storage.
impl Deref for Subject {
    type Target = dyn Storage;

    fn deref(&self) -> &Self::Target {
        &*self.storage
    }
}

impl Subject {
    /// A storage that is empty and that nobody else uses.
    pub fn new(storage: impl Storage) -> Self {
        Self { storage: Arc::new(storage), node: None, reopen: None, cases: 256, kept: Vec::new() }
    }

    /// Keeps what has to live as long as the storage: a temporary folder, a schema of a database.
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(kept));
        self
    }

    /// Says how another node is opened on the same content; the suite opens up to three. Without it
    /// the tests of several nodes are left out.
    pub fn with_nodes<S: Storage, F>(mut self, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = S> + Send + 'static,
    {
        self.node = Some(Box::new(move || {
            let opening = open();
            Box::pin(async move { Arc::new(opening.await) as Arc<dyn Storage> })
        }));
        self
    }

    /// Says how what a crash leaves is opened. It is given the storage, of which no call is under
    /// way any more: to drop it before it opens the same content anew, or to copy its files as they
    /// stand, which comes closer to a crash. Without it the tests of reopening are left out.
    pub fn with_reopening<S: Storage, F>(
        mut self,
        reopen: impl Fn(Arc<dyn Storage>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = S> + Send + 'static,
    {
        self.reopen = Some(Box::new(move |storage| {
            let opening = reopen(storage);
            Box::pin(async move { Arc::new(opening.await) as Arc<dyn Storage> })
        }));
        self
    }

    /// Sets how many sequences of random calls it is compared with the model by; 256 otherwise.
    /// Each begins with a fresh one, so that fewer may be wanted where that takes long.
    pub fn with_cases(mut self, cases: u32) -> Self {
        self.cases = cases;
        self
    }

    pub(super) fn has_nodes(&self) -> bool {
        self.node.is_some()
    }

    pub(super) fn can_be_reopened(&self) -> bool {
        self.reopen.is_some()
    }

    pub(super) fn cases(&self) -> u32 {
        self.cases
    }

    /// One more hold on the storage, for a task.
    pub(super) fn shared(&self) -> Arc<dyn Storage> {
        self.storage.clone()
    }

    /// So many nodes, the storage itself among them.
    pub(super) async fn nodes(&self, count: usize) -> Vec<Arc<dyn Storage>> {
        let mut nodes = vec![self.shared()];
        let open = self.node.as_ref().expect("the rule is left out without");
        while nodes.len() < count {
            nodes.push(open().await);
        }
        nodes
    }

    /// What a crash leaves of it.
    pub(super) async fn reopened(self) -> Self {
        let Self { storage, node: _, reopen, cases, kept } = self;
        let storage = reopen.as_ref().expect("the rule is left out without")(storage).await;
        Self { storage, node: None, reopen, cases, kept }
    }
}
