//! Names of packages: as registries write them, in the words that package URLs have for them.

use url::Url;

use crate::event::Artifact;

/// What registries call package types, and what package URLs call them. Any other is the same in
/// lower case.
const PACKAGE_TYPES: [(&str, &str); 16] = [
    ("alpine", "apk"),
    ("apt", "deb"),
    ("arch", "alpm"),
    ("container", "oci"),
    ("dart", "pub"),
    ("debian", "deb"),
    ("docker", "oci"),
    ("gems", "gem"),
    ("go", "golang"),
    ("maven2", "maven"),
    ("python", "pypi"),
    ("r", "cran"),
    ("raw", "generic"),
    ("ruby", "gem"),
    ("rubygems", "gem"),
    ("yum", "rpm"),
];

/// The package type that a registry tells, in whatever case.
pub(super) fn package_type(told: &str) -> String {
    let told = told.to_lowercase();
    let known = PACKAGE_TYPES.iter().find(|(theirs, _)| *theirs == told);
    known.map_or(told, |(_, ours)| (*ours).to_owned())
}

/// A package of a type, its name taken apart where the type's ecosystem joins two parts in it.
pub(super) fn package(package_type: &str, name: &str) -> Artifact {
    let parts = match package_type {
        "npm" => name.split_once('/').filter(|(scope, _)| scope.starts_with('@')),
        "maven" => name.split_once(':'),
        "composer" => name.split_once('/'),
        "golang" => name.rsplit_once('/'),
        _ => None,
    };
    match parts.filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty()) {
        Some((namespace, name)) => Artifact::new(package_type, name).with_namespace(namespace),
        None => Artifact::new(package_type, name),
    }
}

/// The name and the version of `name@version`, whose name may begin with an `@` of its own.
pub(super) fn name_and_version(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('@') {
        Some((name, version)) if !name.is_empty() && !version.is_empty() => (name, Some(version)),
        _ => (text, None),
    }
}

/// The host of a URL, with its port if that is not the scheme's own.
pub(super) fn host_of(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_called_what_package_urls_call_it() {
        for (told, expected) in
            [("CONTAINER", "oci"), ("Docker", "oci"), ("NPM", "npm"), ("maven2", "maven")]
        {
            assert_eq!(package_type(told), expected);
        }
        assert!(PACKAGE_TYPES.is_sorted());
    }

    #[test]
    fn a_name_is_taken_apart_where_its_ecosystem_joins_two_parts() {
        for (of_type, name, namespace, rest) in [
            ("npm", "@acme/widget", Some("@acme"), "widget"),
            ("npm", "widget", None, "widget"),
            ("npm", "a/b", None, "a/b"),
            ("npm", "@acme/", None, "@acme/"),
            ("maven", "com.example:lib", Some("com.example"), "lib"),
            ("golang", "example.com/a/b", Some("example.com/a"), "b"),
            ("cargo", "a/b", None, "a/b"),
        ] {
            let package = package(of_type, name);
            assert_eq!(package.namespace.as_deref(), namespace, "{name}");
            assert_eq!(package.name.as_deref(), Some(rest), "{name}");
        }
    }

    #[test]
    fn a_version_stands_behind_the_last_at_sign() {
        assert_eq!(name_and_version("@acme/widget@1.0.0"), ("@acme/widget", Some("1.0.0")));
        assert_eq!(name_and_version("plain@1"), ("plain", Some("1")));
        for whole in ["@acme/widget", "plain", "plain@", "", "@"] {
            assert_eq!(name_and_version(whole), (whole, None));
        }
    }
}
