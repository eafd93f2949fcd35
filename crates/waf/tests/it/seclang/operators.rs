//! What rules ask.

use super::{errors, notes, rule};

#[track_caller]
fn check(operator: &str, expected: &str) {
    let link = rule(&format!("SecRule ARGS \"{operator}\" \"id:1\"")).links.remove(0);
    let negated = if link.negated { "!" } else { "" };
    assert_eq!(format!("{negated}{:?}", link.operator), expected, "{operator}");
}

#[test]
fn expressions_stay_as_written() {
    check("@rx ^a b$", "Rx(\"^a b$\")");
    check("^a", "Rx(\"^a\")");
    check("!^a", "!Rx(\"^a\")");
    check("! @rx a", "!Rx(\"a\")");
    check("", "Rx(\"\")");
    check("@rx", "Rx(\"\")");
    check("@rx   a ", "Rx(\"a \")");
    check(r#"@rx \"a\\b\""#, r#"Rx("\\\"a\\\\b\\\"")"#);
    check("@rx a%{2,3}", "Rx(\"a%{2,3}\")");
    check("@RX a", "Rx(\"a\")");
}

#[test]
fn texts() {
    let text = "Text([Literal(\"a \"), Variable(Tx, Some(\"b\"))])";
    for (name, variant) in [
        ("contains", "Contains"),
        ("containsWord", "ContainsWord"),
        ("strmatch", "StrMatch"),
        ("beginsWith", "BeginsWith"),
        ("endsWith", "EndsWith"),
        ("streq", "StrEq"),
        ("within", "Within"),
        ("eq", "Eq"),
        ("ge", "Ge"),
        ("gt", "Gt"),
        ("le", "Le"),
        ("lt", "Lt"),
    ] {
        check(&format!("@{name} a %{{tx.b}}"), &format!("{variant}({text})"));
        check(&format!("!@{}  a %{{TX:b}}", name.to_uppercase()), &format!("!{variant}({text})"));
    }
    check(r#"@contains \"x\""#, r#"Contains(Text([Literal("\"x\"")]))"#);
    check("@eq 0 ", "Eq(Text([Literal(\"0\")]))");
    check("@streq ", "StrEq(Text([]))");
    check(
        "@streq %{REMOTE_ADDR}%{args.a b}",
        "StrEq(Text([Variable(RemoteAddr, None), Variable(Args, Some(\"a b\"))]))",
    );
}

#[test]
fn without_an_argument() {
    check("@detectSQLi", "DetectSqli");
    check("@detectXSS", "DetectXss");
    check("@validateUrlEncoding", "ValidateUrlEncoding");
    check("!@validateUtf8Encoding", "!ValidateUtf8Encoding");
    check("@unconditionalMatch", "UnconditionalMatch");
    check("@noMatch", "NoMatch");
    check(r"@verifyCC \d{13,16}", r#"VerifyCreditCard("\\d{13,16}")"#);
    check(r"@verifyCPF \d{11}", r#"VerifyCpf("\\d{11}")"#);
    check(r"@verifySSN \d{9}", r#"VerifySsn("\\d{9}")"#);
}

fn phrases(phrases: &[&str]) -> String {
    let bytes: Vec<_> = phrases.iter().map(|phrase| phrase.as_bytes()).collect();
    format!("Pm({bytes:?})")
}

#[test]
fn lists_of_phrases() {
    check("@pm a b  c", &phrases(&["a", "b", "c"]));
    check("@pm |41 42| c|0d0A|", &phrases(&["AB", "c"]));
    check(r#"@pm a\:b c\\d \"e\""#, &phrases(&["a:b", "c\\d", "\"e\""]));
    check("@pm a|b", &phrases(&["a|b"]));
    check("@pm |4| b", &phrases(&["|4|", "b"]));
    check(r"@pm a\b", &phrases(&["a\\b"]));
    check("@pmFromFile words.data", &phrases(&["union select", "sleep("]));
    check("@pmf words.data more.data", &phrases(&["union select", "sleep(", "drop table"]));
    check("!@pmFromFile empty.data", "!NoMatch");
}

#[test]
fn addresses() {
    let network =
        |address: &str, bits: u8| format!("Network {{ address: {address}, bits: {bits} }}");
    check(
        "@ipMatch 192.0.2.7, 10.0.0.0/8,2001:db8::/32,::1",
        &format!(
            "IpMatch([{}, {}, {}, {}])",
            network("192.0.2.7", 32),
            network("10.0.0.0", 8),
            network("2001:db8::", 32),
            network("::1", 128)
        ),
    );
    let file = format!("IpMatch([{}, {}])", network("192.0.2.0", 24), network("2001:db8::1", 128));
    check("@ipMatchFromFile nets.data", &file);
    check("@ipMatchF nets.data", &file);
}

#[test]
fn byte_ranges_are_sorted_and_joined() {
    check("@validateByteRange 1-255", "ValidateByteRange([1..=255])");
    check("@validateByteRange 32-36,38,37, 10", "ValidateByteRange([10..=10, 32..=38])");
    check("@validateByteRange 0,255", "ValidateByteRange([0..=0, 255..=255])");
}

#[test]
fn what_is_not_asked_never_matches() {
    for name in [
        "fuzzyHash",
        "geoLookup",
        "gsbLookup",
        "inspectFile",
        "ipMatchFromDataset",
        "pmFromDataset",
        "rbl",
        "restpath",
        "rsub",
        "validateDTD",
        "validateEncryption",
        "validateHash",
        "validateNid",
        "validateSchema",
        "verifySVNR",
    ] {
        check(&format!("!@{name} a"), &format!("!Inert(\"@{name}\")"));
        let found = notes(&format!("SecRule ARGS \"@{name} a\" \"id:900123\""));
        let expected = format!("1: unsupported @{name} in rule 900123: ");
        assert!(found.starts_with(&expected) && found.ends_with("; it never matches\n"), "{found}");
    }
    for operator in ["@rx ^%{tx.a}$", "@ipMatch %{tx.a}", "@pmFromFile https://example.com/a"] {
        let found = notes(&format!("SecRule ARGS \"{operator}\" \"id:1\""));
        assert!(
            found.contains("unsupported") && found.ends_with("; it never matches\n"),
            "{found}"
        );
    }
    let found = notes("SecRule ARGS \"@rxGlobal a\" \"id:1\"");
    assert!(found.starts_with("1: unsupported @rxGlobal in rule 1: asked as @rx"), "{found}");
    check("@rxGlobal a", "Rx(\"a\")");
}

#[test]
fn wrong_operators() {
    let cases = [
        ("@contain a", "no operator `@contain`; did you mean `@contains`?"),
        ("@", "no operator `@`; docs/reference/seclang.md lists what there is"),
        ("@pm", "no phrase to look for; the operator needs at least one"),
        ("@ipMatch", "no address to compare with; the operator needs at least one"),
        (
            "@ipMatch 192.0.2.0/33",
            "`192.0.2.0/33` is no address and no network; write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32",
        ),
        (
            "@ipMatch 192.0.2.0/255",
            "`192.0.2.0/255` is no address and no network; write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32",
        ),
        (
            "@validateByteRange 9-1",
            "`9-1` is no range of bytes; write numbers up to 255, such as 32-126",
        ),
        (
            "@validateByteRange 256",
            "`256` is no range of bytes; write numbers up to 255, such as 32-126",
        ),
        ("@validateByteRange", "no byte is allowed; the operator needs at least one"),
        (
            "@pmFromFile none.data",
            "`none.data` cannot be read: entity not found; names are relative to the file they stand in",
        ),
    ];
    for (operator, expected) in cases {
        let found = errors(&format!("SecRule ARGS \"{operator}\" \"id:1\""));
        assert_eq!(found, format!("1: {expected}\n"), "{operator}");
    }
}
