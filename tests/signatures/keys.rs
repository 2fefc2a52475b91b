//! The forms of secrets.

use artifact_triggers::signature::{ParseSecretError, SigningSecret};

use crate::{secret, text};

#[test]
fn a_text_is_taken_as_it_is_behind_its_prefix() {
    for secret in ["s3cret", "It's a Secret to Everybody", "whsec_test", "text:x", "\u{e9}", "x"] {
        let read: SigningSecret = format!("text:{secret}").parse().unwrap();
        assert!(read == text(secret));
        assert_eq!(*read.expose(), format!("text:{secret}"));
    }
    let longest = "x".repeat(SigningSecret::MAX_TEXT_BYTES);
    assert!(SigningSecret::from_text(&longest).is_ok());
    for wrong in ["", " ", "s3cret\n", " s3cret", "s3\0cret", &format!("{longest}x")] {
        let error = format!("text:{wrong}").parse::<SigningSecret>().unwrap_err();
        assert_eq!(error, ParseSecretError::Text, "{wrong:?}");
    }
    assert_eq!("s3cret".parse::<SigningSecret>(), Err(ParseSecretError::Shared));
}

#[test]
fn a_secret_is_of_one_form() {
    let fill = "\u{1}".repeat(32);
    assert!(SigningSecret::from_text(&fill).is_err());
    let bytes = [b'x'; 32];
    assert!(SigningSecret::from_bytes(&bytes).unwrap() != text(&"x".repeat(32)));
    assert!(text("a") != text("b") && secret(1) != secret(2));
}

#[test]
fn a_key_id_tells_keys_apart_and_nothing_of_them() {
    let ids = [secret(1).key_id(), secret(2).key_id(), text("s3cret").key_id()];
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
    for id in &ids {
        assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    }
    assert_eq!(secret(1).key_id(), ids[0]);
}

#[test]
fn no_form_is_shown() {
    let shown = format!("{:?} {:?}", secret(1), text("hunter2"));
    assert_eq!(shown, "SigningSecret(redacted) SigningSecret(redacted)");
    for error in ["text:hunter2\n", "whsec_hunter2", "hunter2", "whsk_hunter2"] {
        assert!(!error.parse::<SigningSecret>().unwrap_err().to_string().contains("hunter2"));
    }
}
