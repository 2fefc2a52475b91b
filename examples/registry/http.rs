//! What the registry answers over HTTP: packages for everybody, and the pages of an operator.

use std::sync::Arc;
use std::time::Duration;

use artifact_triggers::clock::Timestamp;
use artifact_triggers::engine::{ActivityOptions, Engine, ScanGate, TriggerError};
use artifact_triggers::event::Event;
use artifact_triggers::id::EventId;
use artifact_triggers::retention::Outlook;
use artifact_triggers::storage::{EventQuery, StorageError};
use artifact_triggers::trigger::TriggerSpec;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::AnyError;
use super::retain::Versions;
use super::store::{Coordinates, Pushed, Store, scope};
use super::triggers;

/// The largest content that is taken, in bytes.
const MAX_CONTENT: usize = 64 * 1024 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(crate) store: Arc<Store>,
    pub(crate) engine: Engine,
    pub(crate) versions: Versions,
    /// Who is asked before a push is taken.
    pub(crate) gate: Option<Arc<ScanGate>>,
}

pub(crate) fn router(registry: Registry) -> Router {
    Router::new()
        .route("/packages", get(list))
        .route("/packages/{package}/{version}", put(push).get(pull).delete(delete))
        .layer(DefaultBodyLimit::max(MAX_CONTENT))
        .route("/triggers", get(triggers).post(create_trigger))
        .route("/events", get(events))
        .route("/events/{id}", get(activity))
        .route("/retention", get(retention))
        .with_state(registry)
}

impl Registry {
    /// Does something with the store where waiting for a disk holds up nobody, and has the engine
    /// look at what was left for it.
    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, AnyError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        // The event is in the outbox, and would be found a moment later.
        self.engine.wake_outbox();
        done.map_err(AnyError::from).flatten().map_err(Refusal::Broken)
    }
}

async fn push(
    State(registry): State<Registry>,
    Path((package, version)): Path<(String, String)>,
    content: Bytes,
) -> Result<(StatusCode, String), Refusal> {
    let of = Coordinates::new(package, version)?;
    let said = of.to_string();
    let upload = registry.with_store(move |store| Ok(store.write(&content)?)).await?;
    if let Some(gate) = &registry.gate {
        let admission = gate.admit(&scope(), &upload.artifact(&of)).await;
        if !admission.is_admitted {
            return Err(Refusal::Quarantined(admission.to_string()));
        }
    }
    let push = move |store: &Store| store.push(&of, &upload);
    Ok(match registry.with_store(push).await? {
        Pushed::New => (StatusCode::CREATED, format!("{said} is new\n")),
        Pushed::Changed => (StatusCode::OK, format!("{said} has other content now\n")),
        Pushed::Same => (StatusCode::OK, format!("{said} was there already\n")),
    })
}

async fn pull(
    State(registry): State<Registry>,
    Path((package, version)): Path<(String, String)>,
) -> Result<Vec<u8>, Refusal> {
    let of = Coordinates::new(package, version)?;
    let read = move |store: &Store| {
        let Some(stored) = store.pull(&of)? else { return Ok(Err(Refusal::NotFound)) };
        if let Some(reason) = stored.quarantined {
            return Ok(Err(Refusal::Quarantined(reason)));
        }
        Ok(Ok(std::fs::read(store.path_of(&stored.content.digest))?))
    };
    registry.with_store(read).await?
}

async fn delete(
    State(registry): State<Registry>,
    Path((package, version)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let of = Coordinates::new(package, version)?;
    let was_there = registry.with_store(move |store| store.delete(&of)).await?;
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(Refusal::NotFound) }
}

async fn list(State(registry): State<Registry>) -> Result<Json<Value>, Refusal> {
    let versions = registry.with_store(Store::versions).await?;
    let versions: Vec<_> = versions
        .iter()
        .map(|stored| {
            json!({
                "package": stored.of.package,
                "version": stored.of.version,
                "digest": stored.content.digest,
                "size": stored.content.size,
                "pushed_at": stored.pushed_at,
                "pulled_at": stored.pulled_at,
                "quarantined": stored.quarantined,
            })
        })
        .collect();
    Ok(Json(json!(versions)))
}

/// The newest events.
async fn events(State(registry): State<Registry>) -> Result<Json<Value>, Refusal> {
    let day = Timestamp::now().before(Duration::from_secs(24 * 60 * 60));
    let query = EventQuery::of_scope(scope()).with_from(day).with_limit(1_000);
    let events = registry.engine.events(query).await.map_err(AnyError::from)?;
    let line = |event: &Event| {
        let artifact = event.artifact.clone().unwrap_or_default();
        json!({
            "id": event.id,
            "at": event.occurred_at,
            "kind": event.kind,
            "package": artifact.name,
            "version": artifact.version,
        })
    };
    Ok(Json(events.iter().rev().map(line).collect()))
}

/// What became of an event: where it went and what came of it, and which triggers it does not
/// concern.
async fn activity(
    State(registry): State<Registry>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let id: EventId = id.parse().map_err(|error| format!("id: {error}"))?;
    let options = ActivityOptions::default().with_misses(10);
    let activity = registry.engine.activity(&scope(), id, options).await.map_err(AnyError::from)?;
    Ok(Json(json!(activity.ok_or(Refusal::NotFound)?)))
}

/// What retention would do now.
async fn retention(State(registry): State<Registry>) -> Result<Json<Value>, Refusal> {
    let run = triggers::retention().dry();
    let outlook = Outlook::of(&registry.versions, &scope(), run, Timestamp::now()).await;
    let outlook = outlook.map_err(AnyError::from)?;
    Ok(Json(json!(outlook.judged().collect::<Vec<_>>())))
}

/// The triggers; their secrets are redacted.
async fn triggers(State(registry): State<Registry>) -> Json<Value> {
    Json(json!(registry.engine.triggers(&scope())))
}

async fn create_trigger(
    State(registry): State<Registry>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let spec = TriggerSpec::from_json(&body).map_err(|problems| problems.to_string())?;
    if !scope().contains(&spec.scope) {
        return Err(format!("scope: expected {} or one below it", scope()).into());
    }
    let trigger = registry.engine.create_trigger(spec).await?;
    Ok((StatusCode::CREATED, Json(json!(&*trigger))))
}

/// Why a request is not answered with what it asks for.
#[derive(Debug)]
pub(crate) enum Refusal {
    Malformed(String),
    NotFound,
    Conflict(String),
    Quarantined(String),
    Broken(AnyError),
}

impl From<AnyError> for Refusal {
    fn from(error: AnyError) -> Self {
        Self::Broken(error)
    }
}

impl From<TriggerError> for Refusal {
    fn from(error: TriggerError) -> Self {
        match error {
            TriggerError::Invalid { problems, .. } => Self::Malformed(problems.to_string()),
            TriggerError::Storage(StorageError::Conflict { reason }) => Self::Conflict(reason),
            TriggerError::Storage(error) => Self::Broken(error.into()),
            error => Self::Broken(error.into()),
        }
    }
}

impl From<String> for Refusal {
    fn from(problem: String) -> Self {
        Self::Malformed(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::Malformed(problem) => (StatusCode::BAD_REQUEST, problem),
            Self::NotFound => (StatusCode::NOT_FOUND, "there is no such version".to_owned()),
            Self::Conflict(reason) => (StatusCode::CONFLICT, reason),
            Self::Quarantined(why) => (StatusCode::FORBIDDEN, format!("quarantined: {why}")),
            Self::Broken(error) => {
                eprintln!("an answer failed: {error}");
                (StatusCode::INTERNAL_SERVER_ERROR, "the registry has a problem".to_owned())
            }
        };
        (status, text + "\n").into_response()
    }
}
