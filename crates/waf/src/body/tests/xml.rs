use proptest::prelude::*;

use super::*;

fn read(input: &str) -> (Xml, Vec<Found>) {
    run(input.as_bytes(), &Limits::default(), xml)
}

#[track_caller]
fn check(input: &str, expected: &str) -> Xml {
    let (outcome, found) = read(input);
    assert_eq!(outcome.problem, None, "{input}");
    assert_eq!(show(&found), expected, "{input}");
    outcome
}

#[track_caller]
fn check_wrong(input: &str, offset: usize, message: &str, expected: &str) {
    let (outcome, found) = read(input);
    let problem = outcome.problem.map(|problem| (problem.offset, problem.message));
    assert_eq!(problem, Some((offset, message)), "{input}");
    assert_eq!(show(&found), expected, "{input}");
}

#[test]
fn text_is_one_and_attributes_are_each_their_own() {
    let cases = [
        ("<a>x</a>", "=x"),
        ("<a/>", ""),
        ("<a></a>", ""),
        ("<a>x<b>y</b>z</a>", "=xyz"),
        ("<a b=\"c\" d='e'>x</a>", "b=c | d=e | =x"),
        ("<a b = \"c\"\n d='\"'/>", "b=c | d=\""),
        ("<s:a s:b='c'>x</s:a>", "s:b=c | =x"),
        ("<a xmlns='urn:x' xmlns:s='urn:y' b='c'/>", "b=c"),
        ("<?xml version='1.0'?>\n<!-- c --><a>x<!-- y --><?php z ?>w</a>\n", "=xw"),
        ("<a><![CDATA[<b> &lt; ]]]]><![CDATA[>]]></a>", "=<b> &lt; ]]>"),
        ("\u{FEFF}<a>é</a >", r"=\xc3\xa9"),
        ("<a>\n <b>x</b>\n</a>", r"=\n x\n"),
        ("<é>x</é>", "=x"),
        ("<a>\r\n\r<![CDATA[\r\n&lt;]]>&#13;</a>", r"=\n\n\n&lt;\r"),
        ("<a b='\r\n\r\t\n&#10;'/>", r"b=    \n"),
    ];
    for (input, expected) in cases {
        check(input, expected);
    }
}

#[test]
fn characters_are_replaced_and_nothing_else() {
    let cases = [
        ("<a>&lt;b&gt; &amp;&quot;&apos;</a>", r#"=<b> &"\'"#),
        ("<a>&#60;&#x3c;&#x3C;</a>", "=<<<"),
        ("<a>&#x20AC;</a>", r"=\xe2\x82\xac"),
        ("<a>&amp;lt;</a>", "=&lt;"),
        ("<a b='&lt;&#39;'/>", r"b=<\'"),
    ];
    for (input, expected) in cases {
        assert!(!check(input, expected).references, "{input}");
    }
}

#[test]
fn no_declared_entity_is_expanded() {
    let outcome = check(
        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a b='&x;'>&x;</a>",
        "ENTITY=file:///etc/passwd | b=&x; | =&x;",
    );
    assert!(outcome.doctype && outcome.entities && outcome.external && outcome.references);

    let laughs = "<!DOCTYPE a [<!ENTITY x 'ha'><!ENTITY y '&x;&x;&x;'>]><a>&y;</a>";
    let outcome = check(laughs, "ENTITY=ha | ENTITY=&x;&x;&x; | =&y;");
    assert!(outcome.entities && !outcome.external);
}

#[test]
fn a_document_type_is_told() {
    let cases = [
        ("<!DOCTYPE html><html/>", "", false, false),
        ("<!doctype a><a/>", "", false, false),
        ("<!DOCTYPE a SYSTEM 'http://x/y.dtd'><a/>", "DOCTYPE=http://x/y.dtd", false, true),
        ("<!DOCTYPE a PUBLIC '-//X' \"u\"><a/>", "DOCTYPE=-//X | DOCTYPE=u", false, true),
        (
            "<!DOCTYPE a [ <!-- > ' --> <?x > ?> <!ELEMENT a (#PCDATA)> <!ENTITY % p '>]'> %p; ]><a>y</a>",
            "ENTITY=>] | =y",
            true,
            false,
        ),
    ];
    for (input, expected, entities, external) in cases {
        let outcome = check(input, expected);
        let told = (outcome.doctype, outcome.entities, outcome.external);
        assert_eq!(told, (true, entities, external), "{input}");
    }
}

#[test]
fn what_is_not_well_formed_is_read_on() {
    let cases = [
        ("", 0, "there is no element", ""),
        ("hello", 0, "text is outside of the document's element", "=hello"),
        ("<a>x", 4, "an element is not closed", "=x"),
        ("<a>x</b>", 4, "another element is closed than is open", "=x"),
        ("<a>x</a></a>", 8, "an element is closed that was not open", "=x"),
        ("<a/><b>x</b>", 4, "a second element follows the document's", "=x"),
        ("<a/>x", 4, "text is outside of the document's element", "=x"),
        ("<a>1 < 2</a>", 5, "a tag has no name", "=1 < 2"),
        ("<a b=c>x</a>", 5, "a value is not in quotes", "b=c | =x"),
        ("<a b>x</a>", 4, "an attribute has no value", "b= | =x"),
        ("<a \"b\">x</a>", 3, "an attribute has no name", "b= | =x"),
        ("<a b='c", 5, "a value's quote is not closed", "b=c"),
        ("<a b='<c>'/>", 6, "a value has a < in it", "b=<c>"),
        ("<a <b>x</b></a>", 3, "a tag has no end", "=x"),
        ("<a>x</a", 7, "a closing tag has no end", "=x"),
        ("<a>& x</a>", 3, "an ampersand begins no entity", "=& x"),
        ("<a>&nbsp;</a>", 3, "an entity is used that nothing declares", "=&nbsp;"),
        ("<a>&#xD800;</a>", 3, "an ampersand begins no entity", "=&#xD800;"),
        ("<a>x<!-- y", 4, "a comment is not closed", "=x"),
        ("<a>x<?y", 4, "an instruction is not closed", "=x"),
        ("<a><![CDATA[x", 3, "character data is not closed", "=x"),
        ("<a/><!DOCTYPE a>", 4, "a document type is not where it belongs", ""),
        ("<!DOCTYPE a [", 0, "the document type is not closed", ""),
    ];
    for (input, offset, message, expected) in cases {
        check_wrong(input, offset, message, expected);
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = "<a>".repeat(100_000);
    let problem = read(&deep).0.problem.unwrap();
    assert_eq!((problem.kind, problem.offset), (Fault::TooDeep, 3 * 128 + 1));
}

fn element() -> impl Strategy<Value = (String, String)> {
    let text = "[a-z &<\"é]{0,6}";
    let leaf = text.prop_map(|text: String| (escaped(&text), text));
    leaf.prop_recursive(4, 24, 4, move |inner| {
        (prop::collection::vec(inner, 0..4), "[a-z]{1,3}").prop_map(|(children, name)| {
            let (written, text): (Vec<_>, Vec<_>) = children.into_iter().unzip();
            (format!("<{name} b='c'>{}</{name}>", written.concat()), text.concat())
        })
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&#60;").replace('"', "&quot;")
}

const PIECES: &[&str] = &[
    "<a",
    ">",
    "</a>",
    "/>",
    "<!DOCTYPE",
    "<!ENTITY",
    "[",
    "]",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "&lt;",
    "&",
    "b='",
    "'",
    "\"",
    " ",
    "x=",
    "<?",
    "?>",
    "é",
    "SYSTEM",
    "%",
];

proptest! {
    #[test]
    fn what_is_written_is_read((written, text) in element()) {
        let (outcome, found) = read(&format!("<r>{written}</r>"));
        prop_assert_eq!(outcome, Xml::default());
        let seen = found.iter().find(|field| field.kind == Kind::XmlText);
        prop_assert_eq!(seen.map_or(&b""[..], |field| &field.value), text.as_bytes());
    }

    #[test]
    fn any_text_is_taken(text in made_of(PIECES)) {
        if let Some(problem) = read(&text).0.problem {
            prop_assert!(problem.offset <= text.len());
        }
    }
}
