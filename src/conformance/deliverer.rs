//! The suite of [`Deliverer`].
//!
//! In: a [`Subject`] that speaks HTTP/1.1 and may dial `http://127.0.0.1`, whose endpoints the
//! suite plays itself, on ports that the system gives. A deliverer that speaks something else has
//! no use for it beyond the rules' words.

mod ending;
mod endpoint;
mod exchange;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use super::rule::Run;
use super::{expect_eq, suite};
use crate::deliverer::Deliverer;

suite! {
    /// Makes a test of each rule of [`Deliverer`](crate::deliverer::Deliverer), of what an async
    /// function makes: a [`Subject`](crate::conformance::deliverer::Subject).
    ///
    #[cfg_attr(feature = "http-aws-lc-rs", doc = "```")]
    #[cfg_attr(not(feature = "http-aws-lc-rs"), doc = "```ignore")]
    /// use artifact_triggers::conformance::deliverer::Subject;
    /// use artifact_triggers::deliverer::address::AddressPolicy;
    /// use artifact_triggers::deliverer::http::HttpDeliverer;
    ///
    /// async fn my_deliverer() -> Subject {
    ///     let policy = AddressPolicy::public_only().allow_loopback().allow_http();
    ///     Subject::new(HttpDeliverer::builder().address_policy(policy).build().unwrap())
    /// }
    ///
    /// artifact_triggers::deliverer_conformance!(my_deliverer);
    /// ```
    macro deliverer_conformance($) of deliverer::Subject;
    exchange by each {
        rule_01_the_body_and_the_header_arrive_as_they_were_given,
        rule_01_the_method_is_the_one_that_was_given,
        rule_01_fields_of_one_name_keep_their_order,
        rule_01_fields_that_frame_the_message_are_refused_before_anything_is_dialled,
        rule_02_every_status_is_answered_and_none_followed,
        rule_02_nothing_is_tried_again,
        rule_04_a_body_that_breaks_drips_or_never_ends_costs_its_rest_not_the_status,
    }
    ending by each {
        rule_03_an_endpoint_that_never_answers_ends_in_a_time_out,
        rule_05_an_error_is_of_the_kind_that_says_what_follows,
        rule_05_errors_tell_no_address_path_query_or_header,
        rule_06_a_request_that_is_dropped_is_abandoned,
        rule_07_any_number_of_requests_run_side_by_side,
        rule_08_a_url_that_is_dialled_passes_the_check,
    }
}

/// A deliverer to be tested, with what has to live as long. It is asked as the deliverer itself is.
pub struct Subject {
    // Dropped in this order.
    deliverer: Arc<dyn Deliverer>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subject").field(&self.deliverer).finish()
    }
}

/// The deliverer.
impl Deref for Subject {
    type Target = dyn Deliverer;

    fn deref(&self) -> &Self::Target {
        &*self.deliverer
    }
}

impl Subject {
    /// A deliverer that may dial this machine without TLS.
    pub fn new(deliverer: impl Deliverer) -> Self {
        Self { deliverer: Arc::new(deliverer), kept: Vec::new() }
    }

    /// Keeps what has to live as long as the deliverer.
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(kept));
        self
    }
}

/// Runs a rule with a subject.
fn each<F>(rule: impl Fn(Subject) -> F + Send + Sync + Copy + 'static) -> Run<Subject>
where
    F: Future<Output = ()> + Send + 'static,
{
    Box::new(move |fresh| {
        Box::pin(async move {
            rule(fresh().await).await;
            Ok(())
        })
    })
}
