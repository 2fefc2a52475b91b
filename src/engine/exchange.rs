//! Exchange: the request of an attempt on its way and back, with a token if the endpoint takes one.
//!
//! In: a signed request. Out: what was answered, with what is secret taken out of it, or why there
//! was no token to send it with.

use std::time::Duration;

use super::Core;
use super::attempt::Later;
use super::credentials::Credentials;
use super::fetched::Answer;
use super::gate::{Asking, RunId};
use super::hidden::Hidden;
use super::place::Place;
use super::token::{self, NoToken, Token};
use crate::action::RunRef;
use crate::clock::Timestamp;
use crate::deliverer::DeliverError;
use crate::delivery::run::run_of;
use crate::delivery::{EndpointKey, Outcome};
use crate::request::{Headers, Request, Response};
use crate::secret::Secret;
use crate::signature::Scheme;
use crate::trigger::{ClientCredentials, Endpoint, EndpointAuth, Trigger};

/// A token, or that there is none, and what it was asked for with.
#[derive(Debug, Clone)]
pub(super) struct Given {
    client: ClientCredentials,
    token: Result<Token, NotGiven>,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NotGiven {
    /// The token endpoint gave none.
    No(NoToken),
    /// It was not asked, and is not before this.
    Later(Timestamp),
}

/// How soon to ask a token endpoint that has no room, where only an answer of it makes some.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What came of the request of an attempt.
pub(super) enum Exchanged {
    Answered {
        answer: Result<Response, DeliverError>,
        /// What the answer says that it started.
        run: Option<RunRef>,
    },
    /// There was no token to send it with.
    WithoutToken(NoToken),
    /// It was not sent.
    Later(Later),
}

/// Why a request is not sent with a token.
enum Untaken {
    NoToken(NoToken),
    Later(Later),
}

impl Core {
    /// Sends a request, as often as that takes: twice where a token is taken no more. The place is
    /// left while a token is asked for.
    pub(super) async fn exchange(
        &self,
        trigger: &Trigger,
        endpoint: &Endpoint,
        request: Request,
        (credentials, place): (&Credentials, &mut Place),
    ) -> Exchanged {
        let (mut tokens, url) = (Vec::new(), request.url.clone());
        // A signer may prove itself by other fields than that of its signature.
        let signed = match &endpoint.scheme {
            Scheme::Signer { .. } => request.headers.clone(),
            _ => Headers::new(),
        };
        let answer = match &credentials.auth {
            Some(EndpointAuth::OAuth2(client)) => {
                let sending = self.with_token(trigger, client, request, (&mut tokens, place));
                // Boxed, since every attempt would have to be so large otherwise.
                match Box::pin(sending).await {
                    Ok(answer) => answer,
                    Err(Untaken::Later(later)) => return Exchanged::Later(later),
                    Err(Untaken::NoToken(NoToken { outcome, reason })) => {
                        let hidden = Hidden::of(endpoint, credentials, &tokens);
                        let reason = hidden.out_of_text(&reason);
                        return Exchanged::WithoutToken(NoToken { outcome, reason });
                    }
                }
            }
            _ => self.deliverer.deliver(request).await,
        };
        let says_nothing = |response: &Response| {
            response.body.is_empty() && response.headers.only("location").is_none()
        };
        if answer.as_ref().is_ok_and(says_nothing) {
            return Exchanged::Answered { answer, run: None };
        }
        let hidden = Hidden::of(endpoint, credentials, &tokens).and_of_signer(&signed);
        let answer = hidden.out_of(answer);
        let run = answer.as_ref().ok().and_then(|answer| run_of(&url, answer));
        // A field of the answer may repeat what is secret as well as its body.
        let run = run.filter(|run| {
            let shown =
                |text: Option<&str>| text.is_none_or(|text| hidden.out_of_text(text) == text);
            shown(run.id()) && shown(run.url())
        });
        Exchanged::Answered { answer, run }
    }

    /// Sends a request with a token; a second time, with a new one, where the endpoint takes the
    /// one that was kept no more.
    async fn with_token(
        &self,
        trigger: &Trigger,
        client: &ClientCredentials,
        request: Request,
        (tokens, place): (&mut Vec<Secret>, &mut Place),
    ) -> Result<Result<Response, DeliverError>, Untaken> {
        let end = self.clock.now() + request.timeout;
        let mut refused = None;
        loop {
            let left = end.since(self.clock.now());
            let asked = token::request(client, &trigger.spec.scope, left / 2);
            let (token, was_kept) =
                self.token(trigger, client, asked, (refused.as_ref(), place)).await?;
            tokens.push(token.text.clone());
            if end <= self.clock.now() {
                let reason = "the token endpoint answered too late".to_owned();
                return Err(Untaken::NoToken(NoToken { outcome: Outcome::Transient, reason }));
            }
            if !self.is_back(place) {
                return Err(Untaken::Later(Later::OnceThereIsRoom));
            }
            let mut sent = request.clone();
            if sent.headers.all("authorization").next().is_none() {
                sent.headers.push("authorization", token::bearer(&token.text).expose());
            }
            sent.timeout = end.since(self.clock.now());
            let answer = self.deliverer.deliver(sent).await;
            let is_refused = matches!(&answer, Ok(Response { status: 401, .. }));
            if !is_refused || !was_kept || refused.is_some() {
                return Ok(answer);
            }
            refused = Some(token);
        }
    }

    /// A token of a trigger: the one that is kept, unless the endpoint refused it, or a new one,
    /// for which the place is left. Asked for by one at a time, through the deliverer, whose guard
    /// covers it, and within the limits of the token endpoint.
    async fn token(
        &self,
        trigger: &Trigger,
        client: &ClientCredentials,
        request: Request,
        (refused, place): (Option<&Token>, &mut Place),
    ) -> Result<(Token, bool), Untaken> {
        let is_refused = |given: &Given| refused.is_some() && given.token.as_ref().ok() == refused;
        let will_do = |given: &Given| given.client == *client && !is_refused(given);
        if !self.tokens.has(&trigger.id, self.clock.now(), will_do) {
            place.leave();
        }
        let fetch = async {
            let token = self.ask_for_token(request, place.run()).await;
            let now = self.clock.now();
            let until = match &token {
                Ok(token) => token.until,
                Err(NotGiven::No(_)) => now + token::PAUSE,
                // Nobody was asked.
                Err(NotGiven::Later(_)) => now,
            };
            Answer { value: Given { client: client.clone(), token }, until }
        };
        let (given, was_kept) = self.tokens.get(trigger.id, &*self.clock, will_do, fetch).await;
        match given.token {
            Ok(token) => Ok((token, was_kept)),
            Err(NotGiven::No(no)) => Err(Untaken::NoToken(no)),
            Err(NotGiven::Later(at)) => Err(Untaken::Later(Later::At(at))),
        }
    }

    /// Asks a token endpoint, if there is room at it.
    async fn ask_for_token(&self, request: Request, run: RunId) -> Result<Token, NotGiven> {
        let origin = EndpointKey::of_url(&request.url);
        let runs = *self.runs.borrow();
        let slot = match self.gate.enter(&origin, Asking { run, runs }) {
            Ok(slot) => slot,
            Err(opens) => {
                let again = self.clock.now() + ASK_AGAIN;
                return Err(NotGiven::Later(opens.map_or(again, |opens| opens.max(again))));
            }
        };
        let answer = self.deliverer.deliver(request).await;
        let now = self.clock.now();
        let (outcome, answered) = (Outcome::of(&answer, now), answer.is_ok());
        slot.end(&outcome, answered, self.entropy.fraction());
        token::read(&answer, now).map_err(NotGiven::No)
    }
}
