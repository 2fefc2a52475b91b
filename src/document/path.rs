//! Where something stands in a document, written out only where there is a problem.

use std::fmt;

use super::cut;

/// A place in a document.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'p> {
    /// What was written out before; empty for the whole document.
    At(&'p str),
    Member(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl<'p> Path<'p> {
    /// The place of a member of the object that stands here.
    pub(crate) fn member(&'p self, name: &'p str) -> Self {
        Self::Member(self, name)
    }

    /// The place of an item of the array that stands here.
    pub(crate) fn item(&'p self, at: usize) -> Self {
        Self::Item(self, at)
    }
}

/// Of a long name only the beginning: the path stands in every problem below it.
impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(path) => f.write_str(path),
            Self::Member(Self::At(""), name) => f.write_str(cut(name)),
            Self::Member(object, name) => write!(f, "{object}.{}", cut(name)),
            Self::Item(array, at) => write!(f, "{array}[{at}]"),
        }
    }
}

impl From<Path<'_>> for String {
    fn from(path: Path<'_>) -> Self {
        path.to_string()
    }
}
