//! Refusals as answers: problem details (RFC 9457), which name what to mend and hold nothing of any
//! secret.

use serde_json::json;

use super::later;
use crate::document::Problems;
use crate::engine::IncomingError;
use crate::incoming::{Answer, ParseError, ReceiveError};

/// An answer that refuses, with its reason.
pub(crate) fn problem(status: u16, detail: impl Into<String>) -> Answer {
    with_details(status, &detail.into(), None)
}

/// What a request is answered that was not taken.
pub(in crate::engine) fn of(error: &IncomingError) -> Answer {
    let status = error.status();
    let answer = match error {
        IncomingError::Refused(ReceiveError::NotUnderstood(ParseError::Document(problems))) => {
            let detail = "the request does not say what it must";
            with_details(status, detail, Some(problems))
        }
        // What ails our side is none of the sender's business.
        _ if status >= 500 => problem(status, "it could not be stored now"),
        error => problem(status, error.to_string()),
    };
    match error.retry_after() {
        Some(wait) => later(answer, wait),
        None => answer,
    }
}

fn with_details(status: u16, detail: &str, problems: Option<&Problems>) -> Answer {
    let mut body = json!({"status": status, "title": title(status), "detail": detail});
    if let Some(problems) = problems {
        body["problems"] = json!(problems);
    }
    Answer::new(status).with_body("application/problem+json", body.to_string())
}

/// What a status is called (RFC 9110, section 15; RFC 6585).
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    }
}
