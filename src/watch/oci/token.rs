//! Tokens of registries (Distribution, "Token Authentication").
//!
//! In: the challenge of a registry. Out: a token for pulling from the repository that is asked for.
//! Credentials go to the registry's own host, or to the token service that the registry's owner
//! named beforehand; a registry cannot have them sent anywhere else.

use serde_json::Value;
use url::Url;

use super::OciRegistry;
use crate::document::cut;
use crate::request::{Headers, Response, check_spelling};
use crate::secret::Secret;
use crate::watch::site::{Question, read_object};
use crate::watch::{Ask, Credentials, UpstreamError};

/// The longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The longest challenge that is read, in bytes.
const MAX_CHALLENGE_BYTES: usize = 4 * 1024;

/// What a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Challenge {
    realm: String,
    service: Option<String>,
}

/// The challenge that asks for a token, if there is one.
pub(super) fn challenge(headers: &Headers) -> Option<Challenge> {
    headers.all("www-authenticate").find_map(|field| {
        let text = std::str::from_utf8(field).ok()?;
        let (scheme, parameters) = text.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") || text.len() > MAX_CHALLENGE_BYTES {
            return None;
        }
        let mut challenge = Challenge::default();
        for (name, value) in parameters_of(parameters) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => challenge.realm = value,
                "service" => challenge.service = Some(value),
                // What for is known here, and not the registry's to say.
                _ => {}
            }
        }
        Some(challenge)
    })
}

/// The parameters of a challenge, quoted or not (RFC 9110, section 11.2).
fn parameters_of(text: &str) -> Vec<(&str, String)> {
    let mut parameters = Vec::new();
    let mut rest = text;
    while let Some((name, behind)) = rest.split_once('=') {
        let name = name.trim_matches(|c: char| c == ',' || c.is_whitespace());
        let (value, behind) = if let Some(quoted) = behind.trim_start().strip_prefix('"') {
            unquoted(quoted)
        } else {
            let end = behind.find(',').unwrap_or(behind.len());
            (behind[..end].trim().to_owned(), &behind[end..])
        };
        parameters.push((name, value));
        rest = behind;
    }
    parameters
}

/// What is within quotes, and what is behind them.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// Asks the token service for a token.
pub(super) async fn fetch(
    registry: &OciRegistry,
    challenge: &Challenge,
    ask: &Ask<'_>,
) -> Result<Secret, UpstreamError> {
    let mut url = realm(registry, challenge)?;
    if let Some(service) = &challenge.service {
        url.query_pairs_mut().append_pair("service", service);
    }
    let scope = format!("repository:{}:pull", ask.package);
    url.query_pairs_mut().append_pair("scope", &scope);
    let authorization = registry.site.credentials.authorization();
    let question = Question { authorization, ..Question::get(url, ask.scope) };
    let response = registry.site.exchange(question).await?;
    let answer = registry.site.judge(response, false).map_err(of_token_service)?;
    read(&answer.unwrap_or_default())
}

/// The address of the token service, if what is sent there may be.
fn realm(registry: &OciRegistry, challenge: &Challenge) -> Result<Url, UpstreamError> {
    let found = cut(&challenge.realm);
    let deny = |reason: String| Err(UpstreamError::Denied { reason });
    let parsed = check_spelling(&challenge.realm).ok().and_then(|()| challenge.realm.parse().ok());
    let url: Option<Url> = parsed.filter(|url: &Url| {
        ["http", "https"].contains(&url.scheme())
            && url.username().is_empty()
            && url.password().is_none()
    });
    let Some(url) = url else {
        return deny(format!("it names a token service that is none: {found:?}"));
    };
    let base = &registry.site.base;
    if base.scheme() == "https" && url.scheme() != "https" {
        return deny(format!("it names a token service without TLS: {found:?}"));
    }
    let is_known = url.origin() == base.origin()
        || registry.realm.as_ref().is_some_and(|realm| realm.origin() == url.origin());
    if registry.site.credentials != Credentials::Anonymous && !is_known {
        return deny(format!(
            "it names a token service that the credentials are not for: {found:?}"
        ));
    }
    Ok(url)
}

/// What is wrong with an answer of the token service, told as such.
fn of_token_service(error: UpstreamError) -> UpstreamError {
    match error {
        UpstreamError::Denied { reason } | UpstreamError::NotFound { reason } => {
            UpstreamError::Denied { reason: format!("the token service: {reason}") }
        }
        UpstreamError::Refused { reason } => {
            UpstreamError::Refused { reason: format!("the token service: {reason}") }
        }
        UpstreamError::Unavailable { reason } => {
            UpstreamError::Unavailable { reason: format!("the token service: {reason}") }
        }
        UpstreamError::Blocked { reason } => {
            UpstreamError::Blocked { reason: format!("the token service: {reason}") }
        }
        other => other,
    }
}

/// The token in an answer. Nothing of the answer is repeated in a problem: it may be a secret.
fn read(response: &Response) -> Result<Secret, UpstreamError> {
    read_object(&response.body, |object, problems| {
        let token = object.optional::<Value>("token", problems);
        let token = token.or_else(|| object.optional("access_token", problems));
        let is_token = |text: &&str| {
            (1..=MAX_TOKEN_BYTES).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_graphic())
        };
        let token = token.as_ref().and_then(Value::as_str).filter(is_token).map(Secret::new);
        if token.is_none() {
            problems.add("token", "expected a token, found none");
        }
        token
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge_of(field: &str) -> Option<Challenge> {
        challenge(&[("www-authenticate", field)].into_iter().collect())
    }

    #[test]
    fn a_challenge_is_read_in_each_form() {
        let expected = Challenge {
            realm: "https://auth.example/token".to_owned(),
            service: Some("r, \"x\"".to_owned()),
        };
        for field in [
            r#"Bearer realm="https://auth.example/token",service="r, \"x\"",scope="a:b:pull,push""#,
            r#"bearer service="r, \"x\"" , Realm=https://auth.example/token, error=x"#,
        ] {
            assert_eq!(challenge_of(field), Some(expected.clone()), "{field}");
        }
        for none in ["", "Bearer", "Basic realm=\"x\"", "Bearerrealm=x"] {
            assert_eq!(challenge_of(none), None, "{none}");
        }
        for odd in ["Bearer realm=\"x", "Bearer realm", "Bearer =", "Bearer \"=\"=,", "Bearer a=\\"]
        {
            let _ = challenge_of(odd);
        }
    }

    #[test]
    fn an_answer_without_a_token_repeats_nothing() {
        let read = |body: &str| {
            let body = body.as_bytes().to_vec();
            read(&Response { status: 200, body, ..Response::default() })
        };
        for body in [r#"{"token": "abc"}"#, r#"{"access_token": "abc"}"#] {
            assert_eq!(read(body).unwrap().expose(), b"abc");
        }
        for body in
            [r#"{"token": ["hunter2"]}"#, r#"{"tok": "hunter2"}"#, r#"{"token": "hunter2 x"}"#]
        {
            let error = read(body).unwrap_err().to_string();
            assert!(
                error.contains("token: expected a token") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
