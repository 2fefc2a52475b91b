//! The keys that an issuer signs with, as it publishes them (RFC 7517).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::token::{Algorithm, Token};
use crate::document::{self, Object, Problems};

/// The keys that an issuer signs with: those of its JSON Web Key Set that are for RS256 or ES256.
#[derive(Clone)]
pub struct KeySet(Arc<[Key]>);

/// Shows the ids of the keys.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|key| key.id.as_deref().unwrap_or("?"))).finish()
    }
}

struct Key {
    id: Option<String>,
    material: Material,
}

enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The uncompressed point.
    P256([u8; 65]),
}

impl KeySet {
    /// The largest set, in bytes of its JSON.
    pub const MAX_BYTES: usize = 256 * 1024;
    /// The most keys.
    pub const MAX_KEYS: usize = 100;

    /// Reads a JSON Web Key Set. Keys for other algorithms or other uses are left out, and so are
    /// those that are none.
    ///
    /// # Errors
    /// It is no key set, it is too large, or none of its keys is for RS256 or ES256.
    pub fn from_json(json: &[u8]) -> Result<Self, Problems> {
        let value = document::parse_foreign(json, Self::MAX_BYTES)?;
        Problems::gather(|problems| {
            let mut object = Object::root(value, problems)?;
            let found: Vec<Value> = object.required("keys", problems)?;
            if found.len() > Self::MAX_KEYS {
                let (most, found) = (Self::MAX_KEYS, found.len());
                problems.add("keys", format!("expected at most {most}, found {found}"));
            }
            let keys: Vec<Key> =
                found.iter().filter_map(|key| Key::read(key.as_object()?)).collect();
            if keys.is_empty() {
                problems.add("keys", "expected a key for RS256 or ES256, found none");
            }
            Some(Self(keys.into()))
        })
    }

    /// Whether it has a key of this id.
    pub fn has(&self, key_id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(key_id))
    }

    /// Whether one of the keys signed a token: one of its id, or the only one if it names none.
    pub(super) fn fit(&self, token: &Token<'_>) -> bool {
        let is_meant = |key: &&Key| match &token.key_id {
            Some(id) => key.id.as_ref() == Some(id),
            None => self.0.len() == 1,
        };
        self.0.iter().filter(is_meant).any(|key| key.material.fits(token))
    }
}

impl Key {
    fn read(members: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let is_for = |name: &str, value: &str| members.get(name).is_none_or(|of| of == value);
        let verifies = members.get("key_ops").is_none_or(|operations| {
            operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"))
        });
        if !is_for("use", "sig") || !verifies {
            return None;
        }
        let material = match text("kty")? {
            "RSA" if is_for("alg", "RS256") => {
                Material::Rsa { modulus: bytes("n")?, exponent: bytes("e")? }
            }
            "EC" if is_for("alg", "ES256") && text("crv") == Some("P-256") => {
                Material::P256(point(&bytes("x")?, &bytes("y")?)?)
            }
            _ => return None,
        };
        Some(Self { id: text("kid").map(str::to_owned), material })
    }
}

fn point(x: &[u8], y: &[u8]) -> Option<[u8; 65]> {
    [&[4], x, y].concat().try_into().ok().filter(|_| x.len() == 32)
}

impl Material {
    fn fits(&self, token: &Token<'_>) -> bool {
        let (signed, signature) = (token.signed, &token.signature);
        match (self, token.algorithm) {
            (Self::Rsa { modulus, exponent }, Algorithm::Rs256) => {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
            }
            (Self::P256(point), Algorithm::Es256) => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                key.verify(signed, signature).is_ok()
            }
            _ => false,
        }
    }
}
