//! The fields of an event that a filter written in Rust asks for.

use serde_json::{Value, json};

use super::Draft;

/// A field of an event; what it must be makes a [`Draft`].
///
/// Where the field is a list, such as the tags, one of its items must be so.
///
/// ```
/// use artifact_triggers::trigger::filter::field;
///
/// let filter = field::repository().matches_glob("team-*/release").parse()?;
/// assert_eq!(filter.to_string(), r#"{"artifact":{"repository":[{"glob":"team-*/release"}]}}"#);
/// let scan = field::data(["scan", "score"]).is_at_least(7.5).parse()?;
/// assert_eq!(scan.to_string(), r#"{"data":{"scan":{"score":[{"numeric":[">=",7.5]}]}}}"#);
/// # Ok::<(), artifact_triggers::document::Problems>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    path: Vec<String>,
}

/// The field at a path of member names.
pub fn at<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Field {
    Field { path: path.into_iter().map(Into::into).collect() }
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $($member:literal)+;)*) => {
        $($(#[$doc])*
        pub fn $name() -> Field {
            at([$($member),+])
        })*
    };
}

fields! {
    /// `kind`: what happened.
    kind = "kind";
    /// `scope`: where it belongs.
    scope = "scope";
    /// `source.name`: who told it.
    source = "source" "name";
    /// `artifact.registry`.
    registry = "artifact" "registry";
    /// `artifact.repository`.
    repository = "artifact" "repository";
    /// `artifact.package_type`.
    package_type = "artifact" "package_type";
    /// `artifact.namespace`.
    namespace = "artifact" "namespace";
    /// `artifact.name`.
    name = "artifact" "name";
    /// `artifact.version`.
    version = "artifact" "version";
    /// `artifact.tags`, of which one must be so.
    tags = "artifact" "tags";
    /// `artifact.digest`.
    digest = "artifact" "digest";
    /// `artifact.purl`.
    purl = "artifact" "purl";
    /// `artifact.size`, in bytes.
    size = "artifact" "size";
    /// `artifact.oci.role`: `index`, `manifest`, `child`, `referrer`, `blob`.
    oci_role = "artifact" "oci" "role";
    /// `artifact.oci.media_type`.
    media_type = "artifact" "oci" "media_type";
    /// `actor.name`: who did it.
    actor = "actor" "name";
    /// `actor.kind`: `user`, `robot`, `internal`, `anonymous`.
    actor_kind = "actor" "kind";
    /// `actor.address`: where the request came from.
    actor_address = "actor" "address";
}

/// One of the event's `attributes`.
pub fn attribute(name: impl Into<String>) -> Field {
    at(["attributes".to_owned(), name.into()])
}

/// One of the annotations of an OCI manifest.
pub fn annotation(name: impl Into<String>) -> Field {
    at(["artifact".to_owned(), "oci".to_owned(), "annotations".to_owned(), name.into()])
}

/// A field of the event's free `data`.
pub fn data<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Field {
    let below = path.into_iter().map(Into::into);
    Field { path: std::iter::once("data".to_owned()).chain(below).collect() }
}

macro_rules! operators {
    ($($(#[$doc:meta])* $method:ident($text:ident) = $condition:tt;)*) => {
        $($(#[$doc])*
        pub fn $method(self, $text: impl Into<String>) -> Draft {
            let $text: String = $text.into();
            self.satisfies(json!($condition))
        })*
    };
}

impl Field {
    /// It is equal to a string, number or boolean, or null.
    pub fn is(self, value: impl Into<Value>) -> Draft {
        self.satisfies(value.into())
    }

    /// It is equal to one of these.
    pub fn is_any_of<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> Draft {
        self.satisfies_any(values.into_iter().map(Into::into).collect())
    }

    /// It is there, and equal to none of these texts or numbers.
    pub fn is_none_of<V: Into<Value>>(self, values: impl IntoIterator<Item = V>) -> Draft {
        let values: Vec<Value> = values.into_iter().map(Into::into).collect();
        self.satisfies(json!({"anything-but": values}))
    }

    operators! {
        /// It is equal in any case.
        is_ignoring_case(text) = {"equals-ignore-case": text};
        /// It begins so.
        starts_with(text) = {"prefix": text};
        /// It begins so, in any case.
        starts_with_ignoring_case(text) = {"prefix": {"equals-ignore-case": text}};
        /// It ends so.
        ends_with(text) = {"suffix": text};
        /// It ends so, in any case.
        ends_with_ignoring_case(text) = {"suffix": {"equals-ignore-case": text}};
        /// It has this in it.
        contains(text) = {"contains": text};
        /// It fits a pattern in which `*` is any text.
        matches_wildcard(text) = {"wildcard": text};
        /// It fits a pattern for paths: `*` stops at `/`, `**` does not.
        matches_glob(text) = {"glob": text};
        /// A regular expression is found in it.
        matches_regex(text) = {"regex": text};
        /// It is a semantic version that meets a requirement, such as `>=1.2, <2`.
        satisfies_semver(text) = {"semver": text};
        /// It is an address of a network, such as `10.0.0.0/8`.
        is_in_network(text) = {"cidr": text};
        /// It is there and does not begin so.
        does_not_start_with(text) = {"anything-but": {"prefix": text}};
        /// It is there and does not end so.
        does_not_end_with(text) = {"anything-but": {"suffix": text}};
    }

    /// It is a version that meets a requirement of its ecosystem: `npm`, `pypi`, `maven` or
    /// `debian`, with feature `versions`.
    pub fn satisfies_version(self, ecosystem: &str, requirement: impl Into<String>) -> Draft {
        let requirement: String = requirement.into();
        self.satisfies(json!({"version": {ecosystem: requirement}}))
    }

    /// It is a number of at least this.
    pub fn is_at_least(self, number: impl Into<Value>) -> Draft {
        self.satisfies(json!({"numeric": [">=", number.into()]}))
    }

    /// It is a number above this.
    pub fn is_above(self, number: impl Into<Value>) -> Draft {
        self.satisfies(json!({"numeric": [">", number.into()]}))
    }

    /// It is a number of at most this.
    pub fn is_at_most(self, number: impl Into<Value>) -> Draft {
        self.satisfies(json!({"numeric": ["<=", number.into()]}))
    }

    /// It is a number below this.
    pub fn is_below(self, number: impl Into<Value>) -> Draft {
        self.satisfies(json!({"numeric": ["<", number.into()]}))
    }

    /// It is there: a string, a number, a boolean or null.
    pub fn exists(self) -> Draft {
        self.satisfies(json!({"exists": true}))
    }

    /// It is not there.
    pub fn is_absent(self) -> Draft {
        self.satisfies(json!({"exists": false}))
    }

    /// It satisfies a condition as the JSON of filters has it.
    pub fn satisfies(self, condition: impl Into<Value>) -> Draft {
        self.satisfies_any(vec![condition.into()])
    }

    /// It, or one and the same of its items, satisfies a pattern of its own.
    ///
    /// ```
    /// use artifact_triggers::trigger::filter::field;
    ///
    /// let large_jar = field::at(["name"]).ends_with(".jar").and(field::at(["size"]).is_above(1_000));
    /// let filter = field::at(["artifact", "files"]).has(large_jar).parse()?;
    /// # assert!(filter.to_string().contains("files"));
    /// # Ok::<(), artifact_triggers::document::Problems>(())
    /// ```
    pub fn has(self, pattern: Draft) -> Draft {
        self.nest(pattern.into_value())
    }

    fn satisfies_any(self, any: Vec<Value>) -> Draft {
        self.nest(Value::Array(any))
    }

    fn nest(self, innermost: Value) -> Draft {
        let names = self.path.into_iter().rev();
        Draft::of(names.fold(innermost, |inner, name| json!({ name: inner })))
    }
}
