//! How the engine proves to an endpoint who it is, beside the signature.

use std::fmt;

use serde_json::{Map, Value, json};
use url::Url;

use super::endpoint::{
    REDACTED, REDACTED_VALUE, check_header_name, check_url, no_url, parse_url, shown_url,
};
use super::{Credential, Secrets};
use crate::document::{self, Field, Object, Problems};
#[cfg(feature = "engine")]
use crate::secret::Secret;

/// The longest token, password or key, in bytes.
const MAX_CREDENTIAL_BYTES: usize = 4096;
/// The longest user name, client id, OAuth scope or audience, in bytes.
const MAX_TEXT_BYTES: usize = 512;

/// How the engine proves to an endpoint who it is, beside the signature.
///
/// Whatever it is, it goes to the endpoint's URL and, for OAuth, to the token endpoint's alone.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointAuth {
    /// `authorization: Bearer` and a token.
    Bearer {
        /// The token.
        token: Credential,
    },
    /// `authorization: Basic` (RFC 7617).
    Basic {
        /// The user's name, without a colon.
        user: String,
        /// The password.
        password: Credential,
    },
    /// A key in a header field of its own.
    ApiKey {
        /// The field's name.
        header: String,
        /// The key.
        key: Credential,
    },
    /// A token that a token endpoint gives for credentials of the client (OAuth 2.0, RFC 6749,
    /// section 4.4). Boxed, since it is much larger than the others.
    OAuth2(Box<ClientCredentials>),
}

/// What a token is asked for with.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCredentials {
    /// Where tokens are given. Held to the rules of an endpoint's URL.
    pub token_url: Url,
    /// Who asks.
    pub client_id: String,
    /// What proves it.
    pub client_secret: Credential,
    /// What the token is to be good for, if that is said.
    pub scope: Option<String>,
    /// Whom the token is for, where the token endpoint wants to know.
    pub audience: Option<String>,
    /// How the client proves who it is.
    pub client_auth: ClientAuth,
}

/// How a client proves to a token endpoint who it is (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClientAuth {
    /// By `authorization: Basic`, which each token endpoint has to know.
    #[default]
    Basic,
    /// By id and secret in the form.
    Form,
}

impl ClientAuth {
    const ALL: [Self; 2] = [Self::Basic, Self::Form];

    fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Form => "form",
        }
    }
}

impl Field for ClientAuth {
    const EXPECTED: &'static str = "basic or form";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|auth| value.as_str() == Some(auth.as_str()));
        document::or_mismatch(known, &value, Self::EXPECTED, path, problems)
    }
}

impl ClientCredentials {
    /// Credentials of a client, proved by `authorization: Basic`.
    pub fn new(token_url: Url, client_id: impl Into<String>, client_secret: Credential) -> Self {
        Self {
            token_url,
            client_id: client_id.into(),
            client_secret,
            scope: None,
            audience: None,
            client_auth: ClientAuth::Basic,
        }
    }

    /// Sets what the token is to be good for.
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Sets whom the token is for.
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Sets how the client proves who it is.
    pub fn with_client_auth(mut self, auth: ClientAuth) -> Self {
        self.client_auth = auth;
        self
    }

    fn check(&self, path: &str, problems: &mut Problems) {
        check_url(&self.token_url, &format!("{path}.token_url"), problems);
        check_text(&self.client_id, &format!("{path}.client_id"), problems);
        let secret_path = format!("{path}.client_secret");
        self.client_secret.check_text(MAX_CREDENTIAL_BYTES, &secret_path, problems);
        for (name, text) in [("scope", &self.scope), ("audience", &self.audience)] {
            if let Some(text) = text {
                check_text(text, &format!("{path}.{name}"), problems);
            }
        }
    }

    fn to_value(&self, secrets: Secrets) -> Value {
        let mut members = Map::new();
        members.insert("token_url".to_owned(), shown_url(&self.token_url, secrets));
        members.insert("client_id".to_owned(), json!(self.client_id));
        members.insert("client_secret".to_owned(), self.client_secret.to_value(secrets));
        for (name, text) in [("scope", &self.scope), ("audience", &self.audience)] {
            if let Some(text) = text {
                members.insert(name.to_owned(), json!(text));
            }
        }
        if self.client_auth != ClientAuth::default() {
            members.insert("client_auth".to_owned(), json!(self.client_auth.as_str()));
        }
        Value::Object(members)
    }
}

impl EndpointAuth {
    /// `authorization: Bearer` and a token.
    pub fn bearer(token: Credential) -> Self {
        Self::Bearer { token }
    }

    /// `authorization: Basic`, by name and password.
    pub fn basic(user: impl Into<String>, password: Credential) -> Self {
        Self::Basic { user: user.into(), password }
    }

    /// A key in a header field of its own.
    pub fn api_key(header: impl Into<String>, key: Credential) -> Self {
        Self::ApiKey { header: header.into(), key }
    }

    /// A token that a token endpoint gives.
    pub fn oauth2(client: ClientCredentials) -> Self {
        Self::OAuth2(Box::new(client))
    }

    /// The field that carries it, in lower case.
    pub(crate) fn header(&self) -> String {
        match self {
            Self::ApiKey { header, .. } => header.to_ascii_lowercase(),
            Self::Bearer { .. } | Self::Basic { .. } | Self::OAuth2(_) => {
                "authorization".to_owned()
            }
        }
    }

    /// The one credential in it.
    #[cfg(feature = "engine")]
    pub(crate) fn credential(&self) -> &Credential {
        match self {
            Self::Bearer { token } => token,
            Self::Basic { password, .. } => password,
            Self::ApiKey { key, .. } => key,
            Self::OAuth2(client) => &client.client_secret,
        }
    }

    /// Where the credential is sent, of an endpoint at a URL.
    #[cfg(feature = "engine")]
    pub(crate) fn recipient<'a>(&'a self, url: &'a Url) -> &'a Url {
        match self {
            Self::OAuth2(client) => &client.token_url,
            Self::Bearer { .. } | Self::Basic { .. } | Self::ApiKey { .. } => url,
        }
    }

    /// The same with another credential in it.
    #[cfg(feature = "engine")]
    pub(crate) fn with_credential(&self, held: Secret) -> Self {
        let mut auth = self.clone();
        let credential = match &mut auth {
            Self::Bearer { token } => token,
            Self::Basic { password, .. } => password,
            Self::ApiKey { key, .. } => key,
            Self::OAuth2(client) => &mut client.client_secret,
        };
        *credential = Credential::Held(held);
        auth
    }

    pub(super) fn check(&self, path: &str, problems: &mut Problems) {
        let check = |credential: &Credential, path: String, problems: &mut Problems| {
            credential.check_text(MAX_CREDENTIAL_BYTES, &path, problems);
        };
        match self {
            Self::Bearer { token } => check(token, format!("{path}.bearer.token"), problems),
            Self::Basic { user, password } => {
                let user_path = format!("{path}.basic.user");
                check_text(user, &user_path, problems);
                if user.contains(':') {
                    problems.add(user_path, "expected a name without a colon");
                }
                check(password, format!("{path}.basic.password"), problems);
            }
            Self::ApiKey { header, key } => {
                check_header_name(&format!("{path}.api_key.header"), header, problems);
                check(key, format!("{path}.api_key.key"), problems);
            }
            Self::OAuth2(client) => client.check(&format!("{path}.oauth2"), problems),
        }
    }

    pub(super) fn to_value(&self, secrets: Secrets) -> Value {
        match self {
            Self::Bearer { token } => json!({"bearer": {"token": token.to_value(secrets)}}),
            Self::Basic { user, password } => {
                json!({"basic": {"user": user, "password": password.to_value(secrets)}})
            }
            Self::ApiKey { header, key } => {
                json!({"api_key": {"header": header, "key": key.to_value(secrets)}})
            }
            Self::OAuth2(client) => json!({"oauth2": client.to_value(secrets)}),
        }
    }
}

fn check_text(text: &str, path: &str, problems: &mut Problems) {
    let is_text = |byte: u8| (0x20..=0x7e).contains(&byte);
    if text.is_empty() || text.len() > MAX_TEXT_BYTES || !text.bytes().all(is_text) {
        problems.add(path, format!("expected printable ASCII of 1 to {MAX_TEXT_BYTES} bytes"));
    }
    if text == REDACTED {
        problems.add(path, REDACTED_VALUE);
    }
}

/// Shows which kind it is and what is no secret: names, and of a URL the origin.
impl fmt::Debug for EndpointAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer { token } => f.debug_struct("Bearer").field("token", token).finish(),
            Self::Basic { password, .. } => {
                f.debug_struct("Basic").field("password", password).finish_non_exhaustive()
            }
            Self::ApiKey { header, key } => {
                f.debug_struct("ApiKey").field("header", header).field("key", key).finish()
            }
            Self::OAuth2(client) => client.fmt(f),
        }
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("token_origin", &self.token_url.origin().ascii_serialization())
            .field("client_secret", &self.client_secret)
            .field("client_auth", &self.client_auth)
            .finish_non_exhaustive()
    }
}

impl Field for EndpointAuth {
    const EXPECTED: &'static str = "an object with bearer, basic, api_key or oauth2";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let before = problems.len();
        let mut found = Vec::new();
        for (kind, read) in KINDS {
            if let Some(inner) = object.optional::<Object>(kind, problems) {
                found.push(read(inner, problems));
            }
        }
        object.finish(problems);
        match found.pop() {
            Some(auth) if found.is_empty() => auth,
            None if problems.len() > before => None,
            _ => {
                problems.add(path, format!("expected {}, exactly one of them", Self::EXPECTED));
                None
            }
        }
    }
}

type Read = fn(Object, &mut Problems) -> Option<EndpointAuth>;

const KINDS: [(&str, Read); 4] = [
    ("bearer", read_bearer),
    ("basic", read_basic),
    ("api_key", read_api_key),
    ("oauth2", read_oauth2),
];

fn read_bearer(mut object: Object, problems: &mut Problems) -> Option<EndpointAuth> {
    let token = object.required("token", problems);
    object.finish(problems);
    Some(EndpointAuth::Bearer { token: token? })
}

fn read_basic(mut object: Object, problems: &mut Problems) -> Option<EndpointAuth> {
    let user = object.required("user", problems);
    let password = object.required("password", problems);
    object.finish(problems);
    Some(EndpointAuth::Basic { user: user?, password: password? })
}

fn read_api_key(mut object: Object, problems: &mut Problems) -> Option<EndpointAuth> {
    let header = object.required("header", problems);
    let key = object.required("key", problems);
    object.finish(problems);
    Some(EndpointAuth::ApiKey { header: header?, key: key? })
}

fn read_oauth2(mut object: Object, problems: &mut Problems) -> Option<EndpointAuth> {
    let url_path = object.path("token_url");
    let url = object.required::<String>("token_url", problems);
    let client_id = object.required("client_id", problems);
    let client_secret = object.required("client_secret", problems);
    let scope = object.optional("scope", problems);
    let audience = object.optional("audience", problems);
    let client_auth = object.optional("client_auth", problems).unwrap_or_default();
    object.finish(problems);
    let token_url = url.and_then(|url| parse_url(&url, &url_path, problems)).unwrap_or_else(no_url);
    Some(EndpointAuth::oauth2(ClientCredentials {
        token_url,
        client_id: client_id?,
        client_secret: client_secret?,
        scope,
        audience,
        client_auth,
    }))
}
