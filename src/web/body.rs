//! Reading a body: no more of it than may be, and no more of all bodies together than there is room
//! for.

use axum::body::HttpBody;
use bytes::{Buf as _, BufMut as _};
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::SOON;
use crate::engine::inbox::{later, problem};
use crate::incoming::Answer;

/// A body that was read, and the room that it takes.
pub(super) struct Read<'s> {
    pub(super) bytes: Vec<u8>,
    _room: Option<SemaphorePermit<'s>>,
}

/// Reads a body of at most so many bytes. A larger one is refused as soon as that is known: by the
/// length that it tells, or when it goes on.
pub(super) async fn read<B: HttpBody>(
    body: B,
    limit: usize,
    room: &Semaphore,
) -> Result<Read<'_>, Answer> {
    let too_large = || problem(413, format!("body: expected at most {limit} bytes"));
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let mut body = Box::pin(body);
    let mut bytes = Vec::new();
    let mut taken: Option<SemaphorePermit<'_>> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| problem(400, "the body broke off"))?;
        // Trailers say nothing to anybody here.
        let Ok(data) = frame.into_data() else { continue };
        let length = data.remaining();
        if length > limit - bytes.len() {
            return Err(too_large());
        }
        let wanted = u32::try_from(length).map_err(|_| too_large())?;
        let Ok(more) = room.try_acquire_many(wanted) else {
            return Err(later(problem(503, "too many requests are being read"), SOON));
        };
        match &mut taken {
            Some(taken) => taken.merge(more),
            None => taken = Some(more),
        }
        bytes.put(data);
    }
    Ok(Read { bytes, _room: taken })
}
