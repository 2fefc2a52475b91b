//! The search: what was seen, and whether a canary is in it, in whichever encoding.

use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::Serialize;

/// A secret, and every form in which it might be seen.
pub(crate) struct Canary {
    name: &'static str,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Canary {
    pub(crate) fn new(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (hex, every) = (pairs.concat(), format!("%{}", pairs.join("%")));
        let form: String = url::form_urlencoded::byte_serialize(bytes).collect();
        let mut forms = vec![
            ("raw", bytes.to_vec()),
            ("hex", hex.clone().into_bytes()),
            ("HEX", hex.to_uppercase().into_bytes()),
            ("percent", form.to_lowercase().into_bytes()),
            ("percent", form.into_bytes()),
            ("percent", every.to_uppercase().into_bytes()),
            ("percent", every.into_bytes()),
        ];
        for before in 0..3 {
            for (name, engine) in [("base64", STANDARD_NO_PAD), ("base64url", URL_SAFE_NO_PAD)] {
                let all = engine.encode([&vec![0; before], bytes].concat());
                // The characters that nothing but the canary decides.
                let first = (8 * before).div_ceil(6);
                let last = 8 * (before + bytes.len()) / 6;
                forms.push((name, all.as_bytes()[first..last].to_vec()));
            }
        }
        Self { name: text, forms }
    }
}

/// What could be seen, each with where.
#[derive(Default)]
pub(crate) struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    pub(crate) fn text(&mut self, place: &str, text: &str) {
        self.0.push((place.to_owned(), text.as_bytes().to_vec()));
    }

    pub(crate) fn debug(&mut self, place: &str, value: &impl Debug) {
        self.text(place, &format!("{value:?} {value:#?}"));
    }

    pub(crate) fn json(&mut self, place: &str, value: &impl Serialize) {
        self.text(place, &serde_json::to_string(value).unwrap());
    }

    /// An error with all that stands behind it.
    pub(crate) fn error(&mut self, place: &str, error: &impl Error) {
        let mut text = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(error) = source {
            write!(text, " {error} {error:?}").unwrap();
            source = error.source();
        }
        self.text(place, &text);
    }

    /// Every file of a folder: the database, its log and what else there is.
    pub(crate) fn files(&mut self, when: &str, folder: &Path) {
        let mut bytes = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let content = std::fs::read(&path).unwrap();
            bytes += content.len();
            self.0.push((format!("{} {when}", path.file_name().unwrap().display()), content));
        }
        assert!(bytes > 10_000, "there is something to search");
    }

    pub(crate) fn text_of(&self, place: &str) -> String {
        let found = self.0.iter().filter(|(name, _)| name == place);
        found.map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect()
    }
}

fn holds(bytes: &[u8], form: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == form[0]) {
        if rest[at..].starts_with(form) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// Which canary was found where, and in which form.
pub(crate) fn found(seen: &Seen, canaries: &[Canary]) -> Vec<String> {
    let mut found = Vec::new();
    for (place, bytes) in &seen.0 {
        for canary in canaries {
            for (form, text) in canary.forms.iter().filter(|(_, text)| holds(bytes, text)) {
                let text = String::from_utf8_lossy(text);
                found.push(format!("{} as {form} ({text}) in {place}", canary.name));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

pub(crate) fn assert_unseen(seen: &Seen, canaries: &[Canary]) {
    let found = found(seen, canaries);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_search_finds_each_canary_in_each_form_at_any_place() {
    let canary = Canary::new("canary~0123456789abcdef");
    let bytes = b"canary~0123456789abcdef";
    let mut planted: Vec<Vec<u8>> = vec![
        b"canary~0123456789abcdef".to_vec(),
        b"63616e6172797e30313233343536373839616263646566".to_vec(),
        b"63616E6172797E30313233343536373839616263646566".to_vec(),
        b"canary%7E0123456789abcdef".to_vec(),
        b"canary%7e0123456789abcdef".to_vec(),
        bytes.iter().flat_map(|byte| format!("%{byte:02X}").into_bytes()).collect(),
    ];
    for before in 0..6 {
        for after in 0..4 {
            let around = [&vec![b'x'; before][..], bytes, &vec![b'y'; after]].concat();
            planted.push(STANDARD_NO_PAD.encode(&around).into_bytes());
            planted.push(URL_SAFE_NO_PAD.encode(&around).into_bytes());
        }
    }
    for text in planted {
        let mut seen = Seen::default();
        let around = [&b"{\"a\":\""[..], &text, b"\"}"].concat();
        seen.0.push(("here".to_owned(), around));
        let shown = String::from_utf8_lossy(&text);
        assert!(!found(&seen, std::slice::from_ref(&canary)).is_empty(), "{shown}");
    }
    let mut seen = Seen::default();
    seen.text("here", "canary~0123456789abcde canary");
    assert!(found(&seen, &[canary]).is_empty());
}
