//! Token: asks a token endpoint for an access token (OAuth 2.0, RFC 6749, section 4.4).
//!
//! In: the credentials of a client. Out: a request for a token, and the token in what is answered.
//! Nothing here awaits.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use url::form_urlencoded;

use crate::clock::Timestamp;
use crate::deliverer::DeliverError;
use crate::delivery::Outcome;
use crate::event::Scope;
use crate::request::{Headers, Method, Request, Response};
use crate::secret::Secret;
use crate::trigger::{ClientAuth, ClientCredentials, Credential};

/// The most of an answer that is read: signed tokens take some KiB.
pub(super) const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The longest token.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// How long a token counts of which it is not said. An endpoint that takes it no more says 401.
const UNSAID: Duration = Duration::from_secs(300);
/// How long a token endpoint that gave none is left alone.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// How much sooner than it says a token ends here, but at most a tenth of its time.
const LEEWAY: Duration = Duration::from_secs(30);

/// A token, and until when it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: Secret,
    pub(super) until: Timestamp,
}

/// Why there is no token. What follows for the delivery is what would of an endpoint that answered
/// so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoToken {
    pub(super) outcome: Outcome,
    pub(super) reason: String,
}

/// The request for a token, for a trigger of a scope.
pub(super) fn request(client: &ClientCredentials, scope: &Scope, timeout: Duration) -> Request {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    for (name, text) in [("scope", &client.scope), ("audience", &client.audience)] {
        if let Some(text) = text {
            form.append_pair(name, text);
        }
    }
    let secret = match &client.client_secret {
        Credential::Held(secret) => secret.clone(),
        // It was fetched before this.
        Credential::Provided(_) => Secret::new([]),
    };
    let secret = secret.expose();
    let mut headers = Headers::new();
    headers.push("content-type", "application/x-www-form-urlencoded");
    headers.push("accept", "application/json");
    match client.client_auth {
        // Each is encoded as in a form before they are joined (RFC 6749, section 2.3.1).
        ClientAuth::Basic => {
            let id: String = form_urlencoded::byte_serialize(client.client_id.as_bytes()).collect();
            let secret: String = form_urlencoded::byte_serialize(secret).collect();
            headers.push("authorization", basic(&id, &Secret::new(secret)).expose());
        }
        ClientAuth::Form => {
            form.append_pair("client_id", &client.client_id);
            form.append_pair("client_secret", &String::from_utf8_lossy(secret));
        }
    }
    let body = form.finish().into_bytes().into();
    let (url, scope) = (client.token_url.clone(), scope.clone());
    Request {
        method: Method::Post,
        url,
        headers,
        body,
        timeout,
        scope,
        response_bytes: MAX_ANSWER_BYTES,
    }
}

/// The value of `authorization` for a user and a password (RFC 7617).
pub(super) fn basic(user: &str, password: &Secret) -> Secret {
    let both = Secret::new([user.as_bytes(), b":", password.expose()].concat());
    Secret::new(format!("Basic {}", STANDARD.encode(both.expose())))
}

/// The value of `authorization` for a token (RFC 6750).
pub(super) fn bearer(token: &Secret) -> Secret {
    Secret::new([b"Bearer ", token.expose()].concat())
}

/// The token in an answer.
pub(super) fn read(
    answer: &Result<Response, DeliverError>,
    now: Timestamp,
) -> Result<Token, NoToken> {
    let refuse = |outcome, reason: String| Err(NoToken { outcome, reason });
    match (Outcome::of(answer, now), answer) {
        (Outcome::Accepted, Ok(response)) => parse(&response.body, now).map_err(|found| NoToken {
            outcome: Outcome::Rejected,
            reason: format!("the token endpoint answered with {found}"),
        }),
        // Gone is the token endpoint, not the one that the trigger is for.
        (Outcome::Gone, _) => refuse(Outcome::Rejected, "the token endpoint is gone (410)".into()),
        (outcome, Ok(response)) => {
            refuse(outcome, format!("the token endpoint answered {}", response.status))
        }
        (outcome, Err(error)) => refuse(outcome, format!("the token endpoint: {error}")),
    }
}

/// The token in the body of an answer, or what was found in its place; nothing of the body itself.
fn parse(body: &[u8], now: Timestamp) -> Result<Token, &'static str> {
    if body.len() >= MAX_ANSWER_BYTES {
        return Err("more than fits");
    }
    let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(body) else {
        return Err("no JSON object");
    };
    let kind = members.get("token_type").and_then(Value::as_str).unwrap_or_default();
    if !kind.eq_ignore_ascii_case("bearer") {
        return Err("a token_type other than Bearer");
    }
    let text = members.get("access_token").and_then(Value::as_str).unwrap_or_default();
    let is_token = |byte: u8| byte.is_ascii_graphic();
    if text.is_empty() || text.len() > MAX_TOKEN_BYTES || !text.bytes().all(is_token) {
        return Err("an access_token that is none");
    }
    let lasts = match members.get("expires_in") {
        None | Some(Value::Null) => UNSAID,
        Some(value) => seconds(value).ok_or("an expires_in that is no number of seconds")?,
    };
    // Not less than a moment, so that who waited for it need not ask again.
    let until = now + lasts.saturating_sub(LEEWAY.min(lasts / 10)).max(PAUSE);
    Ok(Token { text: Secret::new(text), until })
}

/// A number of seconds; some write it as a text.
fn seconds(value: &Value) -> Option<Duration> {
    let whole = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    whole.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn client() -> ClientCredentials {
        let url = "https://id.example/token".parse().unwrap();
        ClientCredentials::new(url, "a client", Credential::held("p:w/d")).with_scope("hooks write")
    }

    fn answer(status: u16, body: &str) -> Response {
        Response { status, body: body.as_bytes().to_vec(), ..Response::default() }
    }

    fn refusal(status: u16, body: &str) -> (Outcome, String) {
        let refused = read(&Ok(answer(status, body)), NOW).unwrap_err();
        (refused.outcome, refused.reason)
    }

    #[test]
    fn a_client_proves_itself_by_basic_or_in_the_form() {
        let second = Duration::from_secs(1);
        let by_basic = request(&client(), &Scope::root(), second);
        assert_eq!(*by_basic.body, *b"grant_type=client_credentials&scope=hooks+write");
        // a+client:p%3Aw%2Fd
        let expected = &b"Basic YStjbGllbnQ6cCUzQXclMkZk"[..];
        assert_eq!(by_basic.headers.only("authorization"), Some(expected));
        let client = client().with_client_auth(ClientAuth::Form).with_audience("x");
        let by_form = request(&client, &Scope::root(), second);
        assert_eq!(by_form.headers.only("authorization"), None);
        let expected = "grant_type=client_credentials&scope=hooks+write&audience=x\
                        &client_id=a+client&client_secret=p%3Aw%2Fd";
        assert_eq!(*by_form.body, *expected.as_bytes());
    }

    #[test]
    fn a_token_ends_a_little_sooner_than_it_says() {
        let until = |body| read(&Ok(answer(200, body)), NOW).unwrap().until.since(NOW).as_secs();
        let body = r#"{"access_token": "t", "token_type": "bearer", "expires_in": 3600}"#;
        assert_eq!(until(body), 3_570);
        let body = r#"{"access_token": "t", "token_type": "Bearer", "expires_in": "100"}"#;
        assert_eq!(until(body), 90);
        assert_eq!(until(r#"{"access_token": "t", "token_type": "Bearer"}"#), 270);
    }

    #[test]
    fn an_answer_without_a_token_says_what_it_was_and_nothing_of_it() {
        for body in [
            "",
            "hunter2",
            r#"["hunter2"]"#,
            r#"{"access_token": "hunter2"}"#,
            r#"{"access_token": "hunter2", "token_type": "mac"}"#,
            r#"{"access_token": "hunter2\r\nx: y", "token_type": "bearer"}"#,
            r#"{"access_token": "", "token_type": "bearer"}"#,
            r#"{"access_token": "hunter2", "token_type": "bearer", "expires_in": -1}"#,
            r#"{"error": "hunter2", "token_type": "bearer"}"#,
        ] {
            let (outcome, reason) = refusal(200, body);
            assert_eq!(outcome, Outcome::Rejected, "{body}");
            assert!(reason.starts_with("the token endpoint answered with "), "{reason}");
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }

    #[test]
    fn what_follows_a_failure_is_what_would_of_the_endpoint_itself() {
        let said = |status| refusal(status, r#"{"error": "hunter2"}"#);
        assert_eq!(said(401), (Outcome::Rejected, "the token endpoint answered 401".to_owned()));
        assert_eq!(said(500).0, Outcome::Transient);
        assert_eq!(said(503).0, Outcome::Throttled { retry_after: None });
        assert_eq!(said(410).0, Outcome::Rejected, "not the trigger's endpoint is gone");
        let blocked = Err(DeliverError::Blocked { reason: "loopback".to_owned() });
        assert_eq!(read(&blocked, NOW).unwrap_err().outcome, Outcome::Blocked);
    }
}
