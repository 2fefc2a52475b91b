//! Gitea and Forgejo: HMAC-SHA256 over the JSON, in `X-Gitea-Signature: <hex>`; verified only.
//!
//! Source: Gitea's code, `services/webhook/deliver.go`. A webhook of the content type
//! `application/x-www-form-urlencoded` posts the JSON as the form's field `payload`, and the
//! signature covers the JSON, not the form. Without a secret the header is there and empty, which
//! is no signature.

use std::borrow::Cow;

use url::form_urlencoded;

use super::hex_mac::HexField;
use crate::request::Headers;

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "x-gitea-signature";

const FORM: &str = "application/x-www-form-urlencoded";

pub(super) fn field() -> HexField {
    HexField { name: SIGNATURE_HEADER.to_owned(), prefix: "" }
}

/// The JSON that was posted: the body, or the only field `payload` of a form; `None` if a form does
/// not have exactly one.
pub(crate) fn posted<'a>(headers: &Headers, body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    if !is_form(headers) {
        return Some(Cow::Borrowed(body));
    }
    let mut payloads = form_urlencoded::parse(body).filter(|(name, _)| name == "payload");
    let (_, payload) = payloads.next()?;
    payloads.next().is_none().then(|| Cow::Owned(payload.into_owned().into_bytes()))
}

fn is_form(headers: &Headers) -> bool {
    let media_type = headers.only("content-type").unwrap_or_default();
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(FORM.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::{SigningSecret, Verifier, VerifyError};
    use super::*;
    use crate::clock::Timestamp;

    const JSON: &[u8] = br#"{"action": "created & more"}"#;

    fn secret() -> SigningSecret {
        "text:It's a Secret to Everybody".parse().unwrap()
    }

    fn signature() -> String {
        super::super::hex_mac::to_hex(&secret().sign(&[JSON]))
    }

    fn verify(content_type: &str, signature: &str, body: &[u8]) -> Result<(), VerifyError> {
        let fields = [("content-type", content_type), ("x-gitea-signature", signature)];
        let now = Timestamp::UNIX_EPOCH;
        let verifier = Verifier::gitea([secret()]);
        verifier.verify(&fields.into_iter().collect(), body, now).map(drop)
    }

    fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in fields {
            form.append_pair(name, std::str::from_utf8(value).unwrap());
        }
        form.finish().into_bytes()
    }

    #[test]
    fn what_is_posted_is_covered_as_json_and_in_a_form() {
        assert_eq!(verify("application/json", &signature(), JSON), Ok(()));
        let posted = form(&[("payload", JSON)]);
        assert_eq!(verify("application/x-www-form-urlencoded", &signature(), &posted), Ok(()));
        let with_parameter = "Application/X-WWW-Form-Urlencoded; charset=utf-8";
        assert_eq!(verify(with_parameter, &signature(), &posted), Ok(()));
    }

    #[test]
    fn a_form_is_read_as_one_and_only_with_one_payload() {
        let twice = form(&[("payload", JSON), ("payload", b"{}")]);
        for (media_type, body) in [
            ("application/json", form(&[("payload", JSON)])),
            (FORM, JSON.to_vec()),
            (FORM, twice),
            (FORM, form(&[("other", JSON)])),
        ] {
            let mismatch = Err(VerifyError::Mismatch);
            assert_eq!(verify(media_type, &signature(), &body), mismatch, "{media_type}");
        }
    }

    #[test]
    fn an_empty_signature_is_none() {
        let absent = Err(VerifyError::Header { name: SIGNATURE_HEADER.to_owned() });
        assert_eq!(verify("application/json", "", JSON), absent);
    }
}
