use super::*;

#[test]
fn an_unknown_ecosystem_is_refused_with_the_known_ones() {
    for unknown in ["", "NPM", "cargo", "rpm"] {
        let message = VersionRequirement::parse(unknown, "1.0").unwrap_err();
        assert_eq!(
            message,
            format!(
                "{unknown:?} is not an ecosystem with versions (expected one of debian, maven, npm, pypi)"
            )
        );
    }
}

#[cfg(not(feature = "versions"))]
#[test]
fn without_the_feature_every_ecosystem_is_refused() {
    for ecosystem in ECOSYSTEMS {
        let message = VersionRequirement::parse(ecosystem, "1.0").unwrap_err();
        assert_eq!(
            message,
            format!("version requirements of {ecosystem} need the feature `versions` of the crate")
        );
    }
}

#[cfg(feature = "versions")]
mod with_the_feature {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn requirement(ecosystem: &str, text: &str) -> VersionRequirement {
        VersionRequirement::parse(ecosystem, text).unwrap()
    }

    fn rows(fixture: &str) -> impl Iterator<Item = [&str; 3]> {
        let rows = fixture.lines().filter(|line| !line.starts_with('#'));
        rows.map(|row| row.split('\t').collect::<Vec<_>>().try_into().expect("three columns"))
    }

    /// Every row is a requirement, a version, and whether it fits or what is wrong.
    fn agrees_on_requirements(ecosystem: &str, fixture: &str) {
        for [text, version, expected] in rows(fixture) {
            let found = match VersionRequirement::parse(ecosystem, text) {
                Ok(requirement) => requirement.matches(version).to_string(),
                Err(_) => "invalid".to_owned(),
            };
            assert_eq!(found, expected, "{ecosystem}: {text:?} of {version:?}");
        }
    }

    /// Every row is two versions and how they compare; `!` if one of them is none.
    fn agrees_on_order(
        fixture: &str,
        requirement: impl Fn(&str, &str) -> Option<VersionRequirement>,
    ) {
        for [version, bound, expected] in rows(fixture) {
            let holds = |sign: &&str| {
                requirement(sign, bound).is_some_and(|requirement| requirement.matches(version))
            };
            let found: String = ["<", "=", ">"].into_iter().filter(holds).collect();
            assert_eq!(found, expected.trim_matches('!'), "{version:?} against {bound:?}");
        }
    }

    #[test]
    fn npm_is_read_as_node_semver_reads_it() {
        agrees_on_requirements("npm", include_str!("../../../../tests/data/versions/npm.tsv"));
    }

    #[test]
    fn pypi_is_read_as_packaging_reads_it() {
        agrees_on_requirements("pypi", include_str!("../../../../tests/data/versions/pypi.tsv"));
    }

    #[test]
    fn maven_is_ordered_as_comparable_version_does() {
        let fixture = include_str!("../../../../tests/data/versions/maven.tsv");
        agrees_on_order(fixture, |sign, version| {
            let range = match sign {
                "<" => format!("(,{version})"),
                "=" => format!("[{version}]"),
                _ => format!("({version},)"),
            };
            VersionRequirement::parse("maven", &range).ok()
        });
    }

    #[test]
    fn debian_is_ordered_as_dpkg_does() {
        let fixture = include_str!("../../../../tests/data/versions/debian.tsv");
        agrees_on_order(fixture, |sign, version| {
            let sign = match sign {
                "<" => "<<",
                "=" => "=",
                _ => ">>",
            };
            VersionRequirement::parse("debian", &format!("{sign} {version}")).ok()
        });
    }

    #[test]
    fn what_is_no_requirement_is_refused_with_an_example() {
        for (ecosystem, text, message) in [
            (
                "npm",
                "^1.x.y",
                r#""^1.x.y" is not a version requirement of npm (expected e.g. "^1.2 || >=2.5")"#,
            ),
            (
                "maven",
                "1.0",
                r#""1.0" is not a version requirement of maven (expected e.g. "[1.0,2.0)"; "[1.0]" is exactly 1.0, "[1.0,)" at least 1.0)"#,
            ),
            (
                "debian",
                "> 1.0",
                r#""> 1.0" is not a version requirement of debian (expected e.g. ">= 1:2.0-1, << 3", with <<, <=, =, >= or >>)"#,
            ),
            (
                "pypi",
                "===1.0",
                r#""===1.0" is not a version requirement of pypi (expected e.g. ">=1.2, !=1.5.*")"#,
            ),
        ] {
            assert_eq!(VersionRequirement::parse(ecosystem, text).unwrap_err(), message);
        }
    }

    #[test]
    fn slips_are_refused() {
        let slips = [
            ("npm", &["", " ", "1 ||", "1.x.3", "==1", "1.2.3.4", "01.2.3", ">", ">=1, <2"][..]),
            ("pypi", &["", ",", ">=1,", "1.0", "^1.0", "=1.0", ">=1.*", "~=2", ">=latest"]),
            (
                "maven",
                &["", ",", "[]", "()", "[,", "(1.0]", "[1.0)", "[2,1]", "(1,1)", "[1],", "[1]2"],
            ),
            ("maven", &["[1 2]", "[1,2,3]", "[[1]]", "[1.0,2.0)[3.0,)", "1.0,[2.0]", "[é\u{7}]"]),
            (
                "debian",
                &["", ",", "1.0", "> 1", "< 1", "== 1", "= a", "= 1-", "= 1 2", ">= 1,", "!= 1"],
            ),
        ];
        for (ecosystem, texts) in slips {
            for text in texts {
                let found = VersionRequirement::parse(ecosystem, text);
                assert!(found.is_err(), "{ecosystem}: {text:?} is {found:?}");
            }
        }
    }

    #[test]
    fn requirements_are_printed_without_their_whims() {
        for (ecosystem, text, printed) in [
            ("npm", "  >= 1.2.3   < 2||^ 3.x ", ">=1.2.3 <2 || ^3.x"),
            ("npm", "1.2  -  2.3.4", "1.2 - 2.3.4"),
            ("pypi", "<2.0,>= 1.0.0,!=1.5.*", ">=1.0.0, !=1.5.*, <2.0"),
            ("maven", " [ 1.0 , 2.0 ) , [3.0,) ", "[1.0,2.0),[3.0,)"),
            ("maven", "[1.0,1.0]", "[1.0]"),
            ("debian", ">=1:2.0-1,<<  3", ">= 1:2.0-1, << 3"),
        ] {
            let requirement = requirement(ecosystem, text);
            assert_eq!((requirement.ecosystem(), requirement.as_str()), (ecosystem, printed));
            assert_eq!(VersionRequirement::parse(ecosystem, printed), Ok(requirement));
        }
        assert_ne!(requirement("npm", ">=1.0"), requirement("pypi", ">=1.0"));
    }

    #[test]
    fn maven_keeps_the_examples_of_its_documentation() {
        for (less, greater) in [
            ("1", "1.1"),
            ("1-snapshot", "1"),
            ("1", "1-sp"),
            ("1-foo2", "1-foo10"),
            ("1.foo", "1-1"),
            ("1-foo", "1-1"),
            ("1-1", "1.1"),
            ("1-ga", "1-sp"),
            ("1-ga.1", "1-sp.1"),
            ("1-alpha", "1-beta"),
            ("1-beta", "1-milestone"),
            ("1-milestone", "1-rc"),
            ("1-rc", "1-snapshot"),
            ("2.0-rc1", "2.0"),
        ] {
            assert!(requirement("maven", &format!("({less},)")).matches(greater), "{less}");
            assert!(!requirement("maven", &format!("(,{less}]")).matches(greater), "{less}");
        }
        for (one, other) in [
            ("1.0.0", "1"),
            ("1.ga", "1"),
            ("1.final", "1"),
            ("1.", "1"),
            ("1-", "1"),
            ("1.0.0-foo.0.0", "1-foo"),
            ("1.0.0-0.0.0", "1"),
            ("1-a1", "1-alpha-1"),
            ("1.foo", "1-foo"),
            ("1-cr", "1-rc"),
            ("1-1.foo-bar1baz-.1", "1-1.foo-bar-1-baz-0.1"),
        ] {
            assert!(requirement("maven", &format!("[{one}]")).matches(other), "{one} is {other}");
        }
    }

    #[test]
    fn a_range_of_maven_holds_the_pre_releases_of_its_upper_end() {
        let range = requirement("maven", "[1.0,2.0),(3.0,4.0]");
        for (version, fits) in [
            ("0.9", false),
            ("1.0", true),
            ("1.0-SNAPSHOT", false),
            ("2.0-rc1", true),
            ("2.0", false),
            ("3.0", false),
            ("3.0.1", true),
            ("4.0", true),
            ("4.0.1", false),
        ] {
            assert_eq!(range.matches(version), fits, "{version}");
        }
    }

    #[test]
    fn pre_releases_of_pypi_fit_only_where_one_is_named() {
        for (text, version, fits) in [
            (">=1.0", "2.0rc1", false),
            (">=1.0", "2.0.dev1", false),
            (">=1.0, <3.0rc1", "2.0rc1", true),
            (">=1.0.dev0", "2.0rc1", true),
            (">=1.0, !=2.0rc2", "2.0rc1", false),
            (">=1.0", "2.0.post1", true),
        ] {
            assert_eq!(requirement("pypi", text).matches(version), fits, "{text}: {version}");
        }
    }

    #[test]
    fn alternatives_that_exclude_each_other_hold_nothing() {
        for text in [">2 <1", "^1 ^2", "1.0.0 2.0.0"] {
            for version in ["0.5.0", "1.0.0", "1.5.0", "2.0.0", "2.5.0", "3.0.0"] {
                assert!(!requirement("npm", text).matches(version), "{text}: {version}");
            }
        }
    }

    #[test]
    fn what_is_too_long_is_refused_and_fits_nothing() {
        let long = "1".repeat(MAX_BYTES);
        for (ecosystem, everything) in
            [("npm", "*"), ("pypi", ">=0"), ("maven", "(,)"), ("debian", ">= 0")]
        {
            let message = VersionRequirement::parse(ecosystem, &format!("{long}1")).unwrap_err();
            assert_eq!(message, "expected at most 1024 bytes, found 1025");
            assert!(!requirement(ecosystem, everything).matches(&format!("{long}1")));
        }
    }

    #[test]
    fn the_worst_texts_are_read_and_asked_quickly() {
        let started = Instant::now();
        for piece in [
            "1", "1.", "1-", ".", "-", "a1", "[", ",", "||", "1||", ">", "^", "x.", "~", "!", "1!",
            "0", " ", "[1],", ">=1,", "= 1,", "é",
        ] {
            let text: String = piece
                .chars()
                .cycle()
                .take(MAX_BYTES / piece.chars().map(char::len_utf8).max().unwrap_or(1))
                .collect();
            for ecosystem in ECOSYSTEMS {
                for wrapped in [
                    text.clone(),
                    format!("[{}]", &text[..text.len() / 2]),
                    format!(">={}", &text[..text.len() / 2]),
                ] {
                    if let Ok(requirement) = VersionRequirement::parse(ecosystem, &wrapped) {
                        requirement.matches(&text);
                    }
                }
            }
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_printed_reads_as_the_same(
            ecosystem in prop::sample::select(&ECOSYSTEMS[..]),
            text in prop_oneof![any::<String>(), "[-0-9a-z.,<>=^~!*|x +:()\\[\\]]{0,40}", "(\\^|~|>=|<|==|<<|=|\\[|\\()? ?[0-9]{1,20}(\\.[0-9x*]{1,3}){0,3}(-?[a-z0-9]{1,4})?[\\],)]{0,2}"],
            version in prop_oneof![any::<String>(), "[0-9]{1,21}([-.:+~!][0-9a-z]{0,4}){0,6}"],
        ) {
            if let Ok(requirement) = VersionRequirement::parse(ecosystem, &text) {
                let fits = requirement.matches(&version);
                let printed = VersionRequirement::parse(ecosystem, requirement.as_str());
                prop_assert_eq!(printed.as_ref(), Ok(&requirement));
                prop_assert_eq!(printed.unwrap().matches(&version), fits);
                requirement.matches(&text);
            }
        }
    }
}
