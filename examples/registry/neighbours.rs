//! What stands beside a registry, played here so that the example needs nobody else: GitLab, of
//! which a pipeline is started, and a chat, in which people read.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::Path;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

pub(crate) fn router() -> Router {
    Router::new()
        .route("/gitlab/api/v4/projects/{project}/ref/{branch}/trigger/pipeline", post(start))
        .route("/gitlab/api/v4/projects/{project}/trigger/pipeline", post(start))
        .route("/chat", post(say))
}

/// Answers as GitLab does: with the id of the pipeline, and where it can be looked at.
async fn start(Path(project): Path<String>, Json(body): Json<Value>) -> Json<Value> {
    static RUNS: AtomicU64 = AtomicU64::new(1);
    let id = RUNS.fetch_add(1, Ordering::Relaxed);
    let purl = body["variables"]["ARTIFACT_PURL"].as_str().unwrap_or("?");
    println!("gitlab: pipeline {id} of {project} for {purl}");
    Json(json!({"id": id, "web_url": format!("https://gitlab.example/pipelines/{id}")}))
}

/// Shows a message as Slack does, without its colours.
async fn say(Json(message): Json<Value>) -> &'static str {
    let blocks = message["blocks"].as_array().into_iter().flatten();
    for line in blocks.filter_map(|block| block["text"]["text"].as_str()) {
        println!("chat: {}", line.replace('\n', "\nchat: "));
    }
    "ok"
}
