//! Wrong deliverers: the HTTP deliverer, but for one fault each.

use std::future::{pending, ready};
use std::sync::Arc;

use artifact_triggers::conformance::deliverer::{Subject, rules};
use artifact_triggers::deliverer::address::AddressPolicy;
use artifact_triggers::deliverer::http::HttpDeliverer;
use artifact_triggers::deliverer::{DeliverError, Deliverer};
use artifact_triggers::event::Scope;
use artifact_triggers::request::{Headers, Method, Request, Response, frames_the_message};
use async_trait::async_trait;

use super::{assert_breaks, broken};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    BodyPrintedAnew,
    MethodForgotten,
    HeaderDropped,
    HeaderDoubled,
    FramingTaken,
    RedirectFollowed,
    TriedAgain,
    TimeoutForgotten,
    AddressTold,
    EverythingIsBroken,
    BodyAwaited,
    LeftRunning,
    OneAtATime,
    UrlsRefused,
}

#[derive(Debug)]
struct Faulty {
    fault: Fault,
    inner: Arc<HttpDeliverer>,
    turn: tokio::sync::Mutex<()>,
}

fn http() -> HttpDeliverer {
    let policy = AddressPolicy::public_only().allow_loopback().allow_http();
    HttpDeliverer::builder().address_policy(policy).build().unwrap()
}

fn assert_fault_breaks(rule: &str, fault: Fault) {
    let faulty = move || {
        let inner = Arc::new(http());
        ready(Subject::new(Faulty { fault, inner, turn: tokio::sync::Mutex::default() }))
    };
    assert_breaks(rule, &broken(rules(), faulty));
}

#[async_trait]
impl Deliverer for Faulty {
    async fn deliver(&self, request: Request) -> Result<Response, DeliverError> {
        match self.fault {
            Fault::LeftRunning => {
                let inner = self.inner.clone();
                tokio::spawn(async move { inner.deliver(request).await }).await.unwrap()
            }
            Fault::OneAtATime => {
                let _turn = self.turn.lock().await;
                self.inner.deliver(request).await
            }
            _ => {
                let answer = self.inner.deliver(self.changed(request.clone())).await;
                self.answered(request, answer).await
            }
        }
    }

    fn check_url(&self, scope: &Scope, url: &url::Url) -> Result<(), String> {
        match self.fault {
            Fault::UrlsRefused => Err("it is not to be dialled".to_owned()),
            _ => self.inner.check_url(scope, url),
        }
    }
}

impl Faulty {
    /// What is sent instead.
    fn changed(&self, mut request: Request) -> Request {
        let fields = request.headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec()));
        let fields: Vec<_> = fields.collect();
        let without = |out: fn(&str) -> bool| -> Headers {
            fields.clone().into_iter().filter(|(name, _)| !out(name)).collect()
        };
        match self.fault {
            Fault::BodyPrintedAnew => {
                if let Ok(value) = serde_json::from_slice::<serde_json::Value>(&request.body) {
                    request.body = value.to_string().into_bytes().into();
                }
            }
            Fault::MethodForgotten => request.method = Method::Post,
            Fault::HeaderDropped => request.headers = without(|name| name == "webhook-id"),
            Fault::HeaderDoubled => {
                let again = fields.into_iter().filter(|(name, _)| name == "webhook-id");
                request.headers.extend(again);
            }
            Fault::FramingTaken => request.headers = without(frames_the_message),
            _ => {}
        }
        request
    }

    /// What is made of the answer.
    async fn answered(
        &self,
        mut request: Request,
        answer: Result<Response, DeliverError>,
    ) -> Result<Response, DeliverError> {
        match (self.fault, answer) {
            (Fault::RedirectFollowed, Ok(Response { status: 300..=399, headers, .. })) => {
                let location = headers.only("location").unwrap();
                request.url = std::str::from_utf8(location).unwrap().parse().unwrap();
                self.inner.deliver(request).await
            }
            (Fault::TriedAgain, Ok(Response { status: 503, .. })) => {
                self.inner.deliver(request).await
            }
            (Fault::TimeoutForgotten, Err(DeliverError::Timeout { .. })) => pending().await,
            (Fault::AddressTold, Err(DeliverError::Connect { .. })) => {
                let reason = format!("{} does not answer", request.url);
                Err(DeliverError::Connect { reason })
            }
            (Fault::EverythingIsBroken, Err(DeliverError::Connect { reason })) => {
                Err(DeliverError::Broken { reason })
            }
            (Fault::BodyAwaited, Ok(response)) => match response.headers.only("content-length") {
                Some(length) if length != response.body.len().to_string().as_bytes() => {
                    Err(DeliverError::Broken { reason: "the body broke off".to_owned() })
                }
                _ => Ok(response),
            },
            (_, answer) => answer,
        }
    }
}

#[test]
fn the_http_deliverer_breaks_nothing() {
    assert_eq!(broken(rules(), || ready(Subject::new(http()))), [].into());
}

#[test]
fn rule_01_the_body_is_printed_anew() {
    assert_fault_breaks("01", Fault::BodyPrintedAnew);
}

#[test]
fn rule_01_whatever_is_asked_for_is_posted() {
    assert_fault_breaks("01", Fault::MethodForgotten);
}

#[test]
fn rule_01_a_header_field_is_dropped() {
    assert_fault_breaks("01", Fault::HeaderDropped);
}

#[test]
fn rule_01_a_header_field_is_sent_twice() {
    assert_fault_breaks("01", Fault::HeaderDoubled);
}

#[test]
fn rule_01_fields_that_frame_the_message_are_left_out_and_not_refused() {
    assert_fault_breaks("01", Fault::FramingTaken);
}

#[test]
fn rule_02_a_redirect_is_followed() {
    assert_fault_breaks("02", Fault::RedirectFollowed);
}

#[test]
fn rule_02_a_busy_endpoint_is_tried_again() {
    assert_fault_breaks("02", Fault::TriedAgain);
}

#[test]
fn rule_03_the_time_out_is_forgotten() {
    assert_fault_breaks("03", Fault::TimeoutForgotten);
}

#[test]
fn rule_04_a_body_that_breaks_off_is_an_error() {
    assert_fault_breaks("04", Fault::BodyAwaited);
}

#[test]
fn rule_05_an_error_tells_the_address() {
    assert_fault_breaks("05", Fault::AddressTold);
}

#[test]
fn rule_05_a_closed_port_is_told_as_a_broken_exchange() {
    assert_fault_breaks("05", Fault::EverythingIsBroken);
}

#[test]
fn rule_06_a_dropped_request_goes_on() {
    assert_fault_breaks("06", Fault::LeftRunning);
}

#[test]
fn rule_07_one_request_at_a_time() {
    assert_fault_breaks("07", Fault::OneAtATime);
}

#[test]
fn rule_08_the_check_refuses_what_is_dialled() {
    assert_fault_breaks("08", Fault::UrlsRefused);
}
