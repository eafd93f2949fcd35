mod faults;
mod messages;
mod parameters;

use std::{fmt::Write, fs, path::PathBuf, sync::LazyLock};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::schema::{
    body::Fault,
    checker::{Finding, Patterns, Violations},
    guard::Limits,
    violation,
};

const DIALECT: Dialect = Dialect { formats: Some(true), patterns: Patterns::Linear };

const LOOK: Look = Look {
    limits: Limits { size: 10_000, depth: 20, keys: 100, items: 100, number: 40, string: 1000 },
    most: 10,
};

impl Fields for Vec<(&str, &str)> {
    fn lines(&self, name: &str) -> Vec<&[u8]> {
        let own = |(own, _): &&(&str, &str)| own.eq_ignore_ascii_case(name);
        self.iter().filter(own).map(|(_, value)| value.as_bytes()).collect()
    }
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schema").join(name)
}

fn load(file: &Path) -> Result<(Api, Vec<String>), Vec<String>> {
    Api::load(file, Options { base_path: None, dialect: DIALECT, responses: true })
}

fn pets_3_0() -> &'static Api {
    static API: LazyLock<Api> = LazyLock::new(|| load(&fixture("pets-3.0.yaml")).unwrap().0);
    &API
}

fn pets_3_1() -> Api {
    load(&fixture("pets-3.1.yaml")).unwrap().0
}

fn lines(violations: &[Violation], out: &mut String) {
    for Violation { place, source, message, closest, .. } in violations {
        let place = match place {
            violation::Place::Body(pointer) => format!("{:?}", pointer.as_str()),
            violation::Place::Parameter { location, name, pointer } => {
                format!("{location} {name} {:?}", pointer.as_str())
            }
        };
        writeln!(out, "{place} {message} [{source}]").unwrap();
        lines(closest, out);
    }
}

/// What is said of a request's head: `GET /path?query` and a line for each field.
fn head(api: &Api, request: &str) -> Found {
    let mut parts = request.lines();
    let (method, target) = parts.next().unwrap().split_once(' ').unwrap();
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    let fields: Vec<(&str, &str)> = parts.map(|line| line.split_once(": ").unwrap()).collect();
    api.find(RequestHead { method, path, query, fields: &fields }, LOOK)
}

#[track_caller]
fn check_head(api: &Api, request: &str, expected: Expect) {
    let text = match head(api, request) {
        Found::Nothing => "nothing".to_owned(),
        Found::Methods(methods) => format!("only {}", methods.join(", ")),
        Found::Operation { number, violations } => {
            let mut out = format!("{}\n", api.name(number));
            lines(&violations, &mut out);
            out
        }
    };
    expected.assert_eq(&text);
}

fn judged(judgement: Judgement) -> String {
    let mut out = String::new();
    match judgement {
        Ok(Finding::Fits) => out.push_str("fits"),
        Ok(Finding::TooCostly) => out.push_str("too costly"),
        Ok(Finding::Violates(Violations { listed, .. })) => lines(&listed, &mut out),
        Err(Fault::Json(refusal)) => {
            write!(out, "{:?} {}", refusal.pointer.as_str(), refusal.flaw).unwrap()
        }
        Err(Fault::NotUtf8) => out.push_str("not UTF-8"),
        Err(Fault::Form(what)) => write!(out, "the form {what}").unwrap(),
    }
    out
}

fn ruled(rule: BodyRule) -> Result<(), String> {
    match rule {
        BodyRule::Seen => Ok(()),
        BodyRule::Unseen => Err("unseen".to_owned()),
        BodyRule::Type(types) => Err(format!("only {types}")),
        BodyRule::Violates(violation) => {
            let mut out = String::new();
            lines(&[*violation], &mut out);
            Err(out)
        }
    }
}

/// Checks the body of a request to `target`, of type `media`.
#[track_caller]
fn check_body(api: &Api, (target, media): (&str, &str), body: &str, expected: Expect) {
    let Found::Operation { number, .. } = head(api, target) else { panic!("no operation") };
    let media = MediaType::parse(media);
    let text = match ruled(api.request_body_rule(number, media.as_ref(), !body.is_empty())) {
        Ok(()) => judged(api.check_request_body(number, &media.unwrap(), body.as_bytes(), LOOK)),
        Err(what) => what,
    };
    expected.assert_eq(&text);
}

/// Checks an answer to a request to `target`: its status, fields, and body.
#[track_caller]
fn check_response(
    api: &Api,
    (target, status): (&str, u16),
    (fields, body): (&[(&str, &str)], &str),
    expected: Expect,
) {
    let Found::Operation { number, .. } = head(api, target) else { panic!("no operation") };
    let fields = fields.to_vec();
    let mut out = String::new();
    match api.check_response_head((number, status), &fields, LOOK) {
        None => out.push_str("status not described\n"),
        Some(violations) => lines(&violations, &mut out),
    }
    let media = fields.lines("content-type").first().map(|m| std::str::from_utf8(m).unwrap());
    let media = media.and_then(MediaType::parse);
    let body_says =
        match ruled(api.response_body_rule((number, status), media.as_ref(), !body.is_empty())) {
            Ok(()) => {
                let body = body.as_bytes();
                judged(api.check_response_body((number, status), &media.unwrap(), body, LOOK))
            }
            Err(what) => what,
        };
    expected.assert_eq(&format!("{out}{body_says}"));
}

#[test]
fn what_is_not_checked_is_said() {
    let notes = |name: &str| load(&fixture(name)).unwrap().1.join("\n");
    expect![[r#"
        pets-3.0.yaml:7: #/security is left to the agent `auth`
        pets-3.0.yaml:48: #/paths/~1pets/get/parameters/8 describes a field that OpenAPI leaves to media types and security"#]].assert_eq(&notes("pets-3.0.yaml"));
    expect!["pets-3.1.yaml:36: #/webhooks describes requests that do not come by here; it is not checked"].assert_eq(&notes("pets-3.1.yaml"));
}

#[test]
fn paths_and_methods() {
    let api = pets_3_0();
    check_head(
        api,
        "GET /api/v1/pets/mine",
        expect![[r#"
        GET /pets/mine
    "#]],
    );
    check_head(
        api,
        "GET /api/v2/pets/7",
        expect![[r#"
        GET /pets/{id}
    "#]],
    );
    check_head(
        api,
        "HEAD /api/v2/pets/7",
        expect![[r#"
        GET /pets/{id}
    "#]],
    );
    check_head(
        api,
        "PUT /api/v2/pets/mine",
        expect![[r#"
        PUT /pets/{id}
        path id "" must be an integer, not a string [pets-3.0.yaml#/paths/~1pets~1%7Bid%7D/parameters/0/schema/type]
    "#]],
    );
    check_head(api, "DELETE /api/v2/pets/7", expect!["only GET, PUT"]);
    check_head(api, "GET /api/v3/pets/7", expect!["nothing"]);
    check_head(api, "GET /pets/7", expect!["nothing"]);
    check_head(api, "GET /api/v2/pets/", expect!["nothing"]);
    check_head(
        api,
        "GET /api/v2/pets/7/photo.png",
        expect![[r#"
        GET /pets/{id}/photo.{format}
    "#]],
    );
    check_head(
        api,
        "GET /api/v2/pets/7/photo.gif",
        expect![[r#"
        GET /pets/{id}/photo.{format}
        path format "" must be one of `png`, `jpg` [pets-3.0.yaml#/paths/~1pets~1%7Bid%7D~1photo.%7Bformat%7D/get/parameters/1/schema/enum]
    "#]],
    );
    check_head(api, "get /api/v2/pets/7", expect!["only GET, PUT"]);
}

/// Loads a description of one `path` with `rest`, in OpenAPI 3.0.
fn load_text(text: &str) -> Result<(Api, Vec<String>), Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("api.yaml");
    fs::write(&file, text).unwrap();
    load(&file)
}

/// A description with one operation that takes a body of this schema.
fn with_schema(version: &str, schema: &str) -> String {
    format!(
        "openapi: {version}\npaths:\n  /a:\n    post:\n      requestBody:\n        content:\n          \
         application/json:\n            schema: {schema}\n      responses: {{}}\n"
    )
}

#[test]
fn base_paths() {
    let text = "openapi: 3.0.0\nservers: [{url: 'https://h/x/'}, {url: //h/y}, {url: /z}, {url: w}, {url: 'https://h'}]\n\
                paths:\n  /a:\n    servers: [{url: /own}]\n    get: {responses: {}}\n  /b:\n    \
                get: {responses: {}, servers: [{url: /get}]}\n    post: {responses: {}}\n";
    let (api, _) = load_text(text).unwrap();
    let is_there = |request: &str| matches!(head(&api, request), Found::Operation { .. });
    for request in
        ["GET /own/a", "GET /get/b", "POST /x/b", "POST /y/b", "POST /z/b", "POST /w/b", "POST /b"]
    {
        assert!(is_there(request), "{request}");
    }
    for request in ["GET /x/a", "GET /b", "POST /get/b"] {
        assert!(!is_there(request), "{request}");
    }
    let options = Options { base_path: Some("/edge/"), dialect: DIALECT, responses: false };
    let (api, _) = Api::load(&fixture("pets-3.0.yaml"), options).unwrap();
    assert!(matches!(head(&api, "GET /edge/pets/mine"), Found::Operation { .. }));
    assert_eq!(head(&api, "GET /api/v2/pets/mine"), Found::Nothing);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_request_is_judged(
        path in "/(api/v2/)?(pets|x)?(/[a-z0-9%./-]{0,8}){0,2}",
        query in "([a-z%\\[\\]]{0,8}(=[a-z0-9%\\[\\],|{}\"+]{0,8})?&?){0,4}",
        cookie in "[ -~]{0,20}",
        body in "[\\[\\]{}a-z\":,0-9&=%+]{1,40}",
    ) {
        let api = pets_3_0();
        for method in ["GET", "POST", "PUT"] {
            let fields = vec![("cookie", cookie.as_str()), ("x-flags", query.as_str())];
            let request = RequestHead { method, path: &path, query: Some(&query), fields: &fields };
            if let Found::Operation { number, .. } = api.find(request, LOOK) {
                for media in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
                    let media = MediaType::parse(media).unwrap();
                    let _ = judged(api.check_request_body(number, &media, body.as_bytes(), LOOK));
                }
            }
        }
    }
}
