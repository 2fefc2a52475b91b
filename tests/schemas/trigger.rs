//! The schema of the trigger.

use serde_json::{Map, Value, json};

use super::write::*;

pub(crate) fn trigger() -> Value {
    let pattern = json!({
        "type": "string",
        "maxLength": 130,
        "pattern": format!("^(\\*|{KIND}(\\.\\*)?)$"),
        "examples": ["artifact.ingested", "artifact.*", "*"]
    });
    let kinds = json!({"type": "array", "minItems": 1, "maxItems": 64, "items": pattern});
    let labels = json!({
        "type": "object", "maxProperties": 64, "propertyNames": name(), "additionalProperties": name()
    });
    let mut members = closed(vec![
        required("name", said("The name that people know, unique within the scope.", name())),
        optional(
            "scope",
            said("It sees the events at and below this scope; the root if absent.", scope()),
        ),
        optional(
            "kinds",
            said(
                "It wants events of any of these kinds; with a schedule schedule.fired, also if absent, \
                 with a watch all if absent.",
                kinds,
            ),
        ),
        optional("schedule", said("When the engine makes an event for it.", schedule())),
        optional("watch", said("What the engine polls for it.", watch())),
        optional(
            "filter",
            said(
                "It wants events that satisfy this: the EventBridge pattern language, and more.",
                filter(),
            ),
        ),
        required("target", said("Where they go.", target())),
        optional("policy", said("How they are delivered.", policy())),
        optional(
            "enabled",
            said("Whether it is enabled; true if absent.", json!({"type": "boolean"})),
        ),
        optional("labels", said("Short texts for people and their tools.", labels)),
    ]);
    let has = |name: &str| json!({"required": [name], "properties": {name: {"type": "object"}}});
    let fired = json!({"type": ["array", "null"], "items": {"const": "schedule.fired"}});
    members["if"] = json!({"anyOf": [has("schedule"), has("watch")]});
    members["else"] = json!({"required": ["kinds"], "properties": {"kinds": {"type": "array"}}});
    members["allOf"] = json!([
        {"if": has("schedule"), "then": {"properties": {"kinds": fired}}},
        {"not": {"allOf": [has("schedule"), has("watch")]}}
    ]);
    members["$defs"] = json!({"pattern": pattern_of_filter(), "condition": condition()});
    document("trigger", "Trigger", "What somebody writes to be told of events.", members)
}

fn watch() -> Value {
    let glob = json!({"type": "string", "minLength": 1, "maxLength": 256});
    let globs = json!({"anyOf": [
        glob, {"type": "array", "maxItems": 64, "items": glob}
    ]});
    let versions = closed(vec![
        optional("glob", said("They fit one of these patterns.", globs)),
        optional("semver", said("They meet a requirement such as >=1.2.", string())),
    ]);
    let either = json!({"enum": ["fire", "ignore"]});
    closed(vec![
        required("upstream", said("The name that the engine knows the upstream by.", name())),
        required("package", said("What is watched there, as the upstream calls it.", name())),
        optional("every", said("How long after one poll the next comes; 15m if absent.", span())),
        optional("jitter", said("By how much later at most; a tenth of every if absent.", span())),
        optional(
            "first",
            said(
                "What the first poll does; baseline if absent.",
                json!({"enum": ["baseline", "fire"]}),
            ),
        ),
        optional("moved", said("Of one whose content is another; fire if absent.", either.clone())),
        optional("removed", said("Of one that is not there any more; ignore if absent.", either)),
        optional("versions", said("Which versions or tags; all if absent.", versions)),
    ])
}

fn schedule() -> Value {
    let cron = json!({"type": "string", "minLength": 1, "maxLength": 256});
    let all = json!({"type": "integer", "minimum": 1, "maximum": 1000});
    let mut schedule = closed(vec![
        optional(
            "cron",
            said("A cron expression of five fields, or six with seconds first.", cron),
        ),
        optional("at", said("Once, at this time.", time())),
        optional("every", said("Again and again: 1s or more.", span())),
        optional("from", said("When a period begins.", time())),
        optional("time_zone", said("Whose wall clock cron goes by; UTC if absent.", string())),
        optional(
            "missed",
            said(
                "What becomes of due times that were missed; once if absent.",
                json!({"anyOf": [
                    {"enum": ["skip", "once"]},
                    {
                        "type": "object",
                        "properties": {"all": all},
                        "required": ["all"],
                        "additionalProperties": false
                    }
                ]}),
            ),
        ),
        optional("jitter", said("By how much later it fires at most.", span())),
    ]);
    let only = |there: &[&str]| {
        let members = ["cron", "at", "every", "from"];
        let absent = members.into_iter().filter(|name| !there.contains(name)).map(optional_null);
        let present = there.iter().map(|name| ((*name).to_owned(), string()));
        let properties: Map<String, Value> = absent.chain(present).collect();
        json!({"required": there, "properties": properties})
    };
    let mut others = [only(&["at"]), only(&["every", "from"])];
    for other in &mut others {
        other["properties"]["time_zone"] = json!({"type": "null"});
    }
    let [at, every] = others;
    schedule["anyOf"] = json!([only(&["cron"]), at, every]);
    schedule
}

fn filter() -> Value {
    let mut filter = pattern_of_filter();
    filter.as_object_mut().unwrap().remove("minProperties");
    filter
}

/// Fields with conditions, and what joins them.
fn pattern_of_filter() -> Value {
    let pattern = json!({"$ref": "#/$defs/pattern"});
    let patterns = json!({"type": "array", "minItems": 1, "items": pattern});
    json!({
        "type": "object",
        "minProperties": 1,
        "properties": {"$or": patterns, "$and": patterns, "$not": pattern},
        "propertyNames": {"anyOf": [
            {"enum": ["$or", "$and", "$not"]},
            {"not": {"pattern": "^\\$"}}
        ]},
        "additionalProperties": {"anyOf": [
            pattern,
            {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/condition"}}
        ]}
    })
}

/// What a field is to be: a value, or what one operator says.
fn condition() -> Value {
    json!({"anyOf": [
        {"type": ["string", "number", "boolean", "null"]},
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "propertyNames": {"enum": OPERATORS}
        }
    ]})
}

const OPERATORS: [&str; 14] = [
    "anything-but",
    "cidr",
    "contains",
    "equals-ignore-case",
    "exactly",
    "exists",
    "glob",
    "numeric",
    "prefix",
    "regex",
    "semver",
    "suffix",
    "version",
    "wildcard",
];

/// One of several members, and no other.
fn one_of(members: Vec<(&'static str, Value)>) -> Value {
    let others = |name: &str| {
        members
            .iter()
            .filter(|(other, _)| *other != name)
            .map(|(other, _)| optional_null(other))
            .collect::<Map<String, Value>>()
    };
    let alternatives: Vec<Value> = members
        .iter()
        .map(|(name, schema)| {
            let mut properties = others(name);
            properties.insert((*name).to_owned(), schema.clone());
            json!({
                "type": "object",
                "properties": properties,
                "required": [name],
                "additionalProperties": false
            })
        })
        .collect();
    json!({"anyOf": alternatives})
}

fn optional_null(name: &str) -> (String, Value) {
    (name.to_owned(), json!({"type": "null"}))
}

fn target() -> Value {
    let action = closed(vec![
        required("name", said("The name that the handler was registered under.", name())),
        optional("config", said("What the handler is told.", json!({}))),
    ]);
    one_of(vec![
        ("webhook", said("An HTTP endpoint.", webhook())),
        ("action", said("A named in-process handler.", action)),
    ])
}

fn webhook() -> Value {
    let headers = json!({
        "type": "object",
        "maxProperties": 32,
        "propertyNames": field_name(),
        "additionalProperties": {"type": "string", "maxLength": 4096, "pattern": "^[\\t\\x20-\\x7e]*$"}
    });
    let mut webhook = closed(vec![
        required("url", said("Where to.", url())),
        optional("format", said("The form in which events are sent; native if absent.", format())),
        optional(
            "scheme",
            said("How messages are signed; by Standard Webhooks if absent.", scheme()),
        ),
        optional(
            "secrets",
            said(
                "What messages are signed with, the newest first.",
                json!({"type": "array", "maxItems": 64, "items": secret()}),
            ),
        ),
        optional("headers", said("Header fields to send besides.", headers)),
        optional("auth", said("How the engine proves who it is, beside the signature.", auth())),
    ]);
    webhook["description"] = json!("An HTTP endpoint.");
    webhook
}

fn url() -> Value {
    json!({
        "type": "string",
        "maxLength": 2048,
        "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#\\s\\\\]"
    })
}

/// What a format is told is its own to say: see the manual.
fn format() -> Value {
    json!({"anyOf": [
        {"type": "string"},
        {"type": "object", "minProperties": 1, "maxProperties": 1,
         "properties": {"template": template()},
         "additionalProperties": {"type": "object"}}
    ]})
}

fn template() -> Value {
    let text = json!({"type": "string", "maxLength": 65536});
    let texts = json!({"type": "object", "maxProperties": 32, "additionalProperties": text});
    said(
        "A request that is made of an event.",
        closed(vec![
            optional(
                "method",
                said("Makes POST, PUT, PATCH, DELETE or GET; POST if absent.", text.clone()),
            ),
            optional("path", said("Makes what is appended to the path of the URL.", text.clone())),
            optional(
                "query",
                said(
                    "Makes the values of parameters that are appended to the query.",
                    texts.clone(),
                ),
            ),
            optional("headers", said("Makes header fields.", texts)),
            optional(
                "content_type",
                said(
                    "The media type of the body; application/json if absent.",
                    json!({"type": "string", "maxLength": 256, "pattern": "^[\\t\\x20-\\x7e]*/[\\t\\x20-\\x7e]*$"}),
                ),
            ),
            optional("body", said("Makes the body; none if absent.", text)),
        ]),
    )
}

fn scheme() -> Value {
    let named = json!({"type": "string", "enum": ["standard-webhooks", "github", "http-message-signatures"]});
    let told = one_of(vec![
        ("harness", closed(vec![optional("prefix", string())])),
        ("timestamped", closed(vec![required("header", field_name())])),
        ("signer", string()),
    ]);
    json!({"anyOf": [named, told]})
}

fn secret() -> Value {
    let text = json!({"type": "string", "pattern": "^(whsec_|whsk_|text:)"});
    let span = || {
        vec![
            optional("active_from", said("It signs from this time on.", time())),
            optional("expires_at", said("It signs no more from this time on.", time())),
        ]
    };
    let by = |held: Member, none: &'static str| {
        let mut members = span();
        members.push(held);
        members.push(optional(none, json!({"type": "null"})));
        closed(members)
    };
    json!({"anyOf": [
        text,
        by(required("secret", text.clone()), "provider"),
        by(required("provider", reference()), "secret"),
    ]})
}

fn auth() -> Value {
    let credential =
        json!({"anyOf": [ascii(4096), closed(vec![required("provider", reference())])]});
    one_of(vec![
        ("bearer", closed(vec![required("token", credential.clone())])),
        (
            "basic",
            closed(vec![required("user", string()), required("password", credential.clone())]),
        ),
        (
            "api_key",
            closed(vec![required("header", string()), required("key", credential.clone())]),
        ),
        (
            "oauth2",
            closed(vec![
                required("token_url", url()),
                required("client_id", ascii(512)),
                required("client_secret", credential),
                optional("scope", ascii(512)),
                optional("audience", ascii(512)),
                optional("client_auth", json!({"type": "string", "enum": ["basic", "form"]})),
            ]),
        ),
    ])
}

fn policy() -> Value {
    let names = |names: &[&str]| json!({"type": "string", "enum": names});
    let pauses = json!({"type": "array", "maxItems": 99, "items": span()});
    let exponential = closed(vec![
        required("first", span()),
        optional("factor", json!({"type": "number", "minimum": 1})),
        optional("longest", span()),
        required("attempts", json!({"type": "integer", "minimum": 1, "maximum": 100})),
    ]);
    let batch = closed(vec![
        optional("max_events", json!({"type": "integer", "minimum": 2, "maximum": 1000})),
        optional("max_wait", span()),
        optional("max_bytes", json!({"type": "integer", "minimum": 1024, "maximum": 16_777_216})),
    ]);
    let mut span_or_never = json!({"anyOf": [span(), {"const": "never"}]});
    span_or_never["description"] =
        json!("After how long a span of failure the trigger is suspended; 5d if absent.");
    closed(vec![
        optional(
            "retry",
            said(
                "The pauses between attempts.",
                one_of(vec![("pauses", pauses), ("exponential", exponential)]),
            ),
        ),
        optional(
            "jitter",
            said("How the pauses are spread.", names(&["none", "added", "equal", "full"])),
        ),
        optional("timeout", said("How long one attempt may take; 20s if absent.", span())),
        optional("max_age", said("How old a delivery may grow.", span())),
        optional(
            "final_statuses",
            said(
                "Statuses that are not tried again.",
                json!({
                    "type": "array", "maxItems": 64, "items": {"type": "integer", "minimum": 300, "maximum": 599}
                }),
            ),
        ),
        optional(
            "order",
            said(
                "Which deliveries go one after the other.",
                names(&["none", "per_artifact", "strict"]),
            ),
        ),
        optional(
            "on_dead",
            said(
                "What a dead letter is to those behind it in the order.",
                names(&["skip", "block"]),
            ),
        ),
        optional("disable_after", span_or_never),
        optional(
            "while_suspended",
            said(
                "What becomes of what is published while it is suspended.",
                names(&["park", "drop"]),
            ),
        ),
        optional("batch", said("Several events go in one request.", batch)),
        optional("coalesce", said("Which deliveries stand for others.", coalesce())),
    ])
}

fn coalesce() -> Value {
    let names = |names: &[&str]| json!({"type": "string", "enum": names});
    let per = || optional("per", names(&["artifact", "trigger"]));
    let quiet = closed(vec![required("span", span()), optional("max_wait", span()), per()]);
    let places = json!({
        "type": "array", "minItems": 2, "maxItems": 16, "uniqueItems": true,
        "items": {"type": "string", "minLength": 1, "maxLength": 255}
    });
    let all_of = closed(vec![
        required("names", places),
        optional("by", names(&["registry", "source"])),
        optional("within", span()),
    ]);
    one_of(vec![
        ("newest", closed(vec![per()])),
        ("quiet", quiet),
        ("at_most_every", closed(vec![required("span", span()), per()])),
        ("index_within", closed(vec![required("span", span())])),
        ("all_of", all_of),
    ])
}
