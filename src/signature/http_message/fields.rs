//! Reads structured fields (RFC 8941) as far as signatures need them, in the spelling alone that
//! serialising gives: of what is signed there is one spelling.

use base64::Engine as _;
use base64::engine::general_purpose;

/// The most components of a signature; more than any needs.
const MAX_COMPONENTS: usize = 64;
/// The most members of a field that are taken; more than any needs.
const MAX_MEMBERS: usize = 64;

/// A member of `Signature-Input`.
#[derive(Debug)]
pub(super) struct Input<'a> {
    pub(super) label: &'a str,
    /// What follows the label, as it is signed.
    pub(super) text: &'a str,
    pub(super) components: Vec<&'a str>,
    pub(super) created: Option<&'a str>,
    pub(super) expires: Option<&'a str>,
    pub(super) algorithm: Option<&'a str>,
}

/// The members of a `Signature-Input`.
pub(super) fn inputs(field: &[u8]) -> Option<Vec<Input<'_>>> {
    members(field, |reader, label| {
        let begun = reader.rest;
        let mut input = reader.list(label)?;
        reader.parameters(&mut input)?;
        input.text = &begun[..begun.len() - reader.rest.len()];
        Some(input)
    })
}

/// The members of a field whose values are bytes, each with its label.
pub(super) fn bytes(field: &[u8]) -> Option<Vec<(&str, Vec<u8>)>> {
    members(field, |reader, label| {
        let base64 = reader.enclosed(":")?;
        Some((label, general_purpose::STANDARD.decode(base64).ok()?))
    })
}

/// The members of a dictionary, each label once.
fn members<'a, T>(
    field: &'a [u8],
    read: impl Fn(&mut Reader<'a>, &'a str) -> Option<T>,
) -> Option<Vec<T>> {
    let mut reader = Reader { rest: std::str::from_utf8(field).ok()? };
    let (mut members, mut labels) = (Vec::new(), Vec::new());
    loop {
        let label = reader.key()?;
        if labels.contains(&label) || labels.len() == MAX_MEMBERS {
            return None;
        }
        labels.push(label);
        reader.expect("=")?;
        members.push(read(&mut reader, label)?);
        if reader.rest.is_empty() {
            return Some(members);
        }
        reader.skip_white();
        reader.expect(",")?;
        reader.skip_white();
    }
}

/// What is left to be read.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn expect(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn skip_white(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// As many characters as are of a kind; at least one.
    fn run(&mut self, is_of_kind: impl Fn(char) -> bool) -> Option<&'a str> {
        let end = self.rest.find(|c| !is_of_kind(c)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!run.is_empty()).then_some(run)
    }

    fn key(&mut self) -> Option<&'a str> {
        let is_inner = |c: char| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.' | '*')
        };
        let key = self.run(is_inner)?;
        key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*').then_some(key)
    }

    /// What stands between two of these signs, without any of them.
    fn enclosed(&mut self, sign: &str) -> Option<&'a str> {
        self.expect(sign)?;
        let (inner, rest) = self.rest.split_once(sign)?;
        self.rest = rest;
        Some(inner)
    }

    /// A string without escapes, which no value that is used here needs.
    fn string(&mut self) -> Option<&'a str> {
        let text = self.enclosed("\"")?;
        text.bytes().all(|b| (0x20..=0x7e).contains(&b) && b != b'\\').then_some(text)
    }

    /// A list of components without parameters, each once.
    fn list(&mut self, label: &'a str) -> Option<Input<'a>> {
        let (created, expires, algorithm) = (None, None, None);
        let mut components = Vec::new();
        self.expect("(")?;
        while self.expect(")").is_none() {
            if !components.is_empty() {
                self.expect(" ")?;
            }
            let name = self.string()?;
            let is_new = !components.contains(&name) && components.len() < MAX_COMPONENTS;
            // Names of fields are covered in lower case.
            if !is_new || name.is_empty() || name.bytes().any(|b| b.is_ascii_uppercase()) {
                return None;
            }
            components.push(name);
        }
        Some(Input { label, text: "", components, created, expires, algorithm })
    }

    /// The parameters of a signature, each once.
    fn parameters(&mut self, input: &mut Input<'a>) -> Option<()> {
        let mut names = Vec::new();
        while self.expect(";").is_some() {
            let name = self.key()?;
            if names.contains(&name) || names.len() == MAX_MEMBERS {
                return None;
            }
            names.push(name);
            self.expect("=")?;
            match name {
                "created" => input.created = Some(self.integer()?),
                "expires" => input.expires = Some(self.integer()?),
                "alg" => input.algorithm = Some(self.string()?),
                _ => self.value()?,
            }
        }
        Some(())
    }

    /// A whole number without a sign; one that begins with a zero is not written so.
    fn integer(&mut self) -> Option<&'a str> {
        let digits = self.run(|c| c.is_ascii_digit())?;
        (digits == "0" || !digits.starts_with('0')).then_some(digits)
    }

    /// A value that is not looked at.
    fn value(&mut self) -> Option<()> {
        if self.rest.starts_with('"') {
            self.string()?;
        } else if self.rest.starts_with(':') {
            self.enclosed(":")?;
        } else {
            let is_inner =
                |c: char| c.is_ascii_graphic() && !matches!(c, ';' | ',' | '"' | '(' | ')');
            self.run(is_inner)?;
        }
        Some(())
    }
}
