//! A header field whose value was agreed on.

use super::VerifyError;
use super::verifier::required;
use crate::request::Headers;
use crate::secret::Secret;

pub(super) fn verify(name: &str, expected: &Secret, headers: &Headers) -> Result<(), VerifyError> {
    let found = required(headers, name)?;
    if expected.matches(found) { Ok(()) } else { Err(VerifyError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &[(&str, &str)]) -> Result<(), VerifyError> {
        let headers = fields.iter().copied().collect();
        verify("authorization", &Secret::new("Bearer abc"), &headers)
    }

    #[test]
    fn only_the_exact_value_once_is_accepted() {
        assert_eq!(check(&[("Authorization", "Bearer abc")]), Ok(()));
        let absent = Err(VerifyError::Header { name: "authorization".to_owned() });
        assert_eq!(check(&[]), absent);
        assert_eq!(check(&[("authorization", "")]), absent);
        assert_eq!(check(&[("authorization", "Bearer abc"), ("authorization", "x")]), absent);
        for wrong in ["Bearer ab", "bearer abc", "Bearer abc "] {
            assert_eq!(check(&[("authorization", wrong)]), Err(VerifyError::Mismatch));
        }
    }
}
