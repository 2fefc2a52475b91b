//! The JSON of a watch.
//!
//! | member | |
//! |---|---|
//! | `upstream` | the name of one that the engine has |
//! | `package` | what is watched there: a repository, a chart, a crate, a package |
//! | `every` | a span, `"15m"` if it is absent |
//! | `jitter` | a span; a tenth of `every` if it is absent |
//! | `first` | `"baseline"` (if it is absent) or `"fire"` |
//! | `moved` | `"fire"` (if it is absent) or `"ignore"` |
//! | `removed` | `"ignore"` (if it is absent) or `"fire"` |
//! | `versions` | `{"glob": "1.*"}`, a list of such, `{"semver": ">=1.2"}`, or both |

use serde_json::{Map, Value, json};

use super::{FirstPoll, OnChange, Watch, usual_jitter};
use crate::document::{Field, Object, Problems, or_mismatch, span};

impl Watch {
    /// Reads a watch from a JSON value.
    ///
    /// # Errors
    /// Every problem at once, each with its path.
    pub fn from_value(value: Value) -> Result<Self, Problems> {
        Problems::gather(|problems| {
            let watch = Self::read(value, "", problems)?;
            watch.check("", problems);
            Some(watch)
        })
    }

    /// The watch as JSON; reads back to an equal one, spans cut off below a millisecond.
    pub fn to_value(&self) -> Value {
        let mut members = Map::new();
        let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
        add("upstream", json!(self.upstream));
        add("package", json!(self.package));
        add("every", json!(span::print(self.every)));
        add("jitter", json!(span::print(self.jitter)));
        add("first", json!(self.first.as_str()));
        add("moved", json!(self.moved.as_str()));
        add("removed", json!(self.removed.as_str()));
        if let Some(versions) = self.versions.to_value() {
            add("versions", versions);
        }
        Value::Object(members)
    }
}

impl Field for Watch {
    const EXPECTED: &'static str = "a watch (an object)";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let mut object = Object::read(value, path, problems)?;
        let upstream = object.required("upstream", problems);
        let package = object.required("package", problems);
        let every = object.optional("every", problems).unwrap_or(Self::DEFAULT_INTERVAL);
        let jitter = object.optional("jitter", problems).unwrap_or_else(|| usual_jitter(every));
        let first = object.optional("first", problems).unwrap_or_default();
        let moved = object.optional("moved", problems).unwrap_or(OnChange::Fire);
        let removed = object.optional("removed", problems).unwrap_or(OnChange::Ignore);
        let versions = object.optional("versions", problems).unwrap_or_default();
        object.finish(problems);
        let (upstream, package) = (upstream?, package?);
        Some(Self { upstream, package, every, jitter, first, moved, removed, versions })
    }
}

impl FirstPoll {
    fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Fire => "fire",
        }
    }
}

impl Field for FirstPoll {
    const EXPECTED: &'static str = "baseline or fire";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let known = [Self::Baseline, Self::Fire];
        let known = known.into_iter().find(|known| value.as_str() == Some(known.as_str()));
        or_mismatch(known, &value, Self::EXPECTED, path, problems)
    }
}

impl OnChange {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Fire => "fire",
        }
    }
}

impl Field for OnChange {
    const EXPECTED: &'static str = "ignore or fire";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let known = [Self::Ignore, Self::Fire];
        let known = known.into_iter().find(|known| value.as_str() == Some(known.as_str()));
        or_mismatch(known, &value, Self::EXPECTED, path, problems)
    }
}
