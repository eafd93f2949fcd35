//! What a rule file means, and what is said about one that means nothing.

use expect_test::{Expect, expect};

use crate::{native, rule::Item};

/// A rule with this between its braces.
fn rule(inside: &str) -> String {
    format!("rule \"sql/x\" id=1 {{\n{inside}\n}}")
}

const SOUND: &str = "category \"sql\"; about \"x\"; points 25; on \"args\"; matches \"a\"";

#[track_caller]
fn check_refused(text: &str, expected: Expect) {
    let errors = native::parse("my.kdl", text).unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    expected.assert_eq(&(errors.join("\n") + "\n"));
}

/// The rule's links, as far as they say what is asked of what.
#[track_caller]
fn check_links(inside: &str, expected: Expect) {
    let text = rule(&format!("category \"sql\"; about \"x\"; points 25; {inside}"));
    let (set, _) = native::parse("my.kdl", &text).unwrap();
    let Item::Rule(rule) = &set.items[0] else { panic!("a rule") };
    let mut out = format!("{:?}\n", rule.phase);
    for link in &rule.links {
        for target in &link.targets {
            let signs = [(target.exclude, "!"), (target.count, "&")];
            let signs: String = signs.iter().filter(|(is, _)| *is).map(|(_, sign)| *sign).collect();
            out += &format!("{signs}{} {:?}, ", target.variable.name(), target.selector);
        }
        let negated = if link.negated { "not " } else { "" };
        out += &format!("{:?} {negated}{:?}\n", link.transformations, link.operator);
    }
    expected.assert_eq(&out);
}

#[test]
fn parts_become_targets() {
    check_links(
        r#"on "input" "header:referer"; any"#,
        expect![[r#"
            Request
            ARGS All, ARGS_NAMES All, REQUEST_COOKIES All, REQUEST_COOKIES_NAMES All, REQUEST_FILENAME All, FILES All, FILES_NAMES All, XML Key("/*"), XML Key("//@*"), UNREAD_BODY All, WEBSOCKET_FRAME All, REQUEST_HEADERS Key("referer"), [Decode] UnconditionalMatch
        "#]],
    );
    check_links(
        r#"on "everything"; except "args:comment" "xml" "cookies:/^_ga/"; any"#,
        expect![[r#"
            Request
            ARGS All, ARGS_NAMES All, REQUEST_COOKIES All, REQUEST_COOKIES_NAMES All, REQUEST_FILENAME All, FILES All, FILES_NAMES All, UNREAD_BODY All, WEBSOCKET_FRAME All, REQUEST_HEADERS All, !REQUEST_HEADERS Key("cookie"), !ARGS Key("comment"), !REQUEST_COOKIES Pattern("^_ga"), [Decode] UnconditionalMatch
        "#]],
    );
    check_links(
        r#"on "status" "response-body"; equals "500""#,
        expect![[r#"
        Response
        RESPONSE_STATUS All, RESPONSE_BODY All, [Decode] StrEq(Text([Literal("500")]))
    "#]],
    );
    check_links(
        r#"on "args:/^x/" "files-content"; any"#,
        expect![[r#"
        Request
        ARGS Pattern("^x"), FILES_TMP_CONTENT All, [Decode] UnconditionalMatch
    "#]],
    );
}

#[test]
fn conditions_become_operators() {
    check_links(
        r#"on "args"; text "squeezed"; contains "a" "b." not=#true"#,
        expect![[r#"
        Request
        ARGS All, [Decode, Squeeze] not Rx("(?:a|b\\.)")
    "#]],
    );
    check_links(
        r#"on "args"; text "raw"; equals "A" "B""#,
        expect![[r#"
        Request
        ARGS All, [] Rx("\\A(?:A|B)\\z")
    "#]],
    );
    check_links(
        r#"on "path"; text "path"; ends ".sql" ".bak""#,
        expect![[r#"
        RequestHead
        REQUEST_FILENAME All, [Decode, NormalizePathWin] Rx("(?:\\.sql|\\.bak)\\z")
    "#]],
    );
    check_links(
        r#"on "path"; begins "/admin""#,
        expect![[r#"
        RequestHead
        REQUEST_FILENAME All, [Decode] BeginsWith(Text([Literal("/admin")]))
    "#]],
    );
    check_links(
        r#"on "args"; phrases "A" "b""#,
        expect![[r#"
        Request
        ARGS All, [Decode] Pm([[65], [98]])
    "#]],
    );
    check_links(
        r#"on "args"; longer-than 100"#,
        expect![[r#"
        Request
        ARGS All, [Decode, Length] Gt(Text([Literal("100")]))
    "#]],
    );
    check_links(
        r#"on "args" "header:x"; count above=100"#,
        expect![[r#"
        Request
        &ARGS All, &REQUEST_HEADERS Key("x"), [] Gt(Text([Literal("100")]))
    "#]],
    );
    check_links(
        r#"on "args"; outside-bytes "9-10" "32-126""#,
        expect![[r#"
        Request
        ARGS All, [Decode] ValidateByteRange([9..=10, 32..=126])
    "#]],
    );
    check_links(
        r#"on "client"; text "raw"; within-networks "10.0.0.0/8" "::1""#,
        expect![[r#"
        RequestHead
        REMOTE_ADDR All, [] IpMatch([Network { address: 10.0.0.0, bits: 8 }, Network { address: ::1, bits: 128 }])
    "#]],
    );
    check_links(
        r#"on "body-bytes"; above 1000"#,
        expect![[r#"
        Request
        REQUEST_BODY_LENGTH All, [Decode] Gt(Text([Literal("1000")]))
    "#]],
    );
    check_links(
        r#"on "args"; sqli"#,
        expect![[r#"
        Request
        ARGS All, [Decode] DetectSqliText
    "#]],
    );
}

#[test]
fn further_conditions_become_links() {
    check_links(
        r#"on "args"; matches "^a+$"; and { on "matched"; matches "b" not=#true; }; and { on "response-body"; xss; }"#,
        expect![[r#"
            Response
            ARGS All, [Decode] Rx("(?-m)^a+$")
            MATCHED_VARS All, [] not Rx("b")
            RESPONSE_BODY All, [Decode] DetectXssText
        "#]],
    );
}

#[test]
fn unknown_words_are_refused_with_the_nearest_known_one() {
    check_refused(
        "ruel \"sql/x\" id=1",
        expect![[r#"
        my.kdl:1:1: unknown node `ruel`; did you mean `rule`?
    "#]],
    );
    check_refused(
        &rule(&format!("{SOUND}; pionts 5")),
        expect![[r#"
        my.kdl:2:63: unknown node `pionts`; did you mean `points`?
    "#]],
    );
    check_refused(
        &rule("category \"sequel\"; about \"x\"; points 5; on \"argz\"; text \"decode\"; any"),
        expect![[r#"
            my.kdl:1:6: this rule has no category; say `category "…"` at the top of the file or in the rule
            my.kdl:2:10: unknown category `sequel`; known are `sql`, `nosql`, `xss`, `traversal`, `command`, `code`, `template`, `ldap`, `xpath`, `xxe`, `ssrf`, `deserialization`, `protocol`, `scanner`, `lookup`, `upload`, `smuggling`, `sensitive-file`, `api`, `session-fixation`, `leak`, `web-shell`
            my.kdl:2:44: unknown part `argz`; did you mean `args`?
            my.kdl:2:57: unknown text `decode`; did you mean `decoded`?
        "#]],
    );
    check_refused(
        &rule(&format!("{SOUND}; attack \"x\" as=\"cooky\"; clean \"y\" on=\"z\"")),
        expect![[r#"
            my.kdl:2:77: unknown place for a case `cooky`; known are `arg`, `arg-name`, `json`, `cookie`, `file`, `header:NAME`, `path`, `query`, `method`, `body:TYPE`, `websocket`, `request`, `response-body`, `response-header:NAME`, `status`, `response`
            my.kdl:2:96: unknown property `on`; known are `as`
        "#]],
    );
}

#[test]
fn what_is_missing_or_surplus_is_refused() {
    check_refused(
        "rule \"sql/x\"",
        expect![[r#"
        my.kdl:1:1: `rule` has no block; put what belongs to it between `{` and `}`
    "#]],
    );
    check_refused(
        "rule \"sql/x\" { }",
        expect![[r#"
        my.kdl:1:1: this rule has no number; write `id=…` behind its name
        my.kdl:1:1: `about` is missing in this `rule`; add `about …` to its block
        my.kdl:1:1: `points` is missing in this `rule`; add `points …` to its block
        my.kdl:1:1: `on` is missing in this `rule`; add `on …` to its block
        my.kdl:1:1: this `rule` asks nothing; add one of `matches`, `phrases`, `contains`, `equals`, `begins`, `ends`, `longer-than`, `above`, `below`, `count`, `sqli`, `xss`, `outside-bytes`, `bad-percent-encoding`, `bad-utf8`, `within-networks`, `any`
        my.kdl:1:6: this rule has no category; say `category "…"` at the top of the file or in the rule
    "#]],
    );
    check_refused(
        &rule(&format!("{SOUND}; points 5; sqli; on")),
        expect![[r#"
        my.kdl:2:63: a second `points`; keep one of them
        my.kdl:2:73: a second condition; put it into an `and { … }`
        my.kdl:2:79: a second `on`; keep one of them
    "#]],
    );
    check_refused(
        &rule(&format!("{SOUND}; about \"y\" \"z\"; tags; text {{ }}")),
        expect![[r#"
        my.kdl:2:63: a second `about`; keep one of them
        my.kdl:2:78: `tags` has no argument; write it behind the name, on the same line
        my.kdl:2:84: `text` takes no block; remove it
        my.kdl:2:84: `text` has no argument; write it behind the name, on the same line
    "#]],
    );
    check_refused(
        "category \"sql\"; category \"xss\"",
        expect![[r#"
        my.kdl:1:17: a second `category` of one file; a rule may have its own
    "#]],
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    check_refused(
        &rule(&SOUND.replace("\"a\"", "\"A+\"")),
        expect![[r#"
        my.kdl:2:58: `A` will not be found in a value in lower case; write it in lower case, or look at `text "raw"`
    "#]],
    );
    check_refused(
        &rule(&SOUND.replace("\"a\"", "\"a*\"")),
        expect![[r#"
        my.kdl:2:58: this expression matches every value; let something in it be required, or write `any`
    "#]],
    );
    check_refused(
        &rule(&SOUND.replace("\"a\"", "\"(\"")),
        expect![[r#"
        my.kdl:2:58: this is no regular expression: unclosed group, at its byte 0; see https://docs.rs/regex-syntax for what can be written
    "#]],
    );
    check_refused(
        &rule(&SOUND.replace("\"a\"", "#\"(a)\\1(?=b)\"#")),
        expect![[r#"
        my.kdl:2:58: this is no regular expression: backreferences are not supported, at its byte 3; see https://docs.rs/regex-syntax for what can be written
    "#]],
    );
    check_refused(
        &rule(&SOUND.replace("\"a\"", "\"[a-z&&[^b]]\"")),
        expect![[r#"
        my.kdl:2:58: a class of this expression has classes in it; write out which bytes are meant; `[`, `&&`, `--` and `~~` are written with a `\`
    "#]],
    );
    check_refused(
        &rule(&SOUND.replace("\"args\"", "\"matched\"")),
        expect![[r#"
        my.kdl:2:39: `matched` cannot stand here; `matched` stands alone, within `and`
    "#]],
    );
    check_refused(
        &rule(&SOUND.replace("\"args\"", "\"args\" \"status\"")),
        expect![[r#"
        my.kdl:2:39: a request and a response cannot be looked at at once; ask one of them in an `and { … }`
    "#]],
    );
    check_refused(
        &rule(&SOUND.replace("\"args\"", "\"header\" \"method:x\" \"args:\"")),
        expect![[r#"
            my.kdl:2:42: `header` needs a name; write `header:NAME`, or `headers` for all
            my.kdl:2:51: `method` has no entry "x"; write `method`
            my.kdl:2:62: `args` has no entry ""; write `args`
        "#]],
    );
    check_refused(
        &rule(&format!("{SOUND}; except \"cookies\" \"args\"")),
        expect![[r#"
        my.kdl:2:63: nothing is left to be looked at; remove an exception
        my.kdl:2:70: `cookies` is not looked at anyway; remove it, or name it behind `on`
    "#]],
    );
    check_refused(
        &rule(&SOUND.replace("25", "0")),
        expect![[r#"
        my.kdl:2:35: a whole number is expected here; allowed: 1 to 100
    "#]],
    );
    check_refused(
        &rule(&SOUND.replace("25", "\"25\"")),
        expect![[r#"
        my.kdl:2:35: a whole number is expected here; allowed: 1 to 100
    "#]],
    );
    check_refused(
        &rule("category \"xss\"; about \"x\"; points 1; on \"args\"; count above=1 below=2"),
        expect![[r#"
            my.kdl:1:6: "sql/x" is no name for a rule of this category; write `xss/` and lower-case letters, digits and `-`
            my.kdl:2:49: `count` compares with one number; write one of `above=`, `below=` and `is=`
        "#]],
    );
    check_refused(
        &rule(
            "category \"sql\"; about \"x\"; points 1; on \"client\"; within-networks \"10.0.0.0/33\"",
        ),
        expect![[r#"
            my.kdl:2:67: "10.0.0.0/33" is no network; write an address, or one with the length of its prefix as in "10.0.0.0/8"
        "#]],
    );
    check_refused(
        &rule("category \"sql\"; about \"x\"; points 1; on \"args\"; outside-bytes \"10-9\""),
        expect![[r#"
            my.kdl:2:63: "10-9" is no range of bytes; write one number from 0 to 255, or two as in "32-126"
        "#]],
    );
}

#[test]
fn numbers_and_names_are_unique() {
    let twice = format!("{}\n{}", rule(SOUND), rule(SOUND));
    check_refused(
        &twice,
        expect![[r#"
        my.kdl:4:6: the number 1 is taken; the rule in line 1 has it already
        my.kdl:4:6: this name is taken; the rule in line 1 has it already
    "#]],
    );
}

#[test]
fn rules_are_in_the_order_of_their_numbers() {
    let one = |id: u64| format!("rule \"sql/x{id}\" id={id} {{ {SOUND}; }}\n");
    let (set, _) = native::parse("my.kdl", &(one(7) + &one(3))).unwrap();
    let ids = set.items.iter().map(|item| match item {
        Item::Rule(rule) => rule.id,
        Item::Marker(_) => panic!("no markers"),
    });
    assert_eq!(ids.collect::<Vec<_>>(), [3, 7]);
}

#[test]
fn bundled_files_are_read_without_a_complaint() {
    for (name, text) in native::bundled::FILES {
        assert_eq!(native::parse(name, text).err(), None);
    }
}
