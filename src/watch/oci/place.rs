//! Where a poll ended: what the next one goes on from.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Ask;

/// What is kept between two polls, as the validator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// The validator of the list of tags, if it has one page.
    pub(super) etag: Option<String>,
    /// The last tag whose digest was asked for in turn.
    pub(super) after: Option<String>,
}

impl Place {
    /// What [`to_text`](Self::to_text) wrote; nothing for anything else.
    pub(super) fn from_text(text: &str) -> Self {
        let members: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
        Self { etag: text("etag"), after: text("after") }
    }

    pub(super) fn to_text(&self) -> String {
        json!({ "etag": self.etag, "after": self.after }).to_string()
    }
}

/// Whose digests are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Their places in the list.
    pub(super) asked: Vec<usize>,
    /// How many of them, the first ones, are of tags that are new.
    pub(super) new: usize,
}

impl Turn {
    /// The place of the last one in turn, if only the first so many were asked for.
    pub(super) fn last_in_turn(&self, asked: usize) -> Option<usize> {
        self.asked[..asked].get(self.new..)?.last().copied()
    }
}

/// Whose digests a poll asks for: of tags that are new, and then, if it is of interest that tags
/// move, of the others in the order of their names, behind the last one that was asked for.
pub(super) fn turn(tags: &[String], ask: &Ask<'_>, after: Option<&str>, most: usize) -> Turn {
    let is_known = |tag: &str| ask.known.is_some_and(|known| known.knows(tag));
    let new = (0..tags.len()).filter(|at| !is_known(&tags[*at]));
    let mut asked: Vec<usize> = new.take(most).collect();
    let new = asked.len();
    if ask.wants_digests {
        let known = tags.iter().enumerate().filter(|(_, tag)| is_known(tag));
        let known: BTreeMap<&str, usize> = known.map(|(at, tag)| (tag.as_str(), at)).collect();
        let is_behind = |tag: &str| after.is_none_or(|after| tag > after);
        let behind = known.iter().filter(|(tag, _)| is_behind(tag));
        let before = known.iter().filter(|(tag, _)| !is_behind(tag));
        asked.extend(behind.chain(before).map(|(_, at)| *at).take(most - new));
    }
    Turn { asked, new }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Artifact, Scope};
    use crate::trigger::{OnChange, Watch};
    use crate::watch::{Known, Listing, Naming, Version, diff};

    fn known(watch: &Watch, tags: &[&str]) -> Known {
        let mut listing = Listing::new(Artifact::new("oci", "a"), Naming::Tag);
        listing.versions = tags.iter().map(|tag| Version::new(*tag)).collect();
        diff(None, listing, watch).unwrap().known
    }

    #[test]
    fn new_tags_come_first_and_the_others_in_turn() {
        let watch = Watch::new("r", "a");
        let known = known(&watch, &["a", "b", "c", "d"]);
        let tags = ["d", "new", "c", "b", "a"].map(str::to_owned);
        let root = Scope::root();
        let ask = Ask::new(&watch, &root, Some(&known));
        let asked = |after: Option<&str>, most| {
            let turn = turn(&tags, &ask, after, most);
            let names: Vec<&str> = turn.asked.iter().map(|at| tags[*at].as_str()).collect();
            let last = turn.last_in_turn(names.len()).map_or("", |at| tags[at].as_str());
            (names.join(" "), last.to_owned())
        };
        assert_eq!(asked(None, 3), ("new a b".to_owned(), "b".to_owned()));
        assert_eq!(asked(Some("b"), 3), ("new c d".to_owned(), "d".to_owned()));
        assert_eq!(asked(Some("d"), 3), ("new a b".to_owned(), "b".to_owned()));
        assert_eq!(asked(Some("c"), 9), ("new d a b c".to_owned(), "c".to_owned()));
        assert_eq!(asked(Some("c"), 1), ("new".to_owned(), String::new()));
        let still = Watch::new("r", "a").with_moved(OnChange::Ignore);
        let ask = Ask::new(&still, &root, Some(&known));
        assert_eq!(turn(&tags, &ask, None, 9), Turn { asked: vec![1], new: 1 });
        let turn = Turn { asked: vec![1, 4, 3], new: 1 };
        let last = [0, 1, 2, 3].map(|asked| turn.last_in_turn(asked));
        assert_eq!(last, [None, None, Some(4), Some(3)]);
    }

    #[test]
    fn a_place_reads_back_and_any_other_text_is_none() {
        let place = Place { etag: Some("e\"x\"".to_owned()), after: Some("b".to_owned()) };
        assert_eq!(Place::from_text(&place.to_text()), place);
        for text in ["", "e\"x\"", "[]", "{\"etag\": 1}"] {
            assert_eq!(Place::from_text(text), Place::default(), "{text}");
        }
    }
}
