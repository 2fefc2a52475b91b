//! How the schemas are written: each member with what it is, as the reader of its type has it.

use serde_json::{Map, Value, json};

/// A member of an object: its name, what it is, and whether it has to be there.
pub(crate) struct Member(&'static str, Value, bool);

pub(crate) fn required(name: &'static str, schema: Value) -> Member {
    Member(name, schema, true)
}

/// One that may be absent, or null.
pub(crate) fn optional(name: &'static str, schema: Value) -> Member {
    let description = schema.get("description").cloned();
    let mut either = json!({"anyOf": [schema, {"type": "null"}]});
    if let Some(description) = description {
        either["description"] = description;
    }
    Member(name, either, false)
}

/// An object. `open` keeps members that are not known.
fn object(members: Vec<Member>, open: bool) -> Value {
    let required: Vec<&str> =
        members.iter().filter(|Member(_, _, required)| *required).map(|member| member.0).collect();
    let properties: Map<String, Value> = members
        .iter()
        .map(|Member(name, schema, _)| ((*name).to_owned(), schema.clone()))
        .collect();
    let mut object = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    if !open {
        object["additionalProperties"] = json!(false);
    }
    object
}

/// An object that keeps what is not known.
pub(crate) fn kept(members: Vec<Member>) -> Value {
    object(members, true)
}

/// An object that has these members and no others.
pub(crate) fn closed(members: Vec<Member>) -> Value {
    object(members, false)
}

pub(crate) fn said(description: &str, mut schema: Value) -> Value {
    schema["description"] = json!(description);
    schema
}

/// A document of its own.
pub(crate) fn document(name: &str, title: &str, description: &str, schema: Value) -> Value {
    let mut document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:artifact-triggers:schema:1:{name}"),
        "title": title,
        "description": description,
    });
    let members = schema.as_object().expect("a schema of a document is an object").clone();
    document.as_object_mut().expect("it was made as one").extend(members);
    document
}

pub(crate) fn string() -> Value {
    json!({"type": "string"})
}

/// Text with something in it and no control characters.
pub(crate) fn text() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 4096, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"})
}

pub(crate) fn name() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"})
}

pub(crate) fn texts() -> Value {
    json!({
        "type": "object",
        "maxProperties": 1024,
        "propertyNames": text(),
        "additionalProperties": {"type": "string", "maxLength": 4096}
    })
}

pub(crate) fn digest() -> Value {
    json!({
        "type": "string",
        "pattern": "^[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]{32,256}$"
    })
}

/// A text that is no digest.
pub(crate) fn no_digest() -> Value {
    let mut schema = text();
    schema["not"] = json!({"pattern": digest()["pattern"]});
    schema
}

/// Printable ASCII, as credentials have it.
pub(crate) fn ascii(most: usize) -> Value {
    json!({"type": "string", "pattern": format!("^[\\t\\x20-\\x7e]{{1,{most}}}$")})
}

/// By what a provider knows a credential.
pub(crate) fn reference() -> Value {
    json!({"type": "string", "pattern": "^[\\x21-\\x7e]{1,512}$"})
}

/// The name of a header field.
pub(crate) fn field_name() -> Value {
    json!({"type": "string", "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"})
}

pub(crate) fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

pub(crate) fn span() -> Value {
    json!({
        "type": "string",
        "pattern": "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        "examples": ["30s", "1h30m", "7d"]
    })
}

pub(crate) fn id(prefix: &str) -> Value {
    json!({"type": "string", "pattern": format!("^{prefix}_[0-9a-f]{{32}}$")})
}

pub(crate) fn count() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": u64::MAX})
}

pub(crate) fn scope() -> Value {
    json!({
        "type": "string",
        "maxLength": 512,
        "pattern": "^([^/\\u0000-\\u001f\\u007f-\\u009f]+(/[^/\\u0000-\\u001f\\u007f-\\u009f]+){0,15})?$"
    })
}

pub(crate) const KIND: &str = "[a-z0-9_-]+(\\.[a-z0-9_-]+)*";
