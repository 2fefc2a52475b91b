//! Exchange: the request of an attempt on its way and back, with a token if the endpoint takes one.
//!
//! In: a signed request. Out: what was answered, with what is secret taken out of it, or why there was
//! no token to send it with.

use super::Core;
use super::credentials::Credentials;
use super::fetched::Answer;
use super::hidden::Hidden;
use super::token::{self, NoToken, Token};
use crate::deliverer::DeliverError;
use crate::delivery::Outcome;
use crate::request::{Headers, Request, Response};
use crate::secret::Secret;
use crate::signature::Scheme;
use crate::trigger::{ClientCredentials, Endpoint, EndpointAuth, Trigger};

/// A token, or that there is none, and what it was asked for with.
#[derive(Debug, Clone)]
pub(super) struct Given {
    client: ClientCredentials,
    token: Result<Token, NoToken>,
}

impl Core {
    /// Sends a request, as often as that takes: twice where a token is taken no more.
    pub(super) async fn exchange(
        &self,
        trigger: &Trigger,
        endpoint: &Endpoint,
        request: Request,
        credentials: &Credentials,
    ) -> Result<Result<Response, DeliverError>, NoToken> {
        let mut tokens = Vec::new();
        // A signer may prove itself by other fields than that of its signature.
        let signed = match &endpoint.scheme {
            Scheme::Signer { .. } => request.headers.clone(),
            _ => Headers::new(),
        };
        let answer = match &credentials.auth {
            Some(EndpointAuth::OAuth2(client)) => {
                self.with_token(trigger, client, request, &mut tokens).await
            }
            _ => Ok(self.deliverer.deliver(request).await),
        };
        if matches!(&answer, Ok(Ok(response)) if response.body.is_empty()) {
            return answer;
        }
        let hidden = Hidden::of(endpoint, credentials, &tokens).and_of_signer(&signed);
        match answer {
            Ok(answer) => Ok(hidden.out_of(answer)),
            Err(NoToken { outcome, reason }) => {
                Err(NoToken { outcome, reason: hidden.out_of_text(&reason) })
            }
        }
    }

    /// Sends a request with a token; a second time, with a new one, where the endpoint takes the one
    /// that was kept no more.
    async fn with_token(
        &self,
        trigger: &Trigger,
        client: &ClientCredentials,
        request: Request,
        tokens: &mut Vec<Secret>,
    ) -> Result<Result<Response, DeliverError>, NoToken> {
        let end = self.clock.now() + request.timeout;
        let mut refused = None;
        loop {
            let left = end.since(self.clock.now());
            let asked = token::request(client, &trigger.spec.scope, left / 2);
            let (token, was_kept) = self.token(trigger, client, asked, refused.as_ref()).await?;
            tokens.push(token.text.clone());
            if end <= self.clock.now() {
                let reason = "the token endpoint answered too late".to_owned();
                return Err(NoToken { outcome: Outcome::Transient, reason });
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

    /// A token of a trigger: the one that is kept, unless the endpoint refused it, or a new one. Asked
    /// for by one at a time, through the deliverer, whose guard covers it.
    async fn token(
        &self,
        trigger: &Trigger,
        client: &ClientCredentials,
        request: Request,
        refused: Option<&Token>,
    ) -> Result<(Token, bool), NoToken> {
        let is_refused = |given: &Given| refused.is_some() && given.token.as_ref().ok() == refused;
        let will_do = |given: &Given| given.client == *client && !is_refused(given);
        let fetch = async {
            let answer = self.deliverer.deliver(request).await;
            let now = self.clock.now();
            let token = token::read(&answer, now);
            let until = token.as_ref().map_or(now + token::PAUSE, |token| token.until);
            Answer { value: Given { client: client.clone(), token }, until }
        };
        let (given, was_kept) = self.tokens.get(trigger.id, &*self.clock, will_do, fetch).await;
        given.token.map(|token| (token, was_kept))
    }
}
