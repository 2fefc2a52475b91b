//! A rule's test: run on a runtime of its own, within a time, and told in words when it is broken.
//!
//! In: what makes a fresh subject. Out: a [`Verdict`].

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

/// How long a rule's test may take: a call that never answers is a failure too.
const LIMIT: Duration = Duration::from_secs(120);
/// Threads of the runtime: enough that calls meet each other on a machine with few cores too.
const THREADS: usize = 4;

/// Makes fresh subjects.
pub(super) type Fresh<S> = Arc<dyn Fn() -> BoxFuture<'static, S> + Send + Sync>;

/// Runs a rule's test; `Err` says why it was left out.
pub(super) type Run<S> =
    Box<dyn Fn(Fresh<S>) -> BoxFuture<'static, Result<(), &'static str>> + Send + Sync>;

/// A test of something that a rule promises.
pub struct Rule<S> {
    name: &'static str,
    run: Run<S>,
}

impl<S> fmt::Debug for Rule<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rule").field(&self.name).finish()
    }
}

/// What came of a rule's test.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The rule was kept.
    Kept,
    /// It was not run.
    LeftOut {
        /// What is missing for it.
        reason: String,
    },
    /// The rule was broken.
    Broken {
        /// The rule's test, what was expected and what was found.
        message: String,
    },
}

impl<S: Send + 'static> Rule<S> {
    pub(super) fn new(name: &'static str, run: Run<S>) -> Self {
        Self { name, run }
    }

    /// The name of the test; it begins with the rule's number.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the test on a fresh subject.
    pub fn check<F: Future<Output = S> + Send + 'static>(
        &self,
        fresh: impl Fn() -> F + Send + Sync + 'static,
    ) -> Verdict {
        let run = (self.run)(Arc::new(move || Box::pin(fresh())));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()
            .expect("the system gives threads");
        // A task of its own, so that a panic is an answer and not the end.
        let task = async { tokio::time::timeout(LIMIT, tokio::spawn(run)).await };
        let verdict = match runtime.block_on(task) {
            Ok(Ok(Ok(()))) => Verdict::Kept,
            Ok(Ok(Err(reason))) => Verdict::LeftOut { reason: reason.to_owned() },
            Ok(Err(failure)) => self.broken(&words(failure)),
            Err(_) => self.broken(&format!("expected it to end, found it at work after {LIMIT:?}")),
        };
        // What hangs must not hold up the tests that follow.
        runtime.shutdown_background();
        verdict
    }

    fn broken(&self, found: &str) -> Verdict {
        Verdict::Broken { message: format!("{} is broken: {found}", self.name) }
    }

    /// Runs the test of a name and panics if its rule is broken.
    #[doc(hidden)]
    pub fn assert<F: Future<Output = S> + Send + 'static>(
        rules: Vec<Self>,
        name: &str,
        fresh: impl Fn() -> F + Send + Sync + 'static,
    ) {
        let rule = rules.into_iter().find(|rule| rule.name == name).expect("it is of this suite");
        match rule.check(fresh) {
            Verdict::Kept => {}
            Verdict::LeftOut { reason } => println!("{name} was left out: {reason}"),
            Verdict::Broken { message } => panic!("{message}"),
        }
    }
}

/// What a panic said.
fn words(failure: tokio::task::JoinError) -> String {
    let Ok(payload) = failure.try_into_panic() else { return "it was cancelled".to_owned() };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => {
            payload.downcast_ref::<&str>().map_or("it panicked".to_owned(), |text| (*text).into())
        }
    }
}
