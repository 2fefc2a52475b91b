//! OCI registries: tags of a repository and their digests (OCI distribution specification 1.1).
//!
//! In: a repository. Out: its tags, page by page, and the digests of some of them. A tag's digest
//! is asked for by itself, so that a poll asks for a bounded number: of tags that are new first,
//! then of the others in turn, each poll going on where the last one ended.

mod link;
mod place;
mod token;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use url::Url;

use super::credentials::{UpstreamUrlError, bearer};
use super::listing::is_name;
use super::site::{Question, Site, malformed, no_name, read_object, site_settings, validator};
use super::{Ask, Listed, Listing, MAX_VERSIONS, Naming, Order, Upstream, UpstreamError, Version};
use crate::deliverer::Deliverer;
use crate::document::{Problems, cut};
use crate::event::{Artifact, Scope, is_digest};
use crate::request::{Method, Response};
use crate::secret::Secret;
use place::Place;

/// The largest page of tags that is read, in bytes, unless it is said otherwise.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// How many tags are asked for at once.
const PAGE: u32 = 1_000;
/// The most pages and tags of a repository.
const MAX_PAGES: usize = 1_000;
const MAX_TAGS: usize = 200_000;
/// How many digests a poll asks for, unless it is said otherwise.
const MAX_DIGESTS: usize = 100;
/// For how long a poll goes on asking for digests, unless it is said otherwise.
const DIGESTS_WITHIN: Duration = Duration::from_secs(60);
/// The longest name of a repository, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// What manifests may be.
const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// A registry of images and other artifacts, or of charts.
#[derive(Debug, Clone)]
pub struct OciRegistry {
    site: Site,
    realm: Option<Url>,
    holds_charts: bool,
    page: u32,
    max_digests: usize,
    digests_within: Duration,
}

impl OciRegistry {
    /// The registry at an address, such as `https://ghcr.io/`.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(url: &str, deliverer: Arc<dyn Deliverer>) -> Result<Self, UpstreamUrlError> {
        let site = Site::new(url, deliverer, MAX_BYTES)?;
        let (realm, holds_charts) = (None, false);
        let (page, max_digests, digests_within) = (PAGE, MAX_DIGESTS, DIGESTS_WITHIN);
        Ok(Self { site, realm, holds_charts, page, max_digests, digests_within })
    }

    /// Docker Hub. Its own images are in `library/`.
    ///
    /// # Panics
    /// Never: the addresses are such.
    pub fn docker_hub(deliverer: Arc<dyn Deliverer>) -> Self {
        let hub = Self::new("https://registry-1.docker.io/", deliverer).expect("it is an address");
        hub.with_name("docker.io").with_realm("https://auth.docker.io/token").expect("so is this")
    }

    site_settings!();

    /// Sets the address of the token service that may be given the credentials. Otherwise they go
    /// to the registry's own host alone. Without credentials any service is asked that the registry
    /// names.
    ///
    /// # Errors
    /// The address is none.
    pub fn with_realm(mut self, url: &str) -> Result<Self, UpstreamUrlError> {
        let site = Site::new(url, self.site.deliverer.clone(), MAX_BYTES)?;
        self.realm = Some(site.base);
        Ok(self)
    }

    /// Says that its repositories hold Helm charts: events are of package type `helm`, and `_` in a
    /// tag stands for `+`.
    pub fn charts(mut self) -> Self {
        self.holds_charts = true;
        self
    }

    /// Sets how many tags are asked for at once; 1,000 if it is not set.
    pub fn with_page(mut self, tags: u32) -> Self {
        self.page = tags.max(1);
        self
    }

    /// Sets how many digests a poll asks for; 100 if it is not set. With 0, tags that move are not
    /// found, and events have no digest.
    pub fn with_max_digests(mut self, digests: usize) -> Self {
        self.max_digests = digests;
        self
    }

    /// Sets how long after its beginning a poll asks for no more digests, which the next one does;
    /// 60 s if it is not set. One is asked for in any case.
    pub fn with_digests_within(mut self, span: Duration) -> Self {
        self.digests_within = span;
        self
    }
}

#[async_trait]
impl Upstream for OciRegistry {
    async fn list(&self, ask: Ask<'_>) -> Result<Listed, UpstreamError> {
        self.site.admit(&ask)?;
        check_name(ask.package).map_err(|reason| UpstreamError::Refused { reason })?;
        let place = Place::from_text(ask.validator.unwrap_or_default());
        let mut visit = Visit { registry: self, ask, token: None, begun_at: Instant::now() };
        let (tags, etag) = match visit.tags(place.etag.as_deref()).await? {
            Some(found) => found,
            None if !self.asks_digests(&ask) => return Ok(Listed::Unchanged),
            None => (known_tags(&ask), place.etag.clone()),
        };
        let (versions, after) = visit.digests(&tags, place.after).await?;
        let mut listing = Listing::new(self.artifact(ask.package), Naming::Tag);
        listing.order = if self.holds_charts { Order::Chart } else { Order::Semver };
        listing.versions = versions;
        listing.validator = Some(Place { etag, after }.to_text());
        Ok(Listed::Versions(listing))
    }

    fn check(&self, scope: &Scope, package: &str) -> Result<(), String> {
        check_name(package)?;
        self.site.check(scope)
    }
}

impl OciRegistry {
    fn asks_digests(&self, ask: &Ask<'_>) -> bool {
        ask.wants_digests && self.max_digests > 0
    }

    fn artifact(&self, repository: &str) -> Artifact {
        let package_type = if self.holds_charts { "helm" } else { "oci" };
        let name = repository.rsplit('/').next().unwrap_or(repository);
        Artifact::new(package_type, name)
            .with_registry(self.site.registry())
            .with_repository(repository)
    }

    /// An address of a repository; `path` is behind its name.
    fn url(&self, repository: &str, path: &[&str]) -> Url {
        let segments = ["v2"].into_iter().chain(repository.split('/')).chain(path.iter().copied());
        self.site.url(&segments.collect::<Vec<_>>())
    }
}

/// One poll, and the token that it was given.
struct Visit<'a> {
    registry: &'a OciRegistry,
    ask: Ask<'a>,
    token: Option<Secret>,
    begun_at: Instant,
}

/// The tags that are asked for, and the validator of their list.
type Tags = (Vec<String>, Option<String>);

impl Visit<'_> {
    /// The tags, page by page; `None` if they have not changed.
    async fn tags(&mut self, etag: Option<&str>) -> Result<Option<Tags>, UpstreamError> {
        let mut url = self.registry.url(self.ask.package, &["tags", "list"]);
        url.query_pairs_mut().append_pair("n", &self.registry.page.to_string());
        let mut tags = Vec::new();
        let mut listed = 0;
        for page in 0..MAX_PAGES {
            let known = etag.filter(|_| page == 0);
            let response = self.get(url.clone(), known).await?;
            let answer = self.registry.site.judge(response, known.is_some())?;
            let Some(response) = answer else { return Ok(None) };
            let found = read_object(&response.body, |object, problems| {
                let _: String = object.required("name", problems)?;
                // A repository without a tag may say null.
                Some(object.optional::<Vec<String>>("tags", problems).unwrap_or_default())
            })?;
            listed += found.len();
            if listed > MAX_TAGS {
                return Err(too_much("tags", listed, MAX_TAGS));
            }
            for (n, tag) in found.into_iter().enumerate() {
                if !self.ask.admits(&tag) {
                    continue;
                }
                check_tag(n, &tag)?;
                tags.push(tag);
            }
            if tags.len() > MAX_VERSIONS {
                return Err(too_much("versions", tags.len(), MAX_VERSIONS));
            }
            let Some(next) = link::next(&response.headers, &url)? else {
                // A validator of one page says nothing of others.
                let etag = validator(&response.headers).filter(|_| page == 0);
                return Ok(Some((tags, etag)));
            };
            url = next;
        }
        Err(too_much("pages of tags", MAX_PAGES + 1, MAX_PAGES))
    }

    /// The tags with as many digests as are asked for, and the last one that was asked for in turn.
    /// Whoever publishes a tag that the registry does not serve keeps nobody from the others; where
    /// it wants to be left alone or cannot be reached, the next poll goes on behind that tag.
    async fn digests(
        &mut self,
        tags: &[String],
        after: Option<String>,
    ) -> Result<(Vec<Version>, Option<String>), UpstreamError> {
        let mut versions: Vec<Version> = tags.iter().map(Version::new).collect();
        if self.registry.max_digests == 0 {
            return Ok((versions, None));
        }
        let turn = place::turn(tags, &self.ask, after.as_deref(), self.registry.max_digests);
        let mut asked = 0;
        for at in &turn.asked {
            asked += 1;
            match self.head(&tags[*at]).await {
                Ok(response) if response.status == 200 => {
                    take_digest(&response, &mut versions[*at])?;
                }
                Ok(response) if [429, 503].contains(&response.status) => break,
                // It went meanwhile, or is shown to nobody; its digest is not known.
                Ok(_) => {}
                Err(_) => break,
            }
            if self.begun_at.elapsed() >= self.registry.digests_within {
                break;
            }
        }
        let last = turn.last_in_turn(asked).map(|at| tags[at].clone());
        Ok((versions, last.or(after)))
    }

    async fn get(&mut self, url: Url, validator: Option<&str>) -> Result<Response, UpstreamError> {
        let question = Question::get(url, self.ask.scope);
        self.exchange(Question { accept: &["application/json"], validator, ..question }).await
    }

    async fn head(&mut self, tag: &str) -> Result<Response, UpstreamError> {
        let url = self.registry.url(self.ask.package, &["manifests", tag]);
        let question = Question::get(url, self.ask.scope);
        self.exchange(Question { method: Method::Head, accept: &MANIFESTS, ..question }).await
    }

    /// What is answered, with a token if one is asked for.
    async fn exchange(&mut self, question: Question<'_>) -> Result<Response, UpstreamError> {
        let site = &self.registry.site;
        let had_token = self.token.is_some();
        let own = || site.credentials.authorization();
        let authorization = self.token.as_ref().map(bearer).or_else(own);
        let first = site.exchange(Question { authorization, ..question.clone() }).await?;
        if first.status != 401 || had_token {
            return Ok(first);
        }
        let Some(challenge) = token::challenge(&first.headers) else { return Ok(first) };
        let token = token::fetch(self.registry, &challenge, &self.ask).await?;
        let authorization = Some(bearer(&token));
        self.token = Some(token);
        site.exchange(Question { authorization, ..question }).await
    }
}

/// Refuses at once what would be refused once all is read.
fn check_tag(n: usize, tag: &str) -> Result<(), UpstreamError> {
    if is_name(tag) {
        return Ok(());
    }
    let mut problems = Problems::default();
    problems.add(format!("tags[{n}]"), format!("expected a tag, found {:?}", cut(tag)));
    Err(malformed(problems))
}

fn take_digest(response: &Response, version: &mut Version) -> Result<(), UpstreamError> {
    let field = |name: &str| {
        response.headers.only(name).map(|value| String::from_utf8_lossy(value).into_owned())
    };
    // Some registries do not say it; then it is not known.
    if let Some(digest) = field("docker-content-digest") {
        if !is_digest(&digest) {
            let message = format!("expected a digest, found {:?}", cut(&digest));
            let mut problems = Problems::default();
            problems.add("docker-content-digest", message);
            return Err(malformed(problems));
        }
        version.digest = Some(digest);
    }
    version.media_type = field("content-type")
        .and_then(|text| Some(text.split(';').next()?.trim().to_owned()))
        .filter(|text| MANIFESTS.contains(&text.as_str()));
    version.size = field("content-length").and_then(|length| length.parse().ok());
    Ok(())
}

/// The tags that were there.
fn known_tags(ask: &Ask<'_>) -> Vec<String> {
    let known = ask.known.into_iter().flat_map(super::Known::versions);
    known.map(|(tag, _)| tag.to_owned()).collect()
}

fn too_much(what: &'static str, found: usize, most: usize) -> UpstreamError {
    UpstreamError::TooMuch { what, found, most }
}

/// A name as the specification has it: lower case, separated by slashes.
fn check_name(name: &str) -> Result<(), String> {
    let is_edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        is_edge(bytes.first()) && is_edge(bytes.last()) && part.bytes().all(is_inner)
    };
    if name.len() <= MAX_NAME_BYTES && name.split('/').all(is_part) {
        return Ok(());
    }
    Err(no_name(name, "a repository in lower case, such as library/debian"))
}
