//! Decides what is published, from what a notice says and what was known before.
//!
//! In: a [`Notice`] and the values of its [`keys`]. Out: a [`Decision`]. What is known are cursors:
//! for each repository, the digest that each tag had last and whether a digest is a manifest's or a
//! blob's. They move in the same atomic step that records the event, each from the value that was
//! read, so that of two receivers racing one has to read again and decide anew.
//!
//! What was there before the first notice came, or changed while none did, is not known: the first
//! push seen of such a tag is told as new.

use url::form_urlencoded::byte_serialize;

use super::{Change, Notice};
use crate::event::{Artifact, Event, EventKind, OciRole};
use crate::storage::CursorMove;

/// What a digest's cursor says of a manifest or another artifact.
const MANIFEST: &str = "manifest";
/// What a digest's cursor says of a blob.
const BLOB: &str = "blob";

/// What the names of most repositories fit in, and a digest.
const USUAL_BYTES: usize = 96;

/// What a tag's cursor says whose digest nobody told.
const UNTOLD: &str = "?";

/// What follows from a notice.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// It is told.
    Publish {
        /// The event, its kind final.
        event: Box<Event>,
        /// What is known from now on, to be recorded together with the event.
        cursors: Vec<CursorMove>,
    },
    /// It is not told, and what is known stays as it is.
    Skip {
        /// Why.
        reason: SkipReason,
    },
}

/// Why a notice is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// It changed nothing: the same content was pushed again to where it was.
    Unchanged,
    /// The receiver was told to leave such events out.
    LeftOut,
    /// The message that tells it was taken before, whole.
    Replayed,
}

impl SkipReason {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::LeftOut => "left_out",
            Self::Replayed => "replayed",
        }
    }
}

/// The cursors to read before [`decide`].
pub fn keys(notice: &Notice) -> Vec<String> {
    let Some(place) = Place::of(&notice.event) else { return Vec::new() };
    match &notice.change {
        Change::Push { tag: Some(tag), digest } => vec![place.tag(tag), place.digest(digest)],
        Change::Push { tag: None, digest }
        | Change::PushBlob { digest }
        | Change::DeleteDigest { digest } => vec![place.digest(digest)],
        Change::PushTag { tag } | Change::DeleteTag { tag } => vec![place.tag(tag)],
        Change::None | Change::LeftOut | Change::DeleteRepository => Vec::new(),
    }
}

/// Decides what follows from a notice, from the values of its [`keys`] in their order.
///
/// | what it says | what was known | what is told |
/// |---|---|---|
/// | push by tag | nothing of the tag, or its digest was deleted since | the event's own kind, such as `artifact.ingested` |
/// | push by tag | the tag with another digest | `artifact.updated`, `from` with that digest |
/// | push by tag | the tag with this digest | nothing |
/// | push by tag, its digest untold | nothing of the tag | the event's own kind |
/// | push by tag, its digest untold | the tag | `artifact.updated`, `from` with the digest if it is known |
/// | push by digest alone | no such manifest | the event's own kind |
/// | push by digest alone | the manifest | nothing |
/// | push or mount of a blob | anything | the event's own kind |
/// | deletion of a digest | a blob | `blob.deleted` |
/// | deletion of a digest | a manifest | `artifact.deleted` |
/// | deletion of a digest | nothing | the event's own kind |
/// | deletion of a tag or repository | anything | the event's own kind |
///
/// An event whose own kind tells more than `artifact.ingested`, such as `artifact.signed`, keeps it
/// when its tag moves: a second signature is a signature too.
///
/// Whether the other digest that a tag had was deleted since is not looked at. Registries that
/// delete a digest's tags with it tell so, tag by tag, and then the tag is unknown.
pub fn decide(notice: Notice, values: &[Option<String>]) -> Decision {
    let keys = keys(&notice);
    decide_by(notice, keys, values)
}

/// Decides what follows from a notice, from its [`keys`] and their values. One without keys that
/// would have some names no repository: nothing can be known of it.
pub(crate) fn decide_by(notice: Notice, keys: Vec<String>, values: &[Option<String>]) -> Decision {
    let Notice { event, change } = notice;
    let read = |n: usize| values.get(n).cloned().flatten();
    let mut keys = keys.into_iter();
    match (change, keys.next(), keys.next()) {
        (Change::LeftOut, ..) => Decision::Skip { reason: SkipReason::LeftOut },
        (Change::Push { tag: Some(tag), digest }, Some(tag_key), Some(digest_key)) => {
            push_by_tag(event, [tag_key, digest_key], &tag, digest, &[read(0), read(1)])
        }
        (Change::Push { .. }, Some(key), _) => push_by_digest(event, key, read(0)),
        (Change::PushTag { tag }, Some(key), _) => push_untold(event, key, &tag, read(0)),
        (Change::PushBlob { .. }, Some(key), _) => push_blob(event, key, read(0).is_some()),
        (Change::DeleteDigest { .. }, Some(key), _) => delete_digest(event, key, read(0)),
        (Change::DeleteTag { .. }, Some(key), _) => publish(event, vec![set(key, read(0), None)]),
        (Change::DeleteRepository, ..) => {
            let below = Place::of(&event).map(|place| place.prefix);
            let removed = below.map(|prefix| CursorMove::RemoveBelow { prefix });
            publish(event, removed.into_iter().collect())
        }
        _ => publish(event, Vec::new()),
    }
}

/// What deciding takes from a notice: with it the notice is had again, to be
/// [decided](decide) anew.
#[cfg(feature = "engine")]
#[derive(Debug)]
pub(crate) struct Undo {
    change: Change,
    kind: EventKind,
    from: Option<Artifact>,
    /// Of a deletion alone, which may turn out to be a blob's.
    artifact: Option<Artifact>,
}

#[cfg(feature = "engine")]
impl Undo {
    pub(crate) fn of(notice: &Notice) -> Self {
        let Notice { event, change } = notice;
        let may_be_blob = matches!(change, Change::DeleteDigest { .. });
        Self {
            change: change.clone(),
            kind: event.kind.clone(),
            from: event.from.clone(),
            artifact: event.artifact.as_ref().filter(|_| may_be_blob).cloned(),
        }
    }

    /// The notice as it was, from what was decided of it.
    pub(crate) fn notice(self, decided: Event) -> Notice {
        let artifact = self.artifact.or(decided.artifact);
        let event = Event { kind: self.kind, from: self.from, artifact, ..decided };
        Notice { event, change: self.change }
    }
}

fn push_by_tag(
    mut event: Event,
    [tag_key, digest_key]: [String; 2],
    tag: &str,
    digest: String,
    [had, what]: &[Option<String>; 2],
) -> Decision {
    match had {
        Some(old) if *old == digest && what.as_deref() == Some(MANIFEST) => return unchanged(),
        Some(old) if *old != digest => become_update(&mut event, tag, old),
        _ => {}
    }
    // Both are set, also where they have the value already: the decision rests on both.
    let cursors = vec![
        set(tag_key, had.clone(), Some(digest)),
        set(digest_key, what.clone(), Some(MANIFEST.to_owned())),
    ];
    publish(event, cursors)
}

/// A push by a tag of whose digest nothing is told: whether the tag moved nobody knows.
fn push_untold(mut event: Event, key: String, tag: &str, had: Option<String>) -> Decision {
    if let Some(old) = &had {
        become_update(&mut event, tag, old);
    }
    publish(event, vec![set(key, had, Some(UNTOLD.to_owned()))])
}

/// The tag was there before. An event whose kind tells more keeps it.
fn become_update(event: &mut Event, tag: &str, old: &str) {
    if old != UNTOLD {
        event.from = Some(with_old_digest(event.artifact.as_ref(), tag, old));
    }
    if event.kind == EventKind::ARTIFACT_INGESTED {
        event.kind = EventKind::ARTIFACT_UPDATED;
    }
}

fn push_by_digest(event: Event, key: String, what: Option<String>) -> Decision {
    if what.as_deref() == Some(MANIFEST) {
        return unchanged();
    }
    publish(event, vec![set(key, what, Some(MANIFEST.to_owned()))])
}

fn push_blob(event: Event, key: String, is_known: bool) -> Decision {
    let cursors = if is_known { Vec::new() } else { vec![set(key, None, Some(BLOB.to_owned()))] };
    publish(event, cursors)
}

fn delete_digest(mut event: Event, key: String, what: Option<String>) -> Decision {
    match what.as_deref() {
        Some(BLOB) => become_blob(&mut event),
        Some(_) => event.kind = EventKind::ARTIFACT_DELETED,
        None => {}
    }
    publish(event, vec![set(key, what, None)])
}

/// A package URL names artifacts; a blob is none.
fn become_blob(event: &mut Event) {
    event.kind = EventKind::BLOB_DELETED;
    if let Some(artifact) = &mut event.artifact {
        artifact.purl = None;
        artifact.oci.get_or_insert_default().role = Some(OciRole::Blob);
    }
}

/// What the tag, the version or the path stood for before: the same coordinates with the old
/// digest.
fn with_old_digest(artifact: Option<&Artifact>, tag: &str, old: &str) -> Artifact {
    let mut from = Artifact::default();
    if let Some(artifact) = artifact {
        from.tags.extend(artifact.tags.iter().find(|one| *one == tag).cloned());
        from.version.clone_from(&artifact.version);
        from.registry.clone_from(&artifact.registry);
        from.repository.clone_from(&artifact.repository);
        from.package_type.clone_from(&artifact.package_type);
        from.namespace.clone_from(&artifact.namespace);
        from.name.clone_from(&artifact.name);
    }
    from.digest = Some(old.to_owned());
    #[cfg(feature = "purl")]
    {
        from.purl = from.derive_purl();
    }
    from
}

fn publish(event: Event, cursors: Vec<CursorMove>) -> Decision {
    Decision::Publish { event: Box::new(event), cursors }
}

fn unchanged() -> Decision {
    Decision::Skip { reason: SkipReason::Unchanged }
}

fn set(key: String, expected: Option<String>, value: Option<String>) -> CursorMove {
    CursorMove::Set { key, expected, value }
}

/// Where the cursors of a repository are, or those of a package in it.
#[derive(Debug)]
struct Place {
    /// What their keys begin with, and no other repository's do: each part is escaped, so that only
    /// the slashes between parts are slashes, and the last one ends the repository's or the
    /// package's name. What is below a repository includes its packages.
    prefix: String,
}

impl Place {
    /// A repository of packages has many names in it, so what has a version is known by its name
    /// too; so is what is in no repository.
    fn of(event: &Event) -> Option<Self> {
        let artifact = event.artifact.as_ref()?;
        let registry = artifact.registry.as_deref().unwrap_or_default();
        let repository = artifact.repository.as_deref();
        let (scope, source) = (event.scope.as_str(), event.source.name.as_str());
        let place = Self::named([scope, source, registry, repository.unwrap_or_default()]);
        let package = |name: &String| place.package(artifact, name);
        match (repository, &artifact.version) {
            (Some(_), None) => Some(place),
            (Some(_), Some(_)) => Some(artifact.name.as_ref().map(package).unwrap_or(place)),
            (None, _) => artifact.name.as_ref().map(package),
        }
    }

    /// Each source has what it told itself: another must not be able to say that it was told
    /// before.
    fn named(scope_source_registry_repository: [&str; 4]) -> Self {
        let mut prefix = String::with_capacity(USUAL_BYTES);
        prefix.push_str("seen/");
        Self { prefix }.below(scope_source_registry_repository)
    }

    fn package(&self, artifact: &Artifact, name: &str) -> Self {
        let parts = [&artifact.package_type, &artifact.namespace].map(Option::as_deref);
        let [of_type, namespace] = parts.map(Option::unwrap_or_default);
        Self { prefix: format!("{}package/", self.prefix) }.below([of_type, namespace, name])
    }

    fn below<const N: usize>(mut self, parts: [&str; N]) -> Self {
        for part in parts {
            push_escaped(&mut self.prefix, part);
            self.prefix.push('/');
        }
        self
    }

    fn tag(&self, tag: &str) -> String {
        self.key("tag/", tag)
    }

    fn digest(&self, digest: &str) -> String {
        self.key("digest/", digest)
    }

    fn key(&self, of: &str, name: &str) -> String {
        let mut key = String::with_capacity(self.prefix.len() + USUAL_BYTES);
        key.push_str(&self.prefix);
        key.push_str(of);
        push_escaped(&mut key, name);
        key
    }
}

/// Adds a text without slashes; different texts stay different.
fn push_escaped(to: &mut String, text: &str) {
    to.extend(byte_serialize(text.as_bytes()));
}

#[cfg(test)]
mod tests;
