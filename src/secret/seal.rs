//! Sealing: what is secret is stored so that only who has the key reads it.
//!
//! In: a text and where it belongs. Out: a [`Sealed`] that opens there and nowhere else.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Secret;
use crate::entropy::Entropy;

/// Seals secrets before they are stored, and opens them when they are read.
///
/// Implement it for keys of your own keeping; with feature `encryption` there is a ready one,
/// `XChaChaSealer`.
///
/// # Contract
/// 1. What was sealed opens under the same `place`, and under no other: it cannot be moved to
///    another trigger or another field.
/// 2. What was changed since does not open.
/// 3. It answers soon and waits for nothing: it is called for each trigger that is read.
/// 4. Its errors tell nothing of the text or of a key.
pub trait SecretSealer: fmt::Debug + Send + Sync + 'static {
    /// The id of the key that seals now.
    fn key_id(&self) -> &str;

    /// Seals a text that belongs to a place.
    ///
    /// # Errors
    /// [`SealError`]. Nothing is stored then.
    fn seal(&self, text: &[u8], place: &str, entropy: &dyn Entropy) -> Result<Sealed, SealError>;

    /// Opens what was sealed at a place.
    ///
    /// # Errors
    /// [`SealError`]. The trigger counts as one that cannot be read.
    fn open(&self, sealed: &Sealed, place: &str) -> Result<Secret, SealError>;
}

/// The longest id of a key, in bytes.
const MAX_KEY_ID_BYTES: usize = 128;

/// A text that was sealed, and under which key.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    key_id: String,
    bytes: Vec<u8>,
}

impl Sealed {
    /// What a sealer made of a text. `None` if the id is not 1 to 128 printable ASCII characters.
    pub fn new(key_id: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let (key_id, bytes) = (key_id.into(), bytes.into());
        is_key_id(&key_id).then_some(Self { key_id, bytes })
    }

    /// The id of the key that sealed it.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// What the sealer made of the text.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn to_base64(&self) -> String {
        STANDARD.encode(&self.bytes)
    }

    pub(crate) fn from_base64(key_id: String, text: &str) -> Option<Self> {
        Self::new(key_id, STANDARD.decode(text).ok()?)
    }
}

/// Shows the key's id alone.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Whether a text may be the id of a key: it is shown, and stands in what is sealed.
pub(crate) fn is_key_id(text: &str) -> bool {
    (1..=MAX_KEY_ID_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Why something was not sealed or not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The key that sealed it is not there.
    #[error("sealed under key {key_id:?}, which is not there")]
    UnknownKey {
        /// The key's id.
        key_id: String,
    },
    /// It was changed, moved from elsewhere, or sealed under another key of that id.
    #[error(
        "does not open under key {key_id:?}: it was changed, belongs elsewhere, or the key is another"
    )]
    Refused {
        /// The key's id.
        key_id: String,
    },
    /// The sealer did not do its work.
    #[error("the sealer failed: {reason}")]
    Failed {
        /// Why, for an operator; nothing of the text or of a key.
        reason: String,
    },
}
