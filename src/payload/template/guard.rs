//! Guard: what a template's text may not have in it, whatever the engine makes of it.
//!
//! In: a text. Out: what is wrong, with its line. The engine counts the work that a template makes,
//! but not the stack that a long expression takes while it is parsed, nor what becomes of lists
//! that are in themselves many times when they are printed. So expressions are short, and lists
//! that a template writes hold texts and numbers only; nothing makes lists of lists.

/// The longest expression or statement, in bytes: chains of operators go as deep as they are long.
pub(super) const MAX_BLOCK_BYTES: usize = 512;
/// The most expressions and statements: those of an `if` are within each other.
pub(super) const MAX_BLOCKS: usize = 256;

/// Words that no call and no index follows.
const KEYWORDS: [&str; 14] = [
    "and",
    "elif",
    "else",
    "for",
    "if",
    "in",
    "is",
    "not",
    "or",
    "recursive",
    "set",
    "with",
    "autoescape",
    "filter",
];
const LITERALS: [&str; 6] = ["true", "false", "none", "True", "False", "None"];

pub(super) fn check(text: &str) -> Result<(), String> {
    let mut blocks = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find('{') {
        let begin = at + found;
        let line = || 1 + text[..begin].matches('\n').count();
        let close = match text.as_bytes().get(begin + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                at = begin + 1;
                continue;
            }
        };
        let inner = &text[begin + 2..];
        let Some(end) = inner.find(close) else {
            return Err(format!("line {}: expected {close}", line()));
        };
        let inner = &inner[..end];
        at = begin + 2 + end + 2;
        if close == "#}" {
            continue;
        }
        blocks += 1;
        check_block(inner).map_err(|message| format!("line {}: {message}", line()))?;
        if blocks > MAX_BLOCKS {
            return Err(format!("expected at most {MAX_BLOCKS} expressions and statements"));
        }
    }
    Ok(())
}

fn check_block(inner: &str) -> Result<(), String> {
    if inner.len() > MAX_BLOCK_BYTES {
        let found = inner.len();
        let expected = format!("expected expressions of at most {MAX_BLOCK_BYTES} bytes");
        return Err(format!("{expected}, found {found}"));
    }
    if inner.contains(['{', '}']) {
        return Err("expected no braces within an expression".to_owned());
    }
    let inner = inner.trim_start_matches(['-', '+']).trim();
    let mut block = Block { is_for: false, before: Before::Other, open: Vec::new() };
    let mut rest = inner;
    let mut is_first = true;
    while let Some(first) = rest.chars().next() {
        let length = token(rest)?;
        let word = &rest[..length];
        if is_first && word == "raw" {
            return Err("expected no raw block".to_owned());
        }
        if is_first {
            block.is_for = word == "for";
        }
        is_first &= first.is_whitespace();
        block.take(word)?;
        rest = &rest[length..];
    }
    Ok(())
}

/// The length of the token that a text begins with.
fn token(text: &str) -> Result<usize, String> {
    let first = text.chars().next().unwrap_or_default();
    if first == '"' || first == '\'' {
        let mut is_escaped = false;
        for (at, c) in text.char_indices().skip(1) {
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' => is_escaped = true,
                c if c == first => return Ok(at + 1),
                _ => {}
            }
        }
        return Err("expected the end of a string".to_owned());
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = text.find(|c| !is_word(c)).unwrap_or(text.len());
    Ok(if word == 0 { first.len_utf8() } else { word })
}

/// What stands before a bracket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Something that can be called, or has items.
    Value,
    Other,
}

/// A bracket that is open.
struct Open {
    /// Of a call, whose commas make no list.
    is_call: bool,
    has_comma: bool,
    /// Whether anything but texts and numbers is in it.
    has_other: bool,
}

/// An expression or a statement that is being read.
struct Block {
    /// Whether it is a `for` of which the names are not all read.
    is_for: bool,
    before: Before,
    open: Vec<Open>,
}

impl Block {
    fn take(&mut self, word: &str) -> Result<(), String> {
        let first = word.chars().next().unwrap_or_default();
        let before = self.before;
        if first.is_whitespace() {
            return Ok(());
        }
        self.before = Before::Other;
        match first {
            '+' | '*' => return Err(format!("expected no {first}: it could make lists longer")),
            '(' | '[' => {
                let is_call = first == '(' && before == Before::Value;
                self.note_other();
                self.open.push(Open { is_call, has_comma: false, has_other: false });
            }
            ')' | ']' => {
                self.before = Before::Value;
                return self.close();
            }
            ',' => self.comma()?,
            '"' | '\'' => self.before = Before::Value,
            _ if first.is_alphanumeric() || first == '_' => self.word(word),
            '.' | '-' => {}
            _ => self.note_other(),
        }
        Ok(())
    }

    fn word(&mut self, word: &str) {
        let is_number = word.starts_with(|c: char| c.is_ascii_digit());
        if word == "in" && self.open.is_empty() {
            self.is_for = false;
        }
        if !is_number && !LITERALS.contains(&word) {
            self.note_other();
        }
        if !KEYWORDS.contains(&word) {
            self.before = Before::Value;
        }
    }

    fn note_other(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.has_other = true;
        }
    }

    fn comma(&mut self) -> Result<(), String> {
        match self.open.last_mut() {
            Some(open) => open.has_comma = true,
            None if self.is_for => {}
            None => return Err("expected no list without brackets".to_owned()),
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        match self.open.pop() {
            Some(Open { is_call: false, has_comma: true, has_other: true }) => {
                Err("expected only texts and numbers in a list".to_owned())
            }
            _ => Ok(()),
        }
    }
}
