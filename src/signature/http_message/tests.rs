//! The test vectors of RFC 9421 that a request and these algorithms have. They cover neither
//! address nor body as a whole, so that a [`Verifier`](crate::signature::Verifier) refuses them;
//! what they tell is that the text that is signed is right.

use super::*;
use crate::request::Method;

/// Appendix B.2: the request that is signed.
fn request() -> (Target, Headers) {
    let target =
        Target::of(Method::Post, &"https://example.com/foo?param=Value&Pet=dog".parse().unwrap());
    let digest = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
    let headers = [
        ("Host", "example.com"),
        ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("Content-Type", "application/json"),
        ("Content-Digest", digest),
        ("Content-Length", "18"),
    ];
    (target, headers.into_iter().collect())
}

/// Reads the one signature of two fields, and the text that it signs.
fn read(input: &str, signature: &str) -> (String, Vec<u8>) {
    let (target, headers) = request();
    let input = fields::inputs(input.as_bytes()).unwrap().remove(0);
    let base = components::base(&input.components, input.text, &target, &headers).unwrap();
    let (label, signature) = fields::bytes(signature.as_bytes()).unwrap().remove(0);
    assert_eq!(label, input.label);
    (String::from_utf8(base).unwrap(), signature)
}

/// Appendix B.1.5, the key of B.2.5.
const SHARED: &str = "whsec_uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

#[test]
fn appendix_b_2_5_is_signed_and_verified() {
    let (base, signature) = read(
        r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
        "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
    );
    let expected = r#""date": Tue, 20 Apr 2021 02:07:55 GMT
"@authority": example.com
"content-type": application/json
"@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
    assert_eq!(base, expected);
    let secret: SigningSecret = SHARED.parse().unwrap();
    assert_eq!(secret.sign(&[base.as_bytes()]), signature);
    let keys = Keys { secrets: vec![secret], ..Keys::default() };
    assert!(
        keys.fitting(
            &[base.as_bytes()],
            std::slice::from_ref(&signature),
            &[],
            Identity::Signed(b"base")
        )
        .is_some()
    );
    assert!(keys.fitting(&[b"other"], &[signature], &[], Identity::Signed(b"base")).is_none());
}

#[cfg(feature = "ed25519")]
#[test]
fn appendix_b_2_6_is_signed_and_verified() {
    let (base, signature) = read(
        r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
        "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
    );
    let expected = r#""date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
    assert_eq!(base, expected);
    // Appendix B.1.4.
    let secret: SigningSecret =
        "whsk_n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=".parse().unwrap();
    assert_eq!(secret.sign(&[base.as_bytes()]), signature);
    let public = "whpk_JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=".parse().unwrap();
    assert_eq!(secret.public_key(), Some(public));
    let keys = Keys { public: vec![secret.public_key().unwrap()], ..Keys::default() };
    assert!(
        keys.fitting(&[base.as_bytes()], &[], &[signature], Identity::Signed(b"base")).is_some()
    );
}

#[test]
fn the_digests_of_rfc_9421_and_rfc_9530_are_made_and_checked() {
    let body = b"{\"hello\": \"world\"}";
    assert_eq!(digest::of(body), "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:");
    let line = b"{\"hello\": \"world\"}\n";
    assert_eq!(digest::of(line), "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
    let (_, headers) = request();
    let sha512 = headers.only("content-digest").unwrap();
    assert_eq!(digest::check(sha512, body), Ok(()));
    assert_eq!(digest::check(sha512, line), Err(VerifyError::Digest));
    let both = [sha512, b", ", digest::of(body).as_bytes()].concat();
    assert_eq!(digest::check(&both, body), Ok(()));
    let one_wrong = [sha512, b", ", digest::of(line).as_bytes()].concat();
    assert_eq!(digest::check(&one_wrong, body), Err(VerifyError::Digest));
    assert_eq!(digest::check(b"md5=:AAAA:", body), Err(VerifyError::Digest), "none that is known");
    for malformed in ["", "sha-256", "sha-256=", "sha-256=X", "sha-256=:X", "sha-256=:!:", "=:AA:"]
    {
        let expected = VerifyError::Malformed { name: DIGEST_HEADER, specification: "RFC 9530" };
        assert_eq!(digest::check(malformed.as_bytes(), body), Err(expected), "{malformed:?}");
    }
}

#[test]
fn derived_components_are_those_of_the_address() {
    let (target, headers) = request();
    let value = |name| {
        let base = String::from_utf8(components::base(&[name], "", &target, &headers).unwrap());
        base.unwrap().lines().next().unwrap().split_once(": ").unwrap().1.to_owned()
    };
    for (name, expected) in [
        ("@method", "POST"),
        ("@target-uri", "https://example.com/foo?param=Value&Pet=dog"),
        ("@authority", "example.com"),
        ("@scheme", "https"),
        ("@path", "/foo"),
        ("@query", "?param=Value&Pet=dog"),
        ("@request-target", "/foo?param=Value&Pet=dog"),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
    let plain = Target::of(Method::Post, &"http://EXAMPLE.com:8080#x".parse().unwrap());
    let base = components::base(&["@target-uri", "@authority", "@query"], "()", &plain, &headers);
    let expected = "\"@target-uri\": http://example.com:8080/\n\"@authority\": example.com:8080\n\
                    \"@query\": ?\n\"@signature-params\": ()";
    assert_eq!(String::from_utf8(base.unwrap()).unwrap(), expected);
    for unknown in ["@status", "@query-param", "@signature-params", "@"] {
        let found = components::base(&[unknown], "", &target, &headers);
        assert!(matches!(found, Err(VerifyError::Malformed { .. })), "{unknown}");
    }
}

#[test]
fn a_value_that_is_there_twice_or_has_two_lines_is_not_covered() {
    let (target, mut headers) = request();
    headers.push("x-lines", "a\n\"@method\": POST");
    headers.push("x-twice", "a");
    headers.push("X-Twice", "a");
    for name in ["x-lines", "x-twice", "x-absent"] {
        let found = components::base(&[name], "", &target, &headers);
        assert_eq!(found, Err(VerifyError::Header { name: name.to_owned() }));
    }
}

#[test]
fn fields_are_read_in_one_spelling() {
    fn read(text: &str) -> Option<Vec<Input<'_>>> {
        fields::inputs(text.as_bytes())
    }
    let one =
        read(r#"a=("b" "c");created=0;n=?1;x=1.5;y=:AA==:;z=t/o*k;expires=9;alg="d""#).unwrap();
    assert_eq!((one[0].label, &one[0].components[..]), ("a", &["b", "c"][..]));
    assert_eq!(
        (one[0].created, one[0].expires, one[0].algorithm),
        (Some("0"), Some("9"), Some("d"))
    );
    assert_eq!(read(r#"a=(), *b_-.=("c") , d=("e");x=1"#).unwrap().len(), 3);
    for malformed in [
        "",
        "a",
        "a=",
        "a=(",
        r#"a=("b"#,
        r#"a=("b""#,
        r#"a=( "b")"#,
        r#"a=("b"  "c")"#,
        r#"a=("b""c")"#,
        r#"a=("b" )"#,
        r#"a=("b" "b")"#,
        r#"a=("B")"#,
        r#"a=("")"#,
        r#"a=("b\"")"#,
        r#"a=("b";sf)"#,
        r#"a=("b");"#,
        r#"a=("b"); created=1"#,
        r#"a=("b");created="#,
        r#"a=("b");created=-1"#,
        r#"a=("b");created=01"#,
        r#"a=("b");created="1""#,
        r#"a=("b");created=1;created=1"#,
        r#"a=("b");alg=token"#,
        r#"a=("b");flag"#,
        r#"a=("b"),"#,
        r#"a=("b"),,b=("c")"#,
        r#"a=("b"), a=("b")"#,
        r#"A=("b")"#,
        r#"1=("b")"#,
        r#" a=("b")"#,
        r#"a=("b") "#,
        r#"a ("b")"#,
        "a=(\"b\")\n",
        "a=(\"\u{e9}\")",
        "a=1",
        r#"a=("b");x=("#,
    ] {
        assert!(read(malformed).is_none(), "{malformed:?}");
    }
    assert!(fields::inputs(b"a=(\"\xff\")").is_none());
    let many = |count: u32| (0..count).map(|n| format!("\"x{n}\"")).collect::<Vec<_>>().join(" ");
    assert!(
        read(&format!("a=({})", many(64))).is_some()
            && read(&format!("a=({})", many(65))).is_none()
    );
    let many = |count: u32| (0..count).map(|n| format!("x{n}=()")).collect::<Vec<_>>().join(",");
    assert!(read(&many(64)).is_some() && read(&many(65)).is_none());
}
