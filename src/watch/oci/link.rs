//! Where the next page is (RFC 8288), within the same registry.

use url::Url;

use crate::document::{Problems, cut};
use crate::request::Headers;
use crate::watch::UpstreamError;

/// The address of the next page; `None` if this is the last.
///
/// # Errors
/// It leads to another host, or to the page itself: what is sent there is for this registry.
pub(super) fn next(headers: &Headers, here: &Url) -> Result<Option<Url>, UpstreamError> {
    for field in headers.all("link") {
        let field = String::from_utf8_lossy(field);
        if let Some(target) = links(&field).find(|link| link.is_next).map(|link| link.target) {
            return resolved(target, here).map(Some);
        }
    }
    Ok(None)
}

fn resolved(target: &str, here: &Url) -> Result<Url, UpstreamError> {
    let refuse = |message: String| {
        let mut problems = Problems::default();
        problems.add("link", message);
        Err(UpstreamError::Malformed { problems })
    };
    let found = cut(target);
    let Ok(next) = here.join(target) else {
        return refuse(format!("expected the address of the next page, found {found:?}"));
    };
    let is_within = next.origin() == here.origin() && next.username().is_empty();
    if !is_within || next.password().is_some() {
        return refuse(format!("expected an address of the same registry, found {found:?}"));
    }
    if next == *here {
        return refuse(format!("expected another page than this, found {found:?}"));
    }
    Ok(next)
}

struct Link<'a> {
    target: &'a str,
    is_next: bool,
}

/// The links of a field, which may have several.
fn links(field: &str) -> impl Iterator<Item = Link<'_>> {
    let mut rest = field;
    std::iter::from_fn(move || {
        let (_, behind) = rest.split_once('<')?;
        let (target, behind) = behind.split_once('>')?;
        let end = behind.find('<').unwrap_or(behind.len());
        let (parameters, next) = behind.split_at(end);
        rest = next;
        Some(Link { target, is_next: parameters.split([';', ',']).any(is_next) })
    })
}

/// Whether a parameter says `rel=next`, quoted or not.
fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let words = value.trim().trim_matches('"').to_ascii_lowercase();
    name.trim().eq_ignore_ascii_case("rel") && words.split_ascii_whitespace().any(|w| w == "next")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(link: &str) -> Result<Option<String>, String> {
        let headers: Headers = [("link", link)].into_iter().collect();
        let here = "https://r.example/v2/a/tags/list?n=2".parse().unwrap();
        next(&headers, &here).map(|url| url.map(String::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_next_page_is_found_in_each_form() {
        let expected = Ok(Some("https://r.example/v2/a/tags/list?last=b&n=2".to_owned()));
        for link in [
            "</v2/a/tags/list?last=b&n=2>; rel=\"next\"",
            "<https://r.example/v2/a/tags/list?last=b&n=2>;rel=next",
            "</x>; rel=prev, </v2/a/tags/list?last=b&n=2>; title=\"a,b\"; REL=\"last Next\"",
            "<?last=b&n=2>; rel=next",
        ] {
            assert_eq!(found(link), expected, "{link}");
        }
        for link in ["", "</x>; rel=prev", "</x>", "rel=next", "<x; rel=next", "</x>; rel=nexts"] {
            assert_eq!(found(link), Ok(None), "{link}");
        }
    }

    #[test]
    fn a_page_elsewhere_is_refused() {
        for target in [
            "https://evil.example/v2/",
            "//evil.example/",
            "http://r.example/v2/",
            "https://r.example:8443/",
            "https://u:p@r.example/",
            "https://[",
            "?n=2",
        ] {
            let error = found(&format!("<{target}>; rel=next")).unwrap_err();
            assert!(error.contains("link: expected"), "{target}: {error}");
        }
    }
}
