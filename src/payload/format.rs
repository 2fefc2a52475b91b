//! Which form events are sent in, with what it needs to know, and how that is written in JSON.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

#[cfg(feature = "template")]
use super::Template;
use super::chat::{discord, slack, teams};
use super::{
    Cdevents, Chat, GithubDispatch, GitlabPipeline, Harness, Payload, TriggerName, cloudevents,
    distribution, harbor, native,
};
use crate::document::{Field, Object, Problems, cut, join, misshapen};
use crate::event::Event;

/// The form in which an event is sent.
///
/// In JSON it is the `format` of a webhook: a name such as `"native"`, or an object with the name
/// and what the format is to know, such as `{"harness": {"prefix": "Gitness"}}`. A format that
/// needs to know nothing can be named alone. The [manual](crate::manual::formats) shows what each
/// sends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PayloadFormat {
    /// `{"type", "timestamp", "trigger", "data"}`, as Standard Webhooks recommends: the kind, when
    /// it happened, the trigger's id and name, and the event's JSON.
    #[default]
    Native,
    /// CloudEvents 1.0, structured: one JSON object with the event's JSON as `data`.
    CloudeventsStructured,
    /// CloudEvents 1.0, binary: attributes in `ce-` headers, the event's JSON as body.
    CloudeventsBinary,
    /// An artifact event of CDEvents, in CloudEvents 1.0.
    Cdevents(Cdevents),
    /// The envelope of the Docker / OCI distribution registry's notifications.
    Distribution,
    /// The default payload of Harbor's webhooks.
    Harbor,
    /// What the webhooks of a Harness registry send.
    Harness(Harness),
    /// A message for an incoming webhook of Slack.
    Slack(Chat),
    /// A message for a workflow of Microsoft Teams.
    Teams(Chat),
    /// A message for a webhook of Discord.
    Discord(Chat),
    /// A `repository_dispatch` of GitHub, for its workflows.
    GithubDispatch(GithubDispatch),
    /// A pipeline trigger of GitLab.
    GitlabPipeline(GitlabPipeline),
    /// A request that is made by a [template](crate::manual::templates).
    #[cfg(feature = "template")]
    Template(Template),
}

/// Reads what a format is to know.
type Read = fn(&mut Object, &mut Problems) -> Option<PayloadFormat>;

impl PayloadFormat {
    /// The names of all formats, and how each is read.
    const READERS: &[(&str, Read)] = &[
        ("native", |_, _| Some(Self::Native)),
        ("cloudevents-structured", |_, _| Some(Self::CloudeventsStructured)),
        ("cloudevents-binary", |_, _| Some(Self::CloudeventsBinary)),
        ("cdevents", |object, problems| Some(Self::Cdevents(Cdevents::take(object, problems)))),
        ("distribution", |_, _| Some(Self::Distribution)),
        ("harbor", |_, _| Some(Self::Harbor)),
        ("harness", |object, problems| Some(Self::Harness(Harness::take(object, problems)))),
        ("slack", |object, problems| Some(Self::Slack(Chat::take(object, problems)))),
        ("teams", |object, problems| Some(Self::Teams(Chat::take(object, problems)))),
        ("discord", |object, problems| Some(Self::Discord(Chat::take(object, problems)))),
        ("github-dispatch", |object, problems| {
            Some(Self::GithubDispatch(GithubDispatch::take(object, problems)))
        }),
        ("gitlab-pipeline", |object, problems| {
            GitlabPipeline::take(object, problems).map(Self::GitlabPipeline)
        }),
        #[cfg(feature = "template")]
        ("template", |object, problems| Some(Self::Template(Template::take(object, problems)))),
        #[cfg(not(feature = "template"))]
        ("template", take_template),
    ];

    /// The format's name, as in JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::CloudeventsStructured => "cloudevents-structured",
            Self::CloudeventsBinary => "cloudevents-binary",
            Self::Cdevents(_) => "cdevents",
            Self::Distribution => "distribution",
            Self::Harbor => "harbor",
            Self::Harness(_) => "harness",
            Self::Slack(_) => "slack",
            Self::Teams(_) => "teams",
            Self::Discord(_) => "discord",
            Self::GithubDispatch(_) => "github-dispatch",
            Self::GitlabPipeline(_) => "gitlab-pipeline",
            #[cfg(feature = "template")]
            Self::Template(_) => "template",
        }
    }

    /// Whether several events have a form in which they go in one request.
    pub fn has_batches(&self) -> bool {
        match self {
            Self::Native
            | Self::CloudeventsStructured
            | Self::Distribution
            | Self::Slack(_)
            | Self::Teams(_)
            | Self::Discord(_) => true,
            Self::Cdevents(cdevents) => !cdevents.binary,
            _ => false,
        }
    }

    /// Whether what it is sent to mostly answers with what it has started.
    #[cfg(feature = "engine")]
    pub(crate) fn starts_runs(&self) -> bool {
        matches!(self, Self::GitlabPipeline(_)) || self.is_template()
    }

    /// Whether a template makes it: that takes time, and may fail.
    #[cfg(feature = "engine")]
    pub(crate) fn is_template(&self) -> bool {
        self.as_str() == "template"
    }

    /// What is sent of an event to a trigger's receiver.
    ///
    /// `event_json` is the event's own JSON, so that many triggers share one serialisation. What a
    /// template can make nothing of is [said so](Payload::unmade).
    pub fn render(&self, event: &Event, event_json: &[u8], trigger: TriggerName<'_>) -> Payload {
        match self {
            Self::Native => native::render(event, event_json, trigger),
            Self::CloudeventsStructured => cloudevents::structured(event, event_json),
            Self::CloudeventsBinary => cloudevents::binary(event, event_json),
            Self::Cdevents(cdevents) => cdevents.render(event, event_json),
            Self::Distribution => distribution::render(event),
            Self::Harbor => harbor::render(event),
            Self::Harness(harness) => harness.render(event, trigger),
            Self::Slack(chat) => slack::render(chat, event, trigger),
            Self::Teams(chat) => teams::render(chat, event, trigger),
            Self::Discord(chat) => discord::render(chat, event, trigger),
            Self::GithubDispatch(github) => github.render(event, event_json, trigger),
            Self::GitlabPipeline(gitlab) => gitlab.render(event, trigger),
            #[cfg(feature = "template")]
            Self::Template(template) => match template.render(event_json, trigger) {
                Ok(payload) => payload,
                Err(problems) => Payload::of_unmade(event_json, problems.to_string()),
            },
        }
    }

    /// Reports what the format cannot work with.
    pub(crate) fn check(&self, path: &str, problems: &mut Problems) {
        let path = join(path, self.as_str());
        match self {
            Self::Harness(harness) => harness.check(&path, problems),
            Self::Slack(chat) | Self::Teams(chat) | Self::Discord(chat) => {
                chat.check(&path, problems);
            }
            Self::GithubDispatch(github) => github.check(&path, problems),
            Self::GitlabPipeline(gitlab) => gitlab.check(&path, problems),
            Self::Native
            | Self::CloudeventsStructured
            | Self::CloudeventsBinary
            | Self::Cdevents(_)
            | Self::Distribution
            | Self::Harbor => {}
            #[cfg(feature = "template")]
            Self::Template(template) => template.check(&path, problems),
        }
    }

    /// The header fields that are the format's to set, in lower case, beside `content-type` and
    /// those that begin with `ce-`.
    pub(crate) fn header_names(&self) -> Vec<String> {
        match self {
            Self::Harness(harness) => harness.header_names(),
            Self::GithubDispatch(_) => GithubDispatch::header_names(),
            #[cfg(feature = "template")]
            Self::Template(template) => template.header_names(),
            _ => Vec::new(),
        }
    }

    /// What the format was told to know. All of it is written: a default may change.
    fn parameters(&self) -> Option<Value> {
        match self {
            Self::Cdevents(cdevents) => Some(cdevents.to_value()),
            Self::Harness(harness) => Some(harness.to_value()),
            Self::Slack(chat) | Self::Teams(chat) | Self::Discord(chat) => Some(chat.to_value()),
            Self::GithubDispatch(github) => Some(github.to_value()),
            Self::GitlabPipeline(gitlab) => Some(gitlab.to_value()),
            Self::Native
            | Self::CloudeventsStructured
            | Self::CloudeventsBinary
            | Self::Distribution
            | Self::Harbor => None,
            #[cfg(feature = "template")]
            Self::Template(template) => serde_json::to_value(template).ok(),
        }
    }

    fn to_value(&self) -> Value {
        let name = self.as_str().to_owned();
        match self.parameters() {
            Some(parameters) => Value::Object(Map::from_iter([(name, parameters)])),
            None => Value::String(name),
        }
    }
}

/// What others wrote by a feature that is not there is no mistake in its members.
#[cfg(not(feature = "template"))]
fn take_template(object: &mut Object, problems: &mut Problems) -> Option<PayloadFormat> {
    problems.add(object.path(""), "takes the feature template, which is not compiled in");
    object.clear();
    None
}

impl Serialize for PayloadFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl Field for PayloadFormat {
    const EXPECTED: &'static str = "native, cloudevents-structured, cloudevents-binary, cdevents, \
                                    distribution, harbor, harness, slack, teams, discord, \
                                    github-dispatch, gitlab-pipeline or template, or an object with one of \
                                    them";

    fn read(value: Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let (name, parameters) = match value {
            Value::String(name) => (name, Value::Object(Map::new())),
            Value::Object(members) if members.len() == 1 => members.into_iter().next()?,
            other => {
                misshapen(&other, Self::EXPECTED, path, problems);
                return None;
            }
        };
        let Some((_, read)) = Self::READERS.iter().find(|(known, _)| *known == name) else {
            let found = cut(&name);
            problems.add(path, format!("expected {}, found {found:?}", Self::EXPECTED));
            return None;
        };
        let mut object = Object::read(parameters, &join(path, &name), problems)?;
        let format = read(&mut object, problems);
        object.finish(problems);
        format
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<PayloadFormat, String> {
        Problems::gather(|problems| PayloadFormat::read(value, "format", problems))
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_name_is_a_format_and_an_object_says_more_of_it() {
        assert_eq!(read(json!("cloudevents-binary")), Ok(PayloadFormat::CloudeventsBinary));
        assert_eq!(read(json!({"native": {}})), Ok(PayloadFormat::Native));
        assert_eq!(read(json!("harness")), Ok(PayloadFormat::Harness(Harness::default())));
        let acme = PayloadFormat::Harness(Harness::default().with_prefix("Acme"));
        assert_eq!(read(json!({"harness": {"prefix": "Acme"}})), Ok(acme.clone()));
        assert_eq!(json!(acme), json!({"harness": {"prefix": "Acme"}}));
        assert_eq!(json!(PayloadFormat::Native), json!("native"));
    }

    #[test]
    fn every_problem_of_a_format_is_named_where_it_is() {
        let expected = PayloadFormat::EXPECTED;
        for (value, problem) in [
            (json!(1), format!("format: expected {expected}, found 1")),
            (json!({}), format!("format: expected {expected}, found an object")),
            (
                json!({"native": {}, "slack": {}}),
                format!("format: expected {expected}, found an object"),
            ),
            (json!("xml"), format!("format: expected {expected}, found \"xml\"")),
            (json!({"xml": {}}), format!("format: expected {expected}, found \"xml\"")),
            (json!({"native": 1}), "format.native: expected an object, found 1".to_owned()),
            (
                json!({"native": {"a": 1}}),
                "format.native.a: is not a member of this object".to_owned(),
            ),
            (
                json!({"harness": {"prefix": 7, "word": ""}}),
                "format.harness.prefix: expected a string, found 7; \
                 format.harness.word: is not a member of this object"
                    .to_owned(),
            ),
        ] {
            assert_eq!(read(value), Err(problem));
        }
    }

    #[test]
    fn every_format_is_among_what_is_expected() {
        for (name, _) in PayloadFormat::READERS {
            assert!(PayloadFormat::EXPECTED.contains(name), "{name}");
        }
    }
}
