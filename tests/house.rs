//! The architecture, read from the source: dependencies point down only, files stay small, and
//! foreign packages are named where they belong.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of `src/` by floor. A room knows only rooms on floors below its own.
const FLOORS: &[&[&str]] = &[
    &["entropy", "clock"],
    &["id", "secret"],
    &["document"],
    &["event"],
    &["request"],
    &["action", "payload", "provider", "schedule", "signature"],
    &["delivery"],
    &["endpoint"],
    &["trigger", "deliverer"],
    &["retention", "scan", "storage"],
    &["incoming", "outbox", "watch"],
    &["observer"],
    &["engine"],
    &["web"],
    &["conformance"],
];

/// What stands outside of the floors: the façade and its prose.
const FACADE: [&str; 3] = ["lib", "manual", "schema"];

/// Packages whose types embedders may see, named anywhere.
const CARD: [&str; 6] = ["async_trait", "chrono", "serde", "serde_json", "thiserror", "url"];

/// Every other package, and the only places that name it.
const HOMES: &[(&str, &[&str])] = &[
    ("arc_swap", &["engine"]),
    ("aws_lc_rs", &["signature/oidc/keys.rs"]),
    ("axum", &["web"]),
    (
        "base64",
        &[
            "deliverer/http",
            "engine/token.rs",
            "incoming/cloudevents",
            "incoming/provider/artifact_registry.rs",
            "secret/seal.rs",
            "signature/",
            "watch/credentials.rs",
            "watch/npm.rs",
        ],
    ),
    ("bytes", &["deliverer/http", "web"]),
    ("chacha20poly1305", &["secret/xchacha.rs"]),
    ("chrono_tz", &["schedule.rs"]),
    ("croner", &["schedule.rs"]),
    ("deadpool_postgres", &["outbox/postgres", "storage/postgres"]),
    ("ed25519_dalek", &["signature/key.rs", "signature/public_key.rs"]),
    ("foldhash", &["trigger/index/hash.rs"]),
    ("futures_util", &["conformance", "deliverer/http", "engine", "scan/command/run.rs"]),
    ("getrandom", &["entropy.rs"]),
    ("hmac", &["secret.rs", "signature/"]),
    ("http_body_util", &["deliverer/http", "web"]),
    ("hyper", &["deliverer/http"]),
    ("hyper_rustls", &["deliverer/http"]),
    ("hyper_util", &["deliverer/http"]),
    ("ipnet", &["deliverer/address", "trigger/filter"]),
    ("metrics", &["observer/metrics.rs"]),
    ("minijinja", &["payload/template"]),
    ("packageurl", &["event/purl.rs"]),
    ("pep440_rs", &["trigger/filter/version", "watch/order.rs", "watch/pypi.rs"]),
    (
        "proptest",
        &[
            "conformance/storage/model",
            "delivery/coalesce",
            "retention",
            "trigger/filter",
            "trigger/index",
        ],
    ),
    ("regex", &["trigger/filter/regex.rs"]),
    ("regex_syntax", &["trigger/filter/regex.rs", "trigger/filter/regex/fold.rs"]),
    ("rusqlite", &["outbox/sqlite", "storage/sqlite"]),
    ("rustix", &["scan/command"]),
    ("rustls", &["deliverer/http"]),
    ("rustls_platform_verifier", &["deliverer/http"]),
    ("saphyr_parser", &["watch/helm"]),
    ("semver", &["trigger/filter", "trigger/watch/versions.rs", "watch/order.rs"]),
    ("sha1", &["signature/hub_sha1.rs"]),
    ("sha2", &["engine/admission.rs", "id.rs", "secret.rs", "signature/"]),
    (
        "tokio",
        &[
            "clock.rs",
            "conformance",
            "deliverer/http",
            "engine",
            "outbox/sqlite",
            "scan/command",
            "storage/postgres",
            "storage/sqlite",
            "web",
        ],
    ),
    ("tokio_postgres", &["outbox/postgres", "storage/postgres"]),
    ("tower_service", &["deliverer/http", "web"]),
    ("tracing", &["observer/tracing.rs"]),
    ("uuid", &["id.rs", "outbox/postgres", "storage/postgres"]),
    ("zeroize", &["secret", "signature/", "trigger"]),
];

const MAX_LINES: usize = 500;
const MAX_COLUMNS: usize = 100;
const DRAWERS: [&str; 6] = ["common", "helper", "helpers", "types", "util", "utils"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, by its path from there.
fn files(folder: &str) -> Vec<(String, String)> {
    let base = root().join(folder);
    let mut folders: Vec<PathBuf> = vec![base.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&base).unwrap().to_str().unwrap().replace('\\', "/");
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// The modules that lead to a file: `storage/sqlite/rows.rs` is `storage`, `sqlite`, `rows`.
fn modules(file: &str) -> Vec<String> {
    file.trim_end_matches(".rs").split('/').map(str::to_owned).collect()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The words and signs of a source text, without comments, strings and character literals.
fn tokens(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(length) = literal(rest) {
            length
        } else {
            let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let length = match word {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                _ => word,
            };
            if !first.is_whitespace() {
                tokens.push(rest[..length].to_owned());
            }
            length
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the string or character literal that a text begins with.
fn literal(text: &str) -> Option<usize> {
    if let Some(bytes) = text.strip_prefix('b') {
        return literal(bytes).filter(|_| bytes.starts_with(['r', '"', '\''])).map(|len| 1 + len);
    }
    let hashes = text.strip_prefix('r').map(|raw| raw.len() - raw.trim_start_matches('#').len());
    if let Some(hashes) = hashes.filter(|hashes| text[1 + hashes..].starts_with('"')) {
        let end = format!("\"{}", "#".repeat(hashes));
        let body = hashes + 2;
        return Some(body + text[body..].find(&end).expect("a string ends") + end.len());
    }
    let quote = text.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let mut inner = text.char_indices().skip(1);
    let (_, second) = inner.next()?;
    // A lifetime has no closing quote behind one character.
    if quote == '\'' && second != '\\' && !text[1 + second.len_utf8()..].starts_with('\'') {
        return None;
    }
    let mut escaped = second == '\\';
    if second == quote {
        return Some(2);
    }
    for (at, c) in inner {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The rooms that a file names by `crate::` or `super::`, in `use` lines and in the midst of code.
fn named_rooms(file: &str, source: &str) -> BTreeSet<String> {
    let tokens = tokens(source);
    let token = |at: usize| tokens.get(at).map_or("", String::as_str);
    let mut path = modules(file);
    let mut open_modules: Vec<usize> = Vec::new();
    let mut depth = 0;
    let mut rooms = BTreeSet::new();
    for at in 0..tokens.len() {
        match token(at) {
            "{" => {
                if at >= 2 && token(at - 2) == "mod" {
                    open_modules.push(depth);
                    path.push(token(at - 1).to_owned());
                }
                depth += 1;
            }
            "}" => {
                depth -= 1;
                if open_modules.pop_if(|opened| *opened == depth).is_some() {
                    path.pop();
                }
            }
            "crate" | "super" if token(at + 1) == "::" && (at == 0 || token(at - 1) != "::") => {
                let supers = (at..).step_by(2).take_while(|at| token(*at) == "super").count();
                let kept = if supers == 0 { 0 } else { path.len().saturating_sub(supers) };
                let behind = at + 2 * supers.max(1);
                rooms.extend(match path[..kept].first() {
                    Some(room) => vec![room.clone()],
                    None => heads(&tokens[behind..]),
                });
            }
            _ => {}
        }
    }
    rooms
}

/// What a path goes on with: one name, or each of a list in braces.
fn heads(tokens: &[String]) -> Vec<String> {
    if tokens[0] != "{" {
        return vec![tokens[0].clone()];
    }
    let mut heads = Vec::new();
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => break,
            "}" => depth -= 1,
            name if depth == 1 && ["{", ","].contains(&tokens[at - 1].as_str()) => {
                heads.push(name.to_owned());
            }
            _ => {}
        }
    }
    heads
}

/// The rooms that a file names and must not: on its own floor or above.
fn upward(file: &str, source: &str) -> Vec<String> {
    let own = modules(file).remove(0);
    let is_up =
        |room: &String| *room != own && floor(room).is_none_or(|to| to >= floor(&own).unwrap());
    named_rooms(file, source).into_iter().filter(is_up).collect()
}

/// The packages that a file names, of those that Cargo.toml has.
fn named_packages(source: &str) -> BTreeSet<String> {
    let tokens = tokens(source);
    let heads = tokens.windows(2).enumerate().filter(|(at, pair)| {
        pair[1] == "::" && (*at == 0 || !["::", "."].contains(&tokens[at - 1].as_str()))
    });
    let named: BTreeSet<String> = heads.map(|(_, pair)| pair[0].clone()).collect();
    dependencies().into_iter().filter(|package| named.contains(package)).collect()
}

/// The names under which code sees the dependencies.
fn dependencies() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest.split("\n[dependencies]\n").nth(1).expect("there are dependencies");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_"))).collect()
}

#[test]
fn every_room_has_a_floor_and_every_floor_its_rooms() {
    let rooms: BTreeSet<String> =
        files("src").iter().map(|(file, _)| modules(file).remove(0)).collect();
    let known = FLOORS.iter().copied().flatten().chain(&FACADE).map(|room| (*room).to_owned());
    assert_eq!(rooms, known.collect());
}

#[test]
fn dependencies_point_down_only() {
    let mut found = Vec::new();
    for (file, source) in files("src") {
        if !FACADE.contains(&modules(&file)[0].as_str()) {
            found.extend(upward(&file, &source).iter().map(|room| format!("{file} names {room}")));
        }
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn an_upward_dependency_is_found_in_every_form() {
    for (file, source) in [
        ("event.rs", "use crate::engine::Engine;"),
        ("event.rs", "pub(crate) use crate::{clock::Timestamp, engine::{Engine, Event}};"),
        ("event.rs", "fn a() { crate::engine::run() }"),
        ("event.rs", "use super::engine::Engine;"),
        ("event/kind.rs", "use super::super::engine;"),
        ("event/kind.rs", "mod tests { fn a() { super::super::super::engine::run() } }"),
        ("event/kind.rs", "mod a { const C: char = '}'; } use super::super::engine;"),
        ("event.rs", "const A: &str = r#\"a \"quoted\" {\"#; use crate::engine;"),
        ("event.rs", "impl<'a> A<'a> {} macro_rules! m { () => { $crate::engine::run() } }"),
    ] {
        assert_eq!(upward(file, source), ["engine"], "{file}: {source}");
    }
    // A floor is no way round: rooms on the same one do not know each other either.
    assert_eq!(upward("payload.rs", "use crate::signature::Signer;"), ["signature"]);
}

#[test]
fn what_is_no_upward_dependency_is_left_alone() {
    for (file, source) in [
        (
            "event.rs",
            "//! [`Engine`](crate::engine::Engine)\n/// crate::engine\nuse crate::id::EventId;",
        ),
        ("event.rs", "const A: &str = \"crate::engine \\\" crate::engine\"; const B: char = '\"';"),
        ("engine/run.rs", "use super::Core; use crate::storage::Storage;"),
        ("engine/run.rs", "mod tests { use super::*; use super::super::claim; }"),
        ("event/kind.rs", "crate::document::field_from_str!(EventKind, \"a kind\");"),
        ("event/kind.rs", "pub(crate) fn is_kind() {} pub(in crate::event) fn a() {}"),
    ] {
        assert_eq!(upward(file, source), [""; 0], "{file}: {source}");
    }
}

#[test]
fn packages_are_named_where_they_belong() {
    let mut found = Vec::new();
    // Unit tests with a file of their own may use what the crate does not.
    for (file, source) in files("src").into_iter().filter(|(file, _)| !file.ends_with("/tests.rs"))
    {
        for package in named_packages(&source) {
            let homes = HOMES.iter().find(|(name, _)| *name == package).map(|(_, homes)| homes);
            let is_home =
                homes.is_some_and(|homes| homes.iter().any(|home| file.starts_with(home)));
            if !is_home && !CARD.contains(&package.as_str()) {
                found.push(format!("{file} names {package}"));
            }
        }
    }
    assert_eq!(found, [""; 0]);
    assert_eq!(
        named_packages("fn a() { tokio::spawn(b); self.url::c }"),
        ["tokio".to_owned()].into()
    );
}

/// What opens connections or looks names up, and the only places that name it.
const DIALLING: &[(&str, &[&str])] = &[
    ("HttpConnector", &["deliverer/http/dial.rs"]),
    ("TcpSocket", &[]),
    (
        "TcpStream",
        &[
            "conformance/deliverer/endpoint.rs",
            "deliverer/http/connector.rs",
            "deliverer/http/dial.rs",
            "deliverer/http/proxy.rs",
        ],
    ),
    ("ToSocketAddrs", &["deliverer/http/resolver.rs"]),
    ("UdpSocket", &[]),
    ("UnixStream", &[]),
    ("lookup_host", &[]),
];

/// Storages reach their own server, which their embedder names; whatever else goes out goes by the
/// deliverer, and by its guard.
#[test]
fn defect_43_nothing_but_the_deliverer_dials() {
    for (name, places) in DIALLING {
        let named = files("src").into_iter().filter(|(file, source)| {
            !file.ends_with("/tests.rs") && tokens(source).iter().any(|token| token == name)
        });
        let found: Vec<String> = named.map(|(file, _)| file).collect();
        assert_eq!(found, *places, "{name}");
    }
}

#[test]
fn every_dependency_has_a_place_and_every_place_its_dependency() {
    let known = HOMES.iter().map(|(package, _)| *package).chain(CARD).map(str::to_owned);
    assert_eq!(dependencies().into_iter().collect::<BTreeSet<_>>(), known.collect());
}

#[test]
fn files_are_short_and_no_module_is_a_drawer() {
    for folder in ["src", "examples", "tests", "benches"] {
        for (file, source) in files(folder) {
            let lines = source.lines().count();
            assert!(lines <= MAX_LINES, "{folder}/{file} has {lines} lines, more than {MAX_LINES}");
            for module in modules(&file) {
                assert!(!DRAWERS.contains(&module.as_str()), "{folder}/{file}: name what is in it");
            }
        }
    }
}

/// The lines of a source whose comments are too wide. Code has the formatter; a row of a table, an
/// example and a single word have no place to be broken at.
fn wide_comments(source: &str) -> Vec<usize> {
    let mut is_example = false;
    let mut wide = Vec::new();
    for (at, line) in source.lines().enumerate() {
        let Some(text) = line.trim_start().strip_prefix("//") else {
            is_example = false;
            continue;
        };
        let text = text.trim_start_matches(['/', '!']).trim();
        is_example ^= text.starts_with("```");
        let is_whole = is_example || text.starts_with('|') || !text.contains(' ');
        if !is_whole && line.chars().count() > MAX_COLUMNS {
            wide.push(at + 1);
        }
    }
    wide
}

#[test]
fn comments_are_no_wider_than_code() {
    for folder in ["src", "examples", "tests", "benches"] {
        for (file, source) in files(folder) {
            assert_eq!(wide_comments(&source), [0; 0], "lines of {folder}/{file}");
        }
    }
    let words = "word ".repeat(18);
    let url = "x".repeat(100);
    for (source, wide) in [
        (format!("// {words}"), vec![]),
        (format!("    /// {words}{words}"), vec![1]),
        (format!("//! a\n//! {words}{words}"), vec![2]),
        (format!("/// <{url}>\n/// | {words}{words} |"), vec![]),
        (format!("/// ```\n/// {words}{words}\n/// ```\n/// {words}{words}"), vec![4]),
        (format!("let a = \"{words}{words}\"; // b"), vec![]),
    ] {
        assert_eq!(wide_comments(&source), wide, "{source}");
    }
}

/// The rows of the tables of a page, but for the head of the first.
fn rows(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter(|line| line.starts_with("| ")).skip(1)
}

#[test]
fn every_test_that_the_list_of_known_defects_names_is_there() {
    let page = fs::read_to_string(root().join("src/manual/known_defects.md")).unwrap();
    let sources: String =
        ["src", "tests"].iter().flat_map(|folder| files(folder)).map(|(_, text)| text).collect();
    let (defects, storages) = page.split_once("# Whichever storage").unwrap();
    for row in rows(defects).chain(rows(storages)) {
        let quoted = row.split('`').skip(1).step_by(2);
        let is_name = |text: &&str| {
            text.contains('_') && text.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
        };
        let tests: Vec<&str> = quoted.filter(is_name).collect();
        assert!(!tests.is_empty() || row.starts_with("| 19 |"), "{row}");
        for name in tests {
            assert!(sources.contains(&format!("fn {name}(")), "no test is called {name}");
        }
    }
    let numbers = |part: &str| -> Vec<u32> {
        let cells = rows(part).flat_map(|row| row.split('|').nth(1).unwrap().split(','));
        cells.map(|number| number.trim().parse().unwrap()).collect()
    };
    assert_eq!(numbers(defects), (1..=44).collect::<Vec<u32>>());
    assert_eq!(numbers(storages), [1, 4, 2, 6, 15, 16, 17, 18, 19, 26, 28, 39, 44]);
}
