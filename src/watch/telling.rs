//! From a change to the event that tells it.

use super::listing::is_name;
use super::{Change, Naming};
use crate::clock::Timestamp;
use crate::document::Problems;
use crate::entropy::OsEntropy;
use crate::event::{
    Artifact, Event, EventKind, MAX_COUNT, MAX_EVENT_BYTES, MAX_TEXT_BYTES, OciFacts, OciRole,
    Scope, Source, is_index, tagged_subject,
};
use crate::id::{EventId, TriggerId};
use crate::trigger::Watch;

/// The name of the source of what watches find.
const SOURCE: &str = "watch";
/// How many bytes of an event are left to what an engine says of it.
const ROOM_BYTES: usize = 1_024;

impl Change {
    /// The id of its event: the same for the same trigger whenever it is found from the same
    /// [`Known`](super::Known), as long as `told_at` is the same. That has to be another once what
    /// is known is another, and not before: when the first poll came due that went on from there.
    pub fn event_id(&self, trigger: TriggerId, told_at: Timestamp) -> EventId {
        let parts = [
            b"watch",
            &trigger.as_bytes()[..],
            &self.sequence.to_be_bytes(),
            self.kind.as_str().as_bytes(),
            self.version.name.as_bytes(),
            self.version.digest.as_deref().unwrap_or_default().as_bytes(),
            self.tag.as_deref().unwrap_or_default().as_bytes(),
        ];
        EventId::derived(told_at, &parts)
    }

    /// The event that tells it, in the scope of the trigger. Its source is `watch`, its instance
    /// the upstream's name. It names no files if it would be larger than an event may be with them.
    ///
    /// # Errors
    /// What all versions have in common is more than an event may have; the upstream's fault.
    pub fn to_event(
        &self,
        id: EventId,
        watch: &Watch,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<Event, Problems> {
        let event = self.event_of(self.told(), id, watch, scope, now)?;
        let most = MAX_EVENT_BYTES - ROOM_BYTES;
        if event.is_surely_within(most) || event.to_json().len() <= most {
            return Ok(event);
        }
        let without = Artifact { files: Vec::new(), ..self.told() };
        let event = self.event_of(without, id, watch, scope, now)?;
        let found = event.to_json().len();
        if found > most {
            return Err(Problems::of(format!("expected at most {most} bytes, found {found}")));
        }
        Ok(event)
    }

    fn event_of(
        &self,
        artifact: Artifact,
        id: EventId,
        watch: &Watch,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<Event, Problems> {
        let is_new = self.kind == EventKind::ARTIFACT_INGESTED;
        let published_at = self.version.published_at.filter(|at| is_new && *at <= now);
        let mut builder = Event::builder(self.kind.clone())
            .id(id)
            .scope(scope.clone())
            .source(Source::new(SOURCE).with_instance(&watch.upstream))
            .occurred_at(published_at.unwrap_or(now))
            .artifact(artifact);
        if let Some(digest) = &self.from_digest {
            builder = builder.from(self.named().with_digest(digest));
        } else if let (Some(tag), Some(version)) = (&self.tag, &self.from_version) {
            builder = builder.from(self.artifact.clone().with_version(version).with_tag(tag));
        }
        builder.build_at(now, &OsEntropy)
    }

    /// What it is about. What is too long or too much for an event is left out.
    fn told(&self) -> Artifact {
        let version = &self.version;
        let mut artifact = self.named();
        if self.naming == Naming::Tag {
            artifact.oci = self.oci_facts();
        }
        let others = version.tags.iter().filter(|tag| is_name(tag)).cloned();
        artifact.tags.extend(others.take(MAX_COUNT - 1));
        artifact.digest.clone_from(&version.digest);
        artifact.size = version.size;
        artifact.url = version.url.clone().filter(|url| is_text(url));
        let files = version.files.iter().filter(|file| is_text(&file.name)).cloned();
        artifact.files = files.take(MAX_COUNT).collect();
        artifact
    }

    /// What all versions have in common, with the name of this one.
    fn named(&self) -> Artifact {
        let (artifact, name) = (self.artifact.clone(), &self.version.name);
        match self.naming {
            Naming::Version => artifact.with_version(name),
            Naming::Tag => artifact.with_tag(name),
        }
    }

    /// What the tag and the media type tell.
    fn oci_facts(&self) -> Option<OciFacts> {
        let mut facts = self.artifact.oci.clone().unwrap_or_default();
        facts.media_type = self.version.media_type.clone().filter(|text| is_text(text));
        facts.subject_digest = tagged_subject(&self.version.name);
        if self.kind != EventKind::TAG_DELETED {
            facts.role = Some(match (&facts.subject_digest, &facts.media_type) {
                (Some(_), _) => OciRole::Referrer,
                (None, Some(media_type)) if is_index(media_type) => OciRole::Index,
                _ => OciRole::Manifest,
            });
        }
        (facts != OciFacts::default()).then_some(facts)
    }
}

/// Whether an event may have it.
fn is_text(text: &str) -> bool {
    (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}
