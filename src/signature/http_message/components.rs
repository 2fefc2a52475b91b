//! The components of a request that a signature covers, and the text that is signed.

use url::Url;

use super::super::VerifyError;
use crate::request::{Headers, Method};

/// What requests ask for and where, in the parts that a signature can cover (RFC 9421, section
/// 2.2).
#[derive(Debug, Clone)]
pub(in crate::signature) struct Target {
    method: Method,
    /// Without a fragment, which is never sent.
    uri: Url,
}

impl Target {
    pub(in crate::signature) fn of(method: Method, url: &Url) -> Self {
        let mut uri = url.clone();
        uri.set_fragment(None);
        Self { method, uri }
    }

    pub(super) fn has_query(&self) -> bool {
        self.uri.query().is_some()
    }

    /// The value of a derived component; `None` if it is not known here.
    fn derived(&self, name: &str) -> Option<String> {
        let uri = &self.uri;
        let query = || uri.query().map(|query| format!("?{query}"));
        Some(match name {
            "@method" => self.method.to_string(),
            "@target-uri" => uri.as_str().to_owned(),
            "@scheme" => uri.scheme().to_owned(),
            "@authority" => {
                let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
                format!("{}{port}", uri.host_str().unwrap_or_default())
            }
            "@path" => uri.path().to_owned(),
            // One that is absent is covered as an empty one (section 2.2.7).
            "@query" => query().unwrap_or_else(|| "?".to_owned()),
            "@request-target" => format!("{}{}", uri.path(), query().unwrap_or_default()),
            _ => return None,
        })
    }
}

/// The text that is signed (RFC 9421, section 2.5); `input` is what follows the label.
pub(super) fn base(
    components: &[&str],
    input: &str,
    target: &Target,
    headers: &Headers,
) -> Result<Vec<u8>, VerifyError> {
    let mut base = Vec::new();
    for name in components {
        base.extend_from_slice(format!("\"{name}\": ").as_bytes());
        if name.starts_with('@') {
            let unknown =
                VerifyError::Malformed { name: super::INPUT_HEADER, specification: KNOWN };
            base.extend_from_slice(target.derived(name).ok_or(unknown)?.as_bytes());
        } else {
            let header = || VerifyError::Header { name: (*name).to_owned() };
            let value = headers.only(name).ok_or_else(header)?;
            // A line break would begin another component.
            if value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
                return Err(header());
            }
            base.extend_from_slice(value);
        }
        base.push(b'\n');
    }
    base.extend_from_slice(format!("\"@signature-params\": {input}").as_bytes());
    Ok(base)
}

const KNOWN: &str = "RFC 9421, sections 2.2.1 to 2.2.7,";
