//! kellnr: one version of a crate a request, with a time, in no order.
//!
//! A version of a crate is published once, so that it is always new, also where kellnr says
//! `crate_update`: by that it means that the crate has other versions. Since nothing follows from
//! what was told before, the order does not matter.

use super::super::fields::{own_kind, required_text};
use super::super::moments;
use super::super::told::{Telling, Told};
use super::super::{Change, Notice, ParseError};
use super::forge;
use crate::document::Object;
use crate::event::{Artifact, EventKind};
use crate::request::Headers;
use crate::signature::standard_webhooks::ID_HEADER;

pub(super) fn read(headers: &Headers, telling: &Telling<'_>) -> Result<Vec<Notice>, ParseError> {
    telling.one(telling.body, |object, problems| {
        let word = required_text(object, "type", problems);
        let time = moments::time(object, "timestamp", problems);
        let data: Option<Object> = object.required("data", problems);
        let mut data = data?;
        let name = required_text(&mut data, "crate_name", problems);
        let version = required_text(&mut data, "crate_version", problems);
        let kind = match word?.as_str() {
            "crate_add" | "crate_update" => EventKind::ARTIFACT_INGESTED,
            "crate_yank" => EventKind::ARTIFACT_YANKED,
            other => own_kind("kellnr", other, "type", problems)?,
        };
        let artifact = Artifact::new("cargo", name?).with_version(version?);
        let mut told = Told::new(kind, Change::None, artifact);
        told.occurred_at = time;
        told.id = forge::header(headers, ID_HEADER);
        told.keep("data", Some(data));
        Some(told)
    })
}
