//! A line of text that is cut while it is written.
//!
//! In: what writes, and the most characters. Out: no more than those, with `…` as the last of them
//! if something was cut. Whoever writes is told so at once, and has nothing more to do.

use std::fmt;

pub(crate) struct Line {
    text: String,
    /// How many characters more there is room for.
    room: usize,
}

impl Line {
    /// What is written, as far as there is room.
    pub(crate) fn of(most: usize, write: impl FnOnce(&mut Self) -> fmt::Result) -> String {
        let mut line = Self { text: String::new(), room: most };
        if write(&mut line).is_err() {
            line.text.pop();
            line.text.push('…');
        }
        line.text
    }
}

/// Fails when the line is full.
impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            self.room = self.room.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(char);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn a_line_is_cut_where_it_is_full_and_then_no_more_is_asked_for() {
        assert_eq!(Line::of(4, |line| line.write_str("äöüß")), "äöüß");
        let mut written = 0;
        let cut = Line::of(4, |line| {
            (0..1_000_000).try_for_each(|_| {
                written += 1;
                line.write_str("äb")
            })
        });
        assert_eq!((cut.as_str(), written), ("äbä…", 3));
    }
}
