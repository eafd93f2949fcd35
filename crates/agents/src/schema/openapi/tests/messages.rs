//! Bodies of requests and responses.

use super::*;

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
