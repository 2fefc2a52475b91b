//! The schemas of the event and of the native payload.

use serde_json::{Value, json};

use super::write::*;

pub(crate) fn event() -> Value {
    document(
        "event",
        "Event",
        "One fact about an artifact, a repository, a tag, a scan … Members that are not known are kept.",
        members_of_event(),
    )
}

pub(crate) fn native_payload() -> Value {
    let trigger = kept(vec![
        required("id", said("The trigger that wanted the event.", id("trg"))),
        required("name", said("Its name.", name())),
    ]);
    let members = kept(vec![
        optional(
            "id",
            said("In a batch: the message id of this event, the same on every attempt.", id("msg")),
        ),
        required("type", said("What happened: the event's kind.", kind())),
        required("timestamp", said("When it happened.", time())),
        required("trigger", trigger),
        required("data", said("The event.", members_of_event())),
    ]);
    let one = json!({"$ref": "#/$defs/payload"});
    let either = json!({
        "anyOf": [one, {"type": "array", "items": one, "description": "Of a trigger that batches."}],
        "$defs": {"payload": members},
    });
    document(
        "native-payload",
        "Native payload",
        "What a webhook of the format `native` has as body.",
        either,
    )
}

fn kind() -> Value {
    json!({
        "type": "string",
        "maxLength": 128,
        "pattern": format!("^{KIND}$"),
        "examples": ["artifact.ingested", "artifact.deleted", "tag.moved", "scan.completed"]
    })
}

fn members_of_event() -> Value {
    let mut event = kept(vec![
        required(
            "spec_version",
            said(
                "The version of this form: 1 and any minor one.",
                json!({"type": "string", "pattern": "^1\\.[0-9]{1,9}$"}),
            ),
        ),
        required(
            "id",
            said("The event's own id: one that comes again is the same event.", id("evt")),
        ),
        required("kind", said("What happened.", kind())),
        optional(
            "scope",
            said(
                "Where it belongs: account/organisation/project/registry; the root if empty or absent.",
                scope(),
            ),
        ),
        required("source", source()),
        required("occurred_at", said("When it happened, by the source's clock.", time())),
        required("received_at", said("When it was told.", time())),
        optional("artifact", said("What it is about.", artifact())),
        optional(
            "from",
            said(
                "Where it came from: the other place of a move, copy, promotion or mount; the old digest of an update.",
                artifact(),
            ),
        ),
        optional("actor", said("Who did it.", actor())),
        optional("correlation", correlation()),
        optional("attributes", said("Short texts that the registry adds, for filters.", texts())),
        optional(
            "data",
            said("Anything else: a scan's result, a receiver's original document.", json!({})),
        ),
    ]);
    event["allOf"] = json!([
        about("artifact", json!({"anyOf": [has("name"), has("repository"), has("digest")]})),
        about(
            "tag",
            json!({
                "required": ["tags"],
                "properties": {"tags": {"type": "array", "minItems": 1}}
            })
        ),
        about("repository", has("repository")),
    ]);
    event
}

/// What an event must tell whose kind begins with a word.
fn about(stem: &str, artifact: Value) -> Value {
    json!({
        "if": {
            "properties": {"kind": {"pattern": format!("^{stem}(\\.|$)")}},
            "required": ["kind"]
        },
        "then": {
            "properties": {"artifact": {"type": "object", "allOf": [artifact]}},
            "required": ["artifact"]
        }
    })
}

fn has(member: &str) -> Value {
    json!({"required": [member], "properties": {member: {"type": "string"}}})
}

fn source() -> Value {
    kept(vec![
        required(
            "name",
            said(
                "Who told it: `registry` for the embedder itself, or the name of a provider.",
                text(),
            ),
        ),
        optional("instance", said("Which one of its kind it is: a host, a node.", text())),
        optional("id", said("The id that the source itself gave the event.", text())),
    ])
}

fn artifact() -> Value {
    let package_type = json!({"type": "string", "pattern": "^[a-z][a-z0-9.+_-]{0,63}$", "examples": ["oci", "npm", "maven"]});
    let tags = json!({"type": "array", "maxItems": 1024, "items": no_digest()});
    let files = json!({"type": "array", "maxItems": 1024, "items": file()});
    kept(vec![
        optional(
            "registry",
            said(
                "The registry: its host, with the port if it is not the scheme's own, or its name.",
                text(),
            ),
        ),
        optional("repository", said("The repository within the registry.", text())),
        optional(
            "package_type",
            said("The kind of package, as package URLs name it.", package_type),
        ),
        optional(
            "namespace",
            said("What groups packages: an npm scope with its @, a Maven group id.", text()),
        ),
        optional("name", said("The package's name, without its namespace.", text())),
        optional(
            "version",
            said("The version, as its ecosystem writes it; not a digest.", no_digest()),
        ),
        optional("tags", said("The tags concerned; not digests.", tags)),
        optional("digest", said("The digest of the content.", digest())),
        optional("purl", said("The package URL of this version.", text())),
        optional("url", said("Where the artifact can be fetched.", text())),
        optional("size", said("The size of the content, in bytes.", count())),
        optional("oci", said("What only OCI artifacts have.", oci())),
        optional("files", said("The files of the artifact.", files)),
    ])
}

fn file() -> Value {
    kept(vec![
        required("name", said("The file's name or its path within the artifact.", text())),
        optional("size", said("Its size, in bytes.", count())),
        optional("digest", digest()),
        optional("media_type", text()),
    ])
}

fn oci() -> Value {
    let children = json!({"type": "array", "maxItems": 1024, "items": digest()});
    kept(vec![
        optional("media_type", said("The media type of the manifest or blob.", text())),
        optional("artifact_type", text()),
        optional(
            "role",
            said(
                "What the content is to others: index, manifest, child, referrer, blob, or a role of later versions.",
                text(),
            ),
        ),
        optional(
            "parent_digest",
            said("The digest of the index that this manifest is a child of.", digest()),
        ),
        optional(
            "child_digests",
            said("The digests of the children, if this is an index.", children),
        ),
        optional(
            "subject_digest",
            said("The digest of the manifest that this one refers to.", digest()),
        ),
        optional(
            "platform",
            kept(vec![
                optional("architecture", text()),
                optional("os", text()),
                optional("variant", text()),
            ]),
        ),
        optional("annotations", said("The manifest's annotations.", texts())),
    ])
}

fn actor() -> Value {
    kept(vec![
        optional("id", said("The id in the registry.", text())),
        optional("name", said("The name that people know.", text())),
        optional(
            "kind",
            said("user, robot, internal, anonymous, or a kind of later versions.", text()),
        ),
        optional("address", said("The network address that the request came from.", text())),
    ])
}

fn correlation() -> Value {
    let hops = json!({"type": "array", "maxItems": 1024, "items": text()});
    said(
        "What it belongs to.",
        kept(vec![
            optional("trace_parent", said("traceparent of W3C Trace Context.", text())),
            optional("trace_state", said("tracestate of W3C Trace Context.", text())),
            optional(
                "request_id",
                said("The registry's id of the request that caused the event.", text()),
            ),
            optional("cause", said("The event that caused this one.", id("evt"))),
            optional(
                "hops",
                said(
                    "The triggers that events went through on their way to this one, oldest first.",
                    hops,
                ),
            ),
        ]),
    )
}
