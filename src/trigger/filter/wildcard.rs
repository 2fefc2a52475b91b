//! Patterns of whole texts: `wildcard`, whose `*` is any text, and `glob`, whose `*` stops at `/`.
//!
//! Both match in time that is at most the text's length times the pattern's, whatever they are.

/// A pattern in which `*` stands for any text, `\*` for an asterisk and `\\` for a backslash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wildcard {
    /// The texts between the asterisks: one more than there are asterisks.
    literals: Box<[Box<str>]>,
}

impl Wildcard {
    /// Parses a pattern.
    ///
    /// # Errors
    /// What is wrong: two asterisks side by side, or a backslash before anything but `*` and `\`.
    pub(crate) fn parse(pattern: &str) -> Result<Self, String> {
        let mut literals = vec![String::new()];
        let mut after_star = false;
        let mut chars = pattern.chars();
        while let Some(char) = chars.next() {
            let literal = match char {
                '*' if after_star => return Err("has two * side by side; one is enough".to_owned()),
                '*' => {
                    literals.push(String::new());
                    after_star = true;
                    continue;
                }
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '\\')) => escaped,
                    _ => return Err(r"has a \ before something else than * or \".to_owned()),
                },
                other => other,
            };
            after_star = false;
            literals.last_mut().expect("there is always a literal to add to").push(literal);
        }
        Ok(Self { literals: literals.into_iter().map(String::into_boxed_str).collect() })
    }

    /// The texts between the asterisks: one more than there are asterisks.
    pub(crate) fn literals(&self) -> &[Box<str>] {
        &self.literals
    }

    /// How many asterisks it has.
    pub(crate) fn stars(&self) -> usize {
        self.literals.len() - 1
    }

    /// Whether a text fits. Takes the first place for each literal, which is right since what comes
    /// between may be anything.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = &*self.literals else { return *self.literals[0] == *text };
        let Some(mut rest) = text.strip_prefix(&**first) else { return false };
        for literal in middle {
            let Some(at) = rest.find(&**literal) else { return false };
            rest = &rest[at + literal.len()..];
        }
        rest.ends_with(&**last)
    }

    /// The pattern as text.
    pub(crate) fn to_text(&self) -> String {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('*', "\\*");
        self.literals.iter().map(|text| escaped(text)).collect::<Vec<_>>().join("*")
    }
}

/// A pattern for paths: `*` is any text without `/`, `**` any text, `?` any character but `/`, and
/// `\` takes what follows it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    /// What every text that fits begins with, and ends with.
    head: Box<str>,
    tail: Box<str>,
    /// What is between them; empty only if the pattern is a text as it stands.
    middle: Box<[Step]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Char(char),
    /// `?`
    One,
    /// `*`
    Segment,
    /// `**`
    Any,
}

impl Glob {
    /// Parses a pattern.
    ///
    /// # Errors
    /// What is wrong: three asterisks side by side, or a backslash at the end.
    pub(crate) fn parse(pattern: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(char) = chars.next() {
            steps.push(match char {
                '*' if chars.next_if_eq(&'*').is_none() => Step::Segment,
                '*' if chars.peek() == Some(&'*') => {
                    return Err("has three * side by side; two are enough".to_owned());
                }
                '*' => Step::Any,
                '?' => Step::One,
                '\\' => match chars.next() {
                    Some(escaped) => Step::Char(escaped),
                    None => return Err(r"ends with a \ that escapes nothing".to_owned()),
                },
                other => Step::Char(other),
            });
        }
        Ok(Self::of(&steps))
    }

    fn of(steps: &[Step]) -> Self {
        let is_char = |step: &&Step| matches!(step, Step::Char(_));
        let head = steps.iter().take_while(is_char).count();
        let tail = steps[head..].iter().rev().take_while(is_char).count();
        let text = |steps: &[Step]| chars(steps).into_boxed_str();
        let border = steps.len() - tail;
        Self {
            head: text(&steps[..head]),
            tail: text(&steps[border..]),
            middle: steps[head..border].into(),
        }
    }

    /// What every text that fits begins with.
    pub(crate) fn head(&self) -> &str {
        &self.head
    }

    /// What every text that fits ends with.
    pub(crate) fn tail(&self) -> &str {
        &self.tail
    }

    /// The longest text between head and tail that every text that fits has in it.
    pub(crate) fn longest_inner(&self) -> String {
        let runs = self.middle.split(|step| !matches!(step, Step::Char(_)));
        runs.max_by_key(|run| run.len()).map(chars).unwrap_or_default()
    }

    /// Whether it is a `*` (`true`) or a `**` between its head and its tail, if it is no more.
    pub(crate) fn is_around(&self) -> Option<bool> {
        match &*self.middle {
            [Step::Segment] => Some(true),
            [Step::Any] => Some(false),
            _ => None,
        }
    }

    /// The only text that fits, if there is only one.
    pub(crate) fn as_literal(&self) -> Option<&str> {
        self.middle.is_empty().then_some(&*self.head)
    }

    /// How many `*` and `**` it has.
    pub(crate) fn stars(&self) -> usize {
        let is_star = |step: &&Step| matches!(step, Step::Segment | Step::Any);
        self.middle.iter().filter(is_star).count()
    }

    /// Whether a text fits.
    pub(crate) fn matches(&self, text: &str) -> bool {
        if self.middle.is_empty() {
            return *text == *self.head;
        }
        let Some(rest) = text.strip_prefix(&*self.head) else { return false };
        let Some(rest) = rest.strip_suffix(&*self.tail) else { return false };
        match &*self.middle {
            [Step::Any] => true,
            [Step::Segment] => !rest.contains('/'),
            steps => follow(steps, rest),
        }
    }

    /// The pattern as text.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        escape(&self.head, &mut text);
        for step in &self.middle {
            match step {
                Step::Char(char) => escape(char.encode_utf8(&mut [0; 4]), &mut text),
                Step::One => text.push('?'),
                Step::Segment => text.push('*'),
                Step::Any => text.push_str("**"),
            }
        }
        escape(&self.tail, &mut text);
        text
    }
}

fn chars(steps: &[Step]) -> String {
    let char = |step: &Step| if let Step::Char(char) = step { Some(*char) } else { None };
    steps.iter().filter_map(char).collect()
}

fn escape(literal: &str, text: &mut String) {
    for char in literal.chars() {
        if ['*', '?', '\\'].contains(&char) {
            text.push('\\');
        }
        text.push(char);
    }
}

/// Walks all ways through the steps at once, so that no text takes longer than its length times
/// their number.
fn follow(steps: &[Step], text: &str) -> bool {
    let mut here = Reached::default();
    here.enter(steps, 0);
    for char in text.chars() {
        let mut next = Reached::default();
        here.each(|at| match steps.get(at) {
            Some(Step::Char(wanted)) if *wanted == char => next.enter(steps, at + 1),
            Some(Step::One) if char != '/' => next.enter(steps, at + 1),
            Some(Step::Segment) if char != '/' => next.enter(steps, at),
            Some(Step::Any) => next.enter(steps, at),
            _ => {}
        });
        here = next;
    }
    here.has(steps.len())
}

/// The steps that ways through a pattern have come to, a bit each.
#[derive(Default)]
struct Reached {
    first: u64,
    /// Those behind the 64th; patterns are rarely as long.
    more: Vec<u64>,
}

impl Reached {
    /// Comes to a step, and to what lies behind it if it can stand for nothing.
    fn enter(&mut self, steps: &[Step], at: usize) {
        for at in at..=steps.len() {
            let bit = 1 << (at % 64);
            match at / 64 {
                0 => self.first |= bit,
                word => {
                    self.more.resize(self.more.len().max(word), 0);
                    self.more[word - 1] |= bit;
                }
            }
            if !matches!(steps.get(at), Some(Step::Segment | Step::Any)) {
                return;
            }
        }
    }

    fn has(&self, at: usize) -> bool {
        let word = match at / 64 {
            0 => Some(&self.first),
            word => self.more.get(word - 1),
        };
        word.is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    fn each(&self, mut show: impl FnMut(usize)) {
        for (n, word) in std::iter::once(&self.first).chain(&self.more).enumerate() {
            let mut rest = *word;
            while rest != 0 {
                show(64 * n + rest.trailing_zeros() as usize);
                rest &= rest - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The plainest way to say what a wildcard means, to compare with.
    fn fits(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|n| fits(rest, &text[n..])),
            [first, rest @ ..] => text.first() == Some(first) && fits(rest, &text[1..]),
        }
    }

    /// The plainest way to say what a glob means.
    fn glob_fits(pattern: &[char], text: &[char]) -> bool {
        let any = |rest: &[char], limit: usize| (0..=limit).any(|n| glob_fits(rest, &text[n..]));
        match pattern {
            [] => text.is_empty(),
            ['*', '*', rest @ ..] => any(rest, text.len()),
            ['*', rest @ ..] => {
                any(rest, text.iter().position(|char| *char == '/').unwrap_or(text.len()))
            }
            ['?', rest @ ..] => {
                text.first().is_some_and(|char| *char != '/') && glob_fits(rest, &text[1..])
            }
            [first, rest @ ..] => text.first() == Some(first) && glob_fits(rest, &text[1..]),
        }
    }

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn a_star_of_a_glob_stops_at_a_slash_and_two_do_not() {
        let cases = [
            ("library/*", "library/a", true),
            ("library/*", "library/a/b", false),
            ("library/**", "library/a/b", true),
            ("**/release", "a/b/release", true),
            ("**/release", "release", false),
            ("v?.*", "v1.2", true),
            ("v?.*", "v12.3", false),
            (r"\*a\?\\", r"*a?\", true),
            ("ä*ü", "äßü", true),
            ("a*/b", "a/b", true),
            ("aba", "ababa", false),
            ("ab*ba", "aba", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Glob::parse(pattern).unwrap().matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["a***", r"a\"] {
            assert!(Glob::parse(pattern).is_err(), "{pattern}");
        }
        for pattern in ["a**", r"a\b", r"a\"] {
            assert!(Wildcard::parse(pattern).is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn a_wildcard_fits_what_its_definition_says(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            prop_assume!(!pattern.contains("**"));
            let expected = fits(&chars(&pattern), &chars(&text));
            let wildcard = Wildcard::parse(&pattern).unwrap();
            prop_assert_eq!(wildcard.matches(&text), expected);
            prop_assert_eq!(wildcard.to_text(), pattern);
        }

        #[test]
        fn a_glob_fits_what_its_definition_says(
            // The first character, often enough, makes the pattern one of more than 64 steps.
            long in prop::sample::select(vec![0, 70]),
            pattern in "[ab/*?]{0,7}",
            text in "[ab/]{0,9}",
        ) {
            prop_assume!(!pattern.contains("***"));
            let pattern = format!("*{}{pattern}", "a".repeat(long)).replace("***", "**");
            let text = format!("{}{text}", "a".repeat(long));
            let expected = glob_fits(&chars(&pattern), &chars(&text));
            let glob = Glob::parse(&pattern).unwrap();
            prop_assert_eq!(glob.matches(&text), expected);
            prop_assert_eq!(glob.to_text(), pattern);
        }

        #[test]
        fn patterns_print_what_parses_to_them(text in r"[a*?\\]{0,6}") {
            if let Ok(wildcard) = Wildcard::parse(&text) {
                prop_assert_eq!(Wildcard::parse(&wildcard.to_text()).unwrap(), wildcard);
            }
            if let Ok(glob) = Glob::parse(&text) {
                prop_assert_eq!(Glob::parse(&glob.to_text()).unwrap(), glob);
            }
        }
    }
}
