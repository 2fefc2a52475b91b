//! Sign: makes the request of an attempt, signed by its endpoint's scheme.
//!
//! In: deliveries that go in one request. Out: the [`Request`], or that it could not be signed. A
//! signer is the embedder's and may hang or panic; whatever it does uses up no attempt.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;

use url::Url;

use super::Core;
use super::credentials::Credentials;
use crate::clock::Timestamp;
use crate::delivery::run::MAX_RUN_BYTES;
use crate::delivery::{Claimed, Lease};
use crate::event::Scope;
use crate::id::MessageId;
use crate::observer::Transition;
use crate::payload::{BatchForm, Payload};
use crate::request::{Headers, Request, frames_the_message, is_field_name, is_field_text};
use crate::signature::{Message, Scheme, SignError, standard_webhooks};
use crate::trigger::{Endpoint, Target, Trigger};

impl Core {
    /// The request of an attempt; none of an action.
    pub(super) async fn signed_request(
        &self,
        trigger: &Trigger,
        going: &[Claimed],
        credentials: &Credentials,
    ) -> Result<Option<Request>, SignError> {
        let Target::Webhook(endpoint) = &trigger.spec.target else { return Ok(None) };
        let outgoing = Outgoing::of(going, endpoint, trigger.spec.policy.batch.is_some());
        let now = self.clock.now();
        let signature = match &endpoint.scheme {
            Scheme::Signer { name } => {
                let limit = self.timeout_of(trigger).min(self.options.lease / 4);
                let leases: Vec<Lease> = going.iter().map(|claimed| claimed.lease).collect();
                let message = outgoing.message(now);
                self.ask_signer(name, &trigger.spec.scope, &message, (&leases, limit)).await
            }
            scheme => scheme.sign(&credentials.secrets, &outgoing.message(now)),
        };
        match signature {
            Ok(signature) => {
                Ok(Some(self.request(trigger, endpoint, &outgoing, signature, credentials)))
            }
            Err(error) => {
                self.observers.tell(&Transition::NotSigned { trigger: trigger.id, error: &error });
                Err(error)
            }
        }
    }

    /// What a registered signer says, within its time and whatever it does.
    async fn ask_signer(
        &self,
        name: &str,
        scope: &Scope,
        message: &Message<'_>,
        (leases, limit): (&[Lease], Duration),
    ) -> Result<Headers, SignError> {
        let Some(signer) = self.signers.get(name) else {
            return Err(SignError::NoSigner { name: name.to_owned() });
        };
        let failed = |reason: String| Err(SignError::Unavailable { reason });
        // Within the async block, since what makes the future may panic too.
        let signing = async {
            signer.check(scope).map_err(|reason| SignError::Unavailable { reason })?;
            signer.sign(message).await
        };
        let signing = AssertUnwindSafe(signing).catch_unwind();
        match self.within(leases, limit, signing).await {
            Some(Ok(Ok(fields))) if is_sendable(&fields) => Ok(with_id_and_time(fields, message)),
            Some(Ok(Ok(_))) => {
                failed("it gave a field twice, or one that no request may have".into())
            }
            Some(Ok(refused)) => refused,
            Some(Err(_)) => failed("it panicked".to_owned()),
            None => failed(format!("no answer within {limit:?}")),
        }
    }

    /// The request of an attempt as of now, but for what only a registered signer could add.
    pub(super) fn shown_request(
        &self,
        trigger: &Trigger,
        going: &[Claimed],
        now: Timestamp,
    ) -> Option<Request> {
        let Target::Webhook(endpoint) = &trigger.spec.target else { return None };
        let outgoing = Outgoing::of(going, endpoint, trigger.spec.policy.batch.is_some());
        let credentials = Credentials::at_hand(endpoint, now);
        let message = outgoing.message(now);
        let signature = endpoint.scheme.sign(&credentials.secrets, &message).unwrap_or_default();
        let signature = with_id_and_time(signature, &message);
        Some(self.request(trigger, endpoint, &outgoing, signature, &credentials))
    }

    fn request(
        &self,
        trigger: &Trigger,
        endpoint: &Endpoint,
        outgoing: &Outgoing<'_>,
        signature: Headers,
        credentials: &Credentials,
    ) -> Request {
        Request {
            method: outgoing.payload.method(),
            url: outgoing.url.clone(),
            headers: outgoing.headers(endpoint, signature, credentials),
            body: outgoing.payload.body.clone(),
            timeout: self.timeout_of(trigger),
            scope: trigger.spec.scope.clone(),
            response_bytes: if endpoint.format.starts_runs() { MAX_RUN_BYTES } else { 0 },
        }
    }
}

/// What an attempt sends.
struct Outgoing<'a> {
    id: String,
    url: Url,
    payload: Cow<'a, Payload>,
}

impl<'a> Outgoing<'a> {
    /// What is sent of what goes together, of a trigger that batches or one that does not. Of one
    /// that does it is a batch of however few, if there is a form for it.
    fn of(going: &'a [Claimed], endpoint: &Endpoint, batched: bool) -> Self {
        let first = &going[0];
        match BatchForm::of(&first.payload).filter(|_| batched) {
            Some(form) => {
                let members = going.iter().map(|one| (one.delivery.message_id, &one.payload));
                let ids: Vec<MessageId> = members.clone().map(|(id, _)| id).collect();
                let payload = Cow::Owned(form.join(members));
                let id = MessageId::of_batch(&ids).to_string();
                Self { id, url: endpoint.url.clone(), payload }
            }
            None => Self {
                id: first.delivery.message_id.to_string(),
                url: first.payload.url(&endpoint.url),
                payload: Cow::Borrowed(&first.payload),
            },
        }
    }

    /// What is signed: the bytes that are sent.
    fn message(&self, now: Timestamp) -> Message<'_> {
        let message = Message::new(&self.id, now, &self.payload.body)
            .with_method(self.payload.method())
            .with_url(&self.url);
        let mut types = self.payload.fields().filter(|(name, _)| *name == "content-type");
        match types.next() {
            Some((_, content_type)) => message.with_content_type(content_type),
            None => message,
        }
    }

    /// The header fields: those of the signature first, so that no other can stand before them, and
    /// no other of their names.
    fn headers(
        &self,
        endpoint: &Endpoint,
        signature: Headers,
        credentials: &Credentials,
    ) -> Headers {
        let signed = signature.len();
        let mut headers = signature;
        let own = self.payload.fields().map(|(name, value)| (name, value.as_bytes()));
        let proof = credentials.field();
        let proof = proof.iter().map(|(name, value)| (name.as_str(), value.expose()));
        let others: Headers = own
            .chain(proof)
            .chain(endpoint.headers.iter())
            .filter(|(name, _)| {
                !headers.iter().take(signed).any(|(taken, _)| taken.eq_ignore_ascii_case(name))
            })
            .collect();
        headers.extend(others);
        headers
    }
}

/// Whether a signer's fields can go into a request: what cannot is its fault, not the delivery's.
fn is_sendable(fields: &Headers) -> bool {
    fields.iter().all(|(name, value)| {
        is_field_name(name)
            && is_field_text(value)
            && !frames_the_message(name)
            && fields.only(name).is_some()
    })
}

/// The fields of a signer, with a message's id and time if it gave none: receivers tell messages
/// apart by them, whoever signed.
fn with_id_and_time(mut fields: Headers, message: &Message<'_>) -> Headers {
    for (name, value) in standard_webhooks::id_and_time(message) {
        if fields.all(&name).next().is_none() {
            fields.push(name, value);
        }
    }
    fields
}
