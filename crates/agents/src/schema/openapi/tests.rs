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

const ID: &str = "\nX-Request-ID: 2f1acc6c-3d3f-4c8e-9f51-000000000000";

#[test]
fn parameters_of_every_place() {
    let api = pets_3_0();
    let check = |query: &str, fields: &str, expected| {
        check_head(api, &format!("GET /api/v2/pets{query}{ID}{fields}"), expected);
    };
    check(
        "",
        "",
        expect![[r#"
        GET /pets
    "#]],
    );
    check_head(
        api,
        "GET /api/v2/pets",
        expect![[r#"
        GET /pets
        header X-Request-Id "" is missing [pets-3.0.yaml#/paths/~1pets/get/parameters/6]
    "#]],
    );
    check(
        "?limit=100&other=1",
        "",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "?limit=0",
        "",
        expect![[r#"
        GET /pets
        query limit "" must be more than 0 [pets-3.0.yaml#/components/parameters/Limit/schema/exclusiveMinimum]
    "#]],
    );
    check(
        "?limit=1.5&limit=2",
        "",
        expect![[r#"
        GET /pets
        query limit "" is there more than once [pets-3.0.yaml#/components/parameters/Limit]
    "#]],
    );
    check(
        "?limit=ten",
        "",
        expect![[r#"
        GET /pets
        query limit "" must be an integer, not a string [pets-3.0.yaml#/components/parameters/Limit/schema/type]
    "#]],
    );
    check(
        "?limit=%zz",
        "",
        expect![[r#"
        GET /pets
        query limit "" is not percent-encoded UTF-8 [pets-3.0.yaml#/components/parameters/Limit]
    "#]],
    );
    check(
        "?tags=aa&tags=b&tags=cc&tags=dd",
        "",
        expect![[r#"
        GET /pets
        query tags "" must not have more than 3 items [pets-3.0.yaml#/paths/~1pets/get/parameters/1/schema/maxItems]
        query tags "/1" must have 2 characters at least [pets-3.0.yaml#/paths/~1pets/get/parameters/1/schema/items/minLength]
    "#]],
    );
    check(
        "?kinds=cat%7Cdog",
        "",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "?kinds=cat|bird",
        "",
        expect![[r#"
        GET /pets
        query kinds "/1" must be one of `cat`, `dog` [pets-3.0.yaml#/paths/~1pets/get/parameters/2/schema/items/enum]
    "#]],
    );
    check(
        "?filter[name]=x&filter[age]=3",
        "",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "?filter[age]=-3&filter[size]=1",
        "",
        expect![[r#"
        GET /pets
        query filter "/age" must not be less than 0 [pets-3.0.yaml#/paths/~1pets/get/parameters/3/schema/properties/age/minimum]
        query filter "" must not have the property `size` [pets-3.0.yaml#/paths/~1pets/get/parameters/3/schema/additionalProperties]
    "#]],
    );
    check(
        "?filter[age][min]=3",
        "",
        expect![[r#"
        GET /pets
        query filter "" is nested too deep in `filter[age][min]` [pets-3.0.yaml#/paths/~1pets/get/parameters/3]
    "#]],
    );
    check(
        "?exact",
        "",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "?exact=maybe",
        "",
        expect![[r#"
        GET /pets
        query exact "" must be a boolean, not a string [pets-3.0.yaml#/paths/~1pets/get/parameters/4/schema/type]
    "#]],
    );
    check(
        "?within=%7B%22lat%22%3A1%7D",
        "",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "?within=%7B%22lat%22%3A%22x%22%7D",
        "",
        expect![[r#"
        GET /pets
        query within "/lat" must be a number, not a string [pets-3.0.yaml#/paths/~1pets/get/parameters/5/content/application~1json/schema/properties/lat/type]
    "#]],
    );
    check(
        "?within=%7B%22lat%22%3A1%2C%22lat%22%3A2%7D",
        "",
        expect![[r#"
        GET /pets
        query within "/lat" occurs twice in its object [pets-3.0.yaml#/paths/~1pets/get/parameters/5]
    "#]],
    );
    check(
        "",
        "\nx-request-id: again",
        expect![[r#"
        GET /pets
        header X-Request-Id "" is there more than once [pets-3.0.yaml#/paths/~1pets/get/parameters/6]
    "#]],
    );
    check(
        "",
        "\nX-Flags: 1, 2\nX-Flags: 3",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "?%ff=1&limit=0",
        "",
        expect![[r#"
        GET /pets
        query %ff "" has a name that is not percent-encoded UTF-8 [pets-3.0.yaml#/paths/~1pets/get]
    "#]],
    );
    check(
        &format!("?{}", "a&".repeat(101)),
        "",
        expect![[r#"
        GET /pets
        query  "" has more than 100 parameters [pets-3.0.yaml#/paths/~1pets/get]
    "#]],
    );
    check(
        "",
        "\nX-Flags: 1, x",
        expect![[r#"
        GET /pets
        header X-Flags "/1" must be an integer, not a string [pets-3.0.yaml#/paths/~1pets/get/parameters/7/schema/items/type]
    "#]],
    );
    check(
        "",
        "\nCookie: a=b; session=abcd1234",
        expect![[r#"
        GET /pets
    "#]],
    );
    check(
        "",
        "\nCookie: session=short",
        expect![[r#"
        GET /pets
        cookie session "" must match the pattern `^[a-z0-9]{8}$` [pets-3.0.yaml#/paths/~1pets/get/parameters/9/schema/pattern]
    "#]],
    );
    check_head(
        api,
        "GET /api/v2/pets/0",
        expect![[r#"
        GET /pets/{id}
        path id "" must not be less than 1 [pets-3.0.yaml#/paths/~1pets~1%7Bid%7D/parameters/0/schema/minimum]
    "#]],
    );
    check_head(
        api,
        "GET /api/v2/pets/99999999999999999999",
        expect![[r#"
        GET /pets/{id}
        path id "" must not be more than 9223372036854775807 [pets-3.0.yaml#/paths/~1pets~1%7Bid%7D/parameters/0/schema/maximum]
    "#]],
    );
    check_head(
        api,
        "GET /api/v2/pets/%31",
        expect![[r#"
        GET /pets/{id}
    "#]],
    );
    check_head(
        api,
        "GET /api/v2/pets/%ff",
        expect![[r#"
        GET /pets/{id}
        path id "" is not percent-encoded UTF-8 [pets-3.0.yaml#/paths/~1pets~1%7Bid%7D/parameters/0]
    "#]],
    );
}

const POST: (&str, &str) = ("POST /api/v2/pets", "application/json");

#[test]
fn json_bodies() {
    let api = pets_3_0();
    let check = |body: &str, expected| check_body(api, POST, body, expected);
    check(r#"{"kind":"cat","name":"Tom","lives":9,"nick":null,"weight":1}"#, expect!["fits"]);
    check(r#"{"kind":"kitten","name":"Tom"}"#, expect!["fits"]);
    check(
        r#"{"kind":"cat","name":"","lives":10,"weight":0,"nick":1}"#,
        expect![[r#"
        "/name" must have 1 character at least [pets-3.0.yaml#/components/schemas/Animal/properties/name/minLength]
        "/nick" must be null or a string, not an integer [pets-3.0.yaml#/components/schemas/Animal/properties/nick/type]
        "/weight" must be more than 0 [pets-3.0.yaml#/components/schemas/Animal/properties/weight/exclusiveMinimum]
        "/lives" must not be more than 9 [pets-3.0.yaml#/components/schemas/Cat/allOf/1/properties/lives/maximum]
    "#]],
    );
    check(
        r#"{"kind":"dog","name":"Rex","tricks":["sit","sit"]}"#,
        expect![[r#"
        "/tricks" must not have two equal items [pets-3.0.yaml#/components/schemas/Dog/allOf/1/properties/tricks/uniqueItems]
    "#]],
    );
    check(
        r#"{"kind":"dog","name":"Rex"}"#,
        expect![[r#"
        "" must have the property `tricks` [pets-3.0.yaml#/components/schemas/Dog/allOf/1/required]
    "#]],
    );
    check(
        r#"{"kind":"bird","name":"Tweety"}"#,
        expect![[r#"
        "/kind" must be one of `cat`, `kitten`, `dog` [pets-3.0.yaml#/components/schemas/Pet/allOf/0/properties/kind/enum]
    "#]],
    );
    check(
        r#"{"name":"Tom"}"#,
        expect![[r#"
        "" must have the property `kind` [pets-3.0.yaml#/components/schemas/Pet/allOf/0/required]
    "#]],
    );
    check(
        r#"[]"#,
        expect![[r#"
        "" must be an object, not an array [pets-3.0.yaml#/components/schemas/Pet/allOf/0/type]
    "#]],
    );
    check(
        r#"{"kind":"cat","name":"Tom","id":1}"#,
        expect![[r#"
        "/id" is `readOnly` and must not be in a request [pets-3.0.yaml#/components/schemas/Animal/properties/id/readOnly]
    "#]],
    );
    check(
        r#"{"kind":"cat","name":"Tom","parents":[{"kind":"cat","name":1}]}"#,
        expect![[r#"
        "/parents/0/name" must be a string, not an integer [pets-3.0.yaml#/components/schemas/Animal/properties/name/type]
    "#]],
    );
    check(
        r#"{"kind":"cat","kind":"dog","name":"Tom"}"#,
        expect![[r#""/kind" occurs twice in its object"#]],
    );
    check(r#"{"kind":"#, expect![[r#""/kind" is not JSON: it ends too early"#]]);
    check(
        "",
        expect![[r#"
        "" must have a body [pets-3.0.yaml#/paths/~1pets/post]
    "#]],
    );
}

#[test]
fn bodies_of_other_types() {
    let api = pets_3_0();
    let check =
        |media: &str, body: &str, expected| check_body(api, (POST.0, media), body, expected);
    check(
        "application/xml",
        "<pet/>",
        expect!["only application/json, application/x-www-form-urlencoded, image/*, text/plain"],
    );
    check(
        "nonsense",
        "x",
        expect!["only application/json, application/x-www-form-urlencoded, image/*, text/plain"],
    );
    check("image/png", "PNG", expect!["unseen"]);
    check("text/plain; charset=utf-8", "a cat", expect!["fits"]);
    check(
        "text/plain",
        "a cat and a dog",
        expect![[r#"
        "" must not have more than 10 characters [pets-3.0.yaml#/paths/~1pets/post/requestBody/content/text~1plain/schema/maxLength]
    "#]],
    );
    let form = "application/x-www-form-urlencoded";
    check(
        form,
        "name=Tom+Cat&age=3&tags=a&tags=b&home=%7B%22city%22%3A%22x%22%7D",
        expect!["fits"],
    );
    check(form, "name=7", expect!["fits"]);
    check(
        form,
        "age=x&size=1",
        expect![[r#"
        "/age" must be an integer, not a string [pets-3.0.yaml#/paths/~1pets/post/requestBody/content/application~1x-www-form-urlencoded/schema/properties/age/type]
        "" must not have the property `size` [pets-3.0.yaml#/paths/~1pets/post/requestBody/content/application~1x-www-form-urlencoded/schema/additionalProperties]
        "" must have the property `name` [pets-3.0.yaml#/paths/~1pets/post/requestBody/content/application~1x-www-form-urlencoded/schema/required]
    "#]],
    );
    check(
        form,
        "name=a&name=b",
        expect!["the form has a field `name` that is there more than once"],
    );
    check(
        form,
        "size=a&size=b",
        expect!["the form has a field `size` that is there more than once"],
    );
    check(
        form,
        "name=%ff",
        expect!["the form has a field `name` that is not percent-encoded UTF-8"],
    );
    check(
        form,
        "name=a&home=%7B",
        expect!["the form has a field `home` that is not JSON: it ends too early"],
    );
    check(
        form,
        "name=a&home=%7B%7D",
        expect![[r#"
        "/home" must have the property `city` [pets-3.0.yaml#/paths/~1pets/post/requestBody/content/application~1x-www-form-urlencoded/schema/properties/home/required]
    "#]],
    );
    let put = "PUT /api/v2/pets/1";
    check_body(
        api,
        (put, "application/merge-patch+json"),
        "[]",
        expect![[r#"
        "" must be an object, not an array [pets-3.0.yaml#/paths/~1pets~1%7Bid%7D/put/requestBody/content/application~1*+json/schema/type]
    "#]],
    );
    check_body(api, (put, "application/json"), "", expect!["unseen"]);
    check_body(
        api,
        ("GET /api/v2/pets/1", "application/json"),
        "{}",
        expect![[r#"
        "" must not have a body [pets-3.0.yaml#/paths/~1pets~1%7Bid%7D/get]
    "#]],
    );
}

#[test]
fn answers() {
    let api = pets_3_0();
    let json = ("Content-Type", "application/json");
    let total = ("X-Total", "1");
    let get = ("GET /api/v2/pets/1", 200);
    let cat = r#"{"id":1,"kind":"cat","name":"Tom"}"#;
    check_response(api, get, (&[json], cat), expect!["fits"]);
    check_response(
        api,
        get,
        (&[json], r#"{"kind":"cat","name":"Tom"}"#),
        expect![[r#"
        "" must have the property `id` [pets-3.0.yaml#/components/schemas/Animal/required]
    "#]],
    );
    check_response(
        api,
        get,
        (&[json], r#"{"id":1,"kind":"cat","name":"Tom","secret":"x"}"#),
        expect![[r#"
        "/secret" is `writeOnly` and must not be in a response [pets-3.0.yaml#/components/schemas/Animal/properties/secret/writeOnly]
    "#]],
    );
    check_response(
        api,
        get,
        (&[("Content-Type", "text/html")], "<p>"),
        expect!["only application/json"],
    );
    check_response(api, get, (&[], "{}"), expect!["only application/json"]);
    check_response(api, (get.0, 404), (&[json], "{}"), expect!["unseen"]);
    check_response(
        api,
        (get.0, 500),
        (&[json], "{}"),
        expect![[r#"
        status not described
        unseen"#]],
    );
    let list = ("GET /api/v2/pets", 200);
    check_response(api, list, (&[json, total], &format!("[{cat}]")), expect!["fits"]);
    check_response(
        api,
        list,
        (&[json, ("X-Next", "123456789")], "[1]"),
        expect![[r#"
        header X-Next "" must not have more than 8 characters [pets-3.0.yaml#/paths/~1pets/get/responses/200/headers/X-Next/schema/maxLength]
        header X-Total "" is missing [pets-3.0.yaml#/paths/~1pets/get/responses/200/headers/X-Total]
        "/0" must be an object, not an integer [pets-3.0.yaml#/components/schemas/Pet/allOf/0/type]
    "#]],
    );
    let problem = ("Content-Type", "application/problem+json");
    check_response(
        api,
        (list.0, 503),
        (&[problem], "{}"),
        expect![[r#"
        "" must have the property `title` [pets-3.0.yaml#/components/responses/Problem/content/application~1problem+json/schema/required]
    "#]],
    );
    check_response(
        api,
        (POST.0, 422),
        (&[problem], "{}"),
        expect![[r#"
        "" must have the property `title` [pets-3.0.yaml#/components/responses/Problem/content/application~1problem+json/schema/required]
    "#]],
    );
    check_response(
        api,
        (POST.0, 500),
        (&[problem], "{}"),
        expect![[r#"
        status not described
        unseen"#]],
    );
}

#[test]
fn version_3_1_with_files() {
    let api = pets_3_1();
    let put = ("PUT /pets/a", "application/json");
    check_head(
        &api,
        "PUT /pets/a",
        expect![[r#"
        PUT /pets/{id}
    "#]],
    );
    check_body(&api, put, r#"{"name":null,"owner":{"email":"a@example.com"}}"#, expect!["fits"]);
    check_body(
        &api,
        put,
        r#"{"id":1}"#,
        expect![[r#"
        "" must have the property `name` [pets-3.1.yaml#/paths/~1pets~1%7Bid%7D/put/requestBody/content/application~1json/schema/required]
        "/id" is `readOnly` and must not be in a request [shared/pet.json#/$defs/Pet/properties/id/readOnly]
    "#]],
    );
    check_body(
        &api,
        put,
        r#"{"name":"x","size":1,"owner":{"email":"a","pets":[{"name":""}]}}"#,
        expect![[r#"
        "/owner/email" must have the format `email` [owner.yaml#/Owner/properties/email/format]
        "/owner/pets/0/name" must have 1 character at least [shared/pet.json#/$defs/Pet/properties/name/minLength]
        "" must not have the property `size` [shared/pet.json#/$defs/Pet/unevaluatedProperties]
    "#]],
    );
    check_response(
        &api,
        ("PUT /pets/a", 200),
        (&[("content-type", "application/json")], r#"{"id":3000000000,"name":"x"}"#),
        expect![[r#"
            "/id" must not be more than 2147483647 [shared/pet.json#/$defs/Id/maximum]
        "#]],
    );
    let search = ("POST /search", "application/json");
    check_body(&api, search, r#"{"limit":1,"near":null,"kind":"cat","x-a":"b"}"#, expect!["fits"]);
    check_body(
        &api,
        search,
        r#"{"limit":0,"kind":"dog","x-a":1,"y":2}"#,
        expect![[r#"
        "/kind" must be `cat` [pets-3.1.yaml#/paths/~1search/post/requestBody/content/*~1*/schema/properties/kind/const]
        "/limit" must be more than 0 [pets-3.1.yaml#/paths/~1search/post/requestBody/content/*~1*/schema/properties/limit/exclusiveMinimum]
        "/x-a" must be a string, not an integer [pets-3.1.yaml#/paths/~1search/post/requestBody/content/*~1*/schema/patternProperties/^x-/type]
        "" must not have the property `y` [pets-3.1.yaml#/paths/~1search/post/requestBody/content/*~1*/schema/unevaluatedProperties]
    "#]],
    );
    check_body(
        &api,
        ("POST /search", "application/x-www-form-urlencoded"),
        "limit=2&kind=cat",
        expect!["fits"],
    );
    check_body(&api, ("POST /search", "application/xml"), "<a/>", expect!["unseen"]);
}

/// Loads a description of one `path` with `rest`, in OpenAPI 3.0.
fn load_text(text: &str) -> Result<(Api, Vec<String>), Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("api.yaml");
    fs::write(&file, text).unwrap();
    load(&file)
}

#[track_caller]
fn check_faults(text: &str, expected: Expect) {
    let faults = load_text(text).err().expect("the description has faults");
    expected.assert_eq(&faults.join("\n"));
}

#[track_caller]
fn check_notes(text: &str, expected: Expect) {
    expected.assert_eq(&load_text(text).map(|(_, notes)| notes).unwrap().join("\n"));
}

/// A description with one operation that takes a body of this schema.
fn with_schema(version: &str, schema: &str) -> String {
    format!(
        "openapi: {version}\npaths:\n  /a:\n    post:\n      requestBody:\n        content:\n          \
         application/json:\n            schema: {schema}\n      responses: {{}}\n"
    )
}

#[test]
fn faults_of_descriptions() {
    check_faults(
        "swagger: '2.0'",
        expect!["api.yaml:1: # has no `openapi`: it is no description of OpenAPI 3"],
    );
    check_faults(
        "openapi: 3.2.0\npaths: {}",
        expect!["api.yaml:1: #/openapi is version 3.2.0; 3.0 and 3.1 are understood"],
    );
    check_faults("openapi: 3.0.0", expect!["api.yaml:1: # has no `paths`"]);
    check_faults(
        "openapi: 3.1.0\njsonSchemaDialect: https://json-schema.org/draft-07/schema\npaths: {}",
        expect!["api.yaml:2: #/jsonSchemaDialect names a dialect other than OpenAPI's own"],
    );
    check_faults(
        "openapi: 3.0.0\npaths:\n  /a/{x}:\n    get: {responses: {}}\n  /a/{y}:\n    get:\n      \
         parameters: [{name: y, in: path, schema: {}}, {name: z, in: path, schema: {}}]\n      \
         responses: {}\n  b: {get: {responses: {}}}\n",
        expect![[r#"
            api.yaml:4: #/paths/~1a~1%7Bx%7D/get does not describe the parameter `x` of its path
            api.yaml:6: #/paths/~1a~1%7By%7D/get describes a parameter `z` that its path does not have
            api.yaml:5: #/paths/~1a~1%7By%7D matches the same paths as another template
            api.yaml:9: #/paths/b does not begin with `/`"#]],
    );
    check_faults(
        "openapi: 3.0.0\npaths:\n  /a:\n    parameters:\n      - {in: query}\n      - {name: a, in: body}\n      \
         - {name: b, in: query, style: matrix, schema: {}}\n      - {name: c, in: query, schema: {}}\n      \
         - {name: c, in: query, schema: {}}\n      - {name: d, in: query, style: deepObject, schema: {type: string}}\n      \
         - {name: e, in: query, content: {}}\n      - {$ref: '#/components/parameters/none'}\n    \
         get: {responses: {abc: {}, '600': {}}, requestBody: {}}\n    \
         post: {responses: {}, requestBody: {content: {json: {}}}}\n",
        expect![[r#"
            api.yaml:5: #/paths/~1a/parameters/0 has no `name` or no `in`
            api.yaml:6: #/paths/~1a/parameters/1/in is none of path, query, header, cookie
            api.yaml:7: #/paths/~1a/parameters/2/style is no style of query parameters
            api.yaml:9: #/paths/~1a/parameters/4 describes a parameter for the second time
            api.yaml:10: #/paths/~1a/parameters/5/style `deepObject` is for objects
            api.yaml:11: #/paths/~1a/parameters/6/content does not have one media type
            api.yaml:12: #/paths/~1a/parameters/7/$ref there is nothing at `#/components/parameters/none`
            api.yaml:13: #/paths/~1a/get/requestBody has no `content`
            api.yaml:13: #/paths/~1a/get/responses/600 is no status, no class as `2XX`, and not `default`
            api.yaml:13: #/paths/~1a/get/responses/abc is no status, no class as `2XX`, and not `default`
            api.yaml:14: #/paths/~1a/post/requestBody/content/json is not a media type or a range of them"#]],
    );
    check_faults(
        "openapi: 3.0.0\nservers: [{url: '/{a}'}, {description: x}]\npaths: {/a: {get: {responses: {}}}}",
        expect![[r#"
            api.yaml:2: #/servers/0/url has a variable that is not described
            api.yaml:2: #/servers/1 has no `url`"#]],
    );
    check_faults(
        "openapi: 3.0.0\npaths: {/a: {$ref: '#/paths/~1a'}}",
        expect!["api.yaml:2: #/paths/~1a is a reference that leads to itself"],
    );
    check_faults(
        "openapi: 3.0.0\npaths: {/a: {$ref: 'https://example.com/a.yaml'}}",
        expect![[
            r##"api.yaml:2: #/paths/~1a/$ref `https://example.com/a.yaml` is not a file of the document's folder; nothing is fetched"##
        ]],
    );
}

#[test]
fn faults_of_schemas() {
    check_faults(
        &with_schema("3.0.0", "1"),
        expect![[
            r##"api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema is not a schema"##
        ]],
    );
    check_faults(
        &with_schema("3.0.0", "{properties: {a: {type: [string]}, b: {const: 1}}}"),
        expect![[r#"
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/properties/a/type is one type in OpenAPI 3.0; see `nullable`
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/properties/b/const is not part of OpenAPI 3.0 and would not be checked"#]],
    );
    check_faults(
        &with_schema("3.0.0", "{exclusiveMinimum: 1, oneOf: [], $ref2: x}"),
        expect![[r#"
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/oneOf is not a list of schemas
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/exclusiveMinimum is a boolean in OpenAPI 3.0
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/oneOf must have 1 item at least"#]],
    );
    check_faults(
        &with_schema("3.0.0", "{type: strin, minLength: -1}"),
        expect![[r#"
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/minLength must not be less than 0
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/type must be one of `array`, `boolean`, `integer`, `null`, `number`, `object`, `string`"#]],
    );
    check_faults(
        &with_schema("3.0.0", "{properties: {a: {pattern: '^(?=a)'}}}"),
        expect![[
            r##"api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/properties/a/pattern `^(?=a)` has look-around, a back-reference or too many repetitions, which take more than linear time"##
        ]],
    );
    check_faults(
        &with_schema("3.0.0", "{items: {$ref: '#/components/schemas/none'}}"),
        expect![[
            r##"api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/items/$ref there is nothing at `#/components/schemas/none`"##
        ]],
    );
    check_faults(
        &with_schema(
            "3.1.0",
            "{nullable: true, $anchor: a, $dynamicRef: '#a', $schema: 'http://json-schema.org/draft-07/schema#'}",
        ),
        expect![[r#"
            api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/$anchor is not supported in descriptions: refer by file and pointer
            api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/$dynamicRef is not supported in descriptions: refer by file and pointer
            api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/$schema names a dialect other than OpenAPI's own
            api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/nullable is gone in OpenAPI 3.1; write `type: [T, "null"]`"#]],
    );
    check_faults(
        &format!(
            "{}components: {{schemas: {{A: {{}}, B: {{}}}}}}\n",
            with_schema(
                "3.0.0",
                "{oneOf: [{$ref: '#/components/schemas/A'}], \
                 discriminator: {propertyName: k, mapping: {b: B, c: C}}}",
            ),
        ),
        expect![[r#"
            api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/discriminator/mapping/c there is nothing at `#/components/schemas/C`
            api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/discriminator/mapping maps to api.yaml#/components/schemas/B, which is none of the alternatives"#]],
    );
}

#[test]
fn notes_on_schemas() {
    check_notes(
        &with_schema("3.0.0", "{nullable: true, maxLenght: 3, x-own: 1, exclusiveMaximum: true}"),
        expect![[r#"
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/maxLenght is no keyword that is known here; it checks nothing
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/exclusiveMaximum means nothing without `maximum` beside it
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/nullable means nothing without a `type` beside it (OpenAPI 3.0.3)"#]],
    );
    check_notes(
        &with_schema("3.0.0", "{format: flavour, discriminator: {propertyName: a}}"),
        expect![[r#"
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/format names the format `flavour`, which is not known; it checks nothing
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/discriminator does not choose: that takes `oneOf` or `anyOf` of references only"#]],
    );
    check_notes(
        &with_schema("3.0.0", "{items: {$ref: '#/paths', nullable: true, description: x}}"),
        expect![[r#"
        api.yaml:8: #/paths/~1a/post/requestBody/content/application~1json/schema/items/nullable stands beside a `$ref`, where OpenAPI 3.0 ignores it
        api.yaml:3: #/paths/~1a is no keyword that is known here; it checks nothing"#]],
    );
}

/// Checks a JSON body against one schema.
#[track_caller]
fn check_schema(version: &str, schema: &str, body: &str, expected: Expect) {
    let (api, _) = load_text(&with_schema(version, schema)).unwrap();
    check_body(&api, ("POST /a", "application/json"), body, expected);
}

#[test]
fn json_without_a_schema_passes_the_gate() {
    let text = with_schema("3.0.0", "{}").replace("            schema: {}\n", "            {}\n");
    let (api, _) = load_text(&text).unwrap();
    let post = ("POST /a", "application/json");
    check_body(&api, post, "{\"a\":1}", expect!["fits"]);
    check_body(&api, post, "{\"a\":1,\"a\":2}", expect![[r#""/a" occurs twice in its object"#]]);
    check_body(&api, ("POST /a", "text/plain"), "x", expect!["only application/json"]);
}

#[test]
fn version_3_0_is_not_json_schema() {
    check_schema("3.0.0", "{type: integer, nullable: true}", "null", expect!["fits"]);
    check_schema(
        "3.0.0",
        "{type: integer, nullable: true, enum: [1]}",
        "null",
        expect![[r#"
        "" must be one of 1 [api.yaml#/paths/~1a/post/requestBody/content/application~1json/schema/enum]
    "#]],
    );
    check_schema(
        "3.0.0",
        "{minimum: 1, exclusiveMinimum: true}",
        "1",
        expect![[r#"
        "" must be more than 1 [api.yaml#/paths/~1a/post/requestBody/content/application~1json/schema/exclusiveMinimum]
    "#]],
    );
    check_schema("3.0.0", "{minimum: 1, exclusiveMinimum: false}", "1", expect!["fits"]);
    check_schema(
        "3.0.0",
        "{type: integer, format: int32}",
        "2147483648",
        expect![[r#"
        "" must not be more than 2147483647 [api.yaml#/paths/~1a/post/requestBody/content/application~1json/schema/maximum]
    "#]],
    );
    check_schema(
        "3.0.0",
        "{type: integer, format: int32, maximum: 5}",
        "6",
        expect![[r#"
        "" must not be more than 5 [api.yaml#/paths/~1a/post/requestBody/content/application~1json/schema/maximum]
    "#]],
    );
    check_schema(
        "3.0.0",
        "{type: string, format: byte}",
        "\"a\"",
        expect![[r#"
        "" must have the format `byte` [api.yaml#/paths/~1a/post/requestBody/content/application~1json/schema/format]
    "#]],
    );
    check_schema("3.0.0", "{type: integer}", "1.0", expect!["fits"]);
    check_schema(
        "3.0.0",
        "{additionalProperties: false, properties: {a: {}}}",
        "{\"b\":1}",
        expect![[r#"
        "" must not have the property `b` [api.yaml#/paths/~1a/post/requestBody/content/application~1json/schema/additionalProperties]
    "#]],
    );
    check_schema(
        "3.0.0",
        "{additionalProperties: {type: string}}",
        "{\"b\":1}",
        expect![[r#"
        "/b" must be a string, not an integer [api.yaml#/paths/~1a/post/requestBody/content/application~1json/schema/additionalProperties/type]
    "#]],
    );
    check_schema(
        "3.0.0",
        "{anyOf: [{type: string}, {type: integer}]}",
        "true",
        expect![[r#"
        "" must be valid under one of the alternatives at least [api.yaml#/paths/~1a/post/requestBody/content/application~1json/schema/anyOf]
        "" must be a string, not a boolean [api.yaml#/paths/~1a/post/requestBody/content/application~1json/schema/anyOf/0/type]
    "#]],
    );
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
