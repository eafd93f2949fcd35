//! Requests, and what is told of those that are not as described.

use super::*;

#[test]
fn a_request_as_described_goes_on() {
    let pets = settings(json!({}));
    check(
        &pets,
        post().json(CAT),
        expect![[r#"
            request head: allow
            request body: allow, done
        "#]],
    );
    check(
        &pets,
        Message::request("GET /api/v2/pets/1"),
        expect![[r#"
            request head: allow, done
        "#]],
    );
    check(
        &pets,
        post().field("content-type", "image/png").body("PNG"),
        expect![[r#"
            request head: allow, done
        "#]],
    );
    check(
        &pets,
        post().field("content-type", "text/plain").body("a"),
        expect![[r#"
            request head: allow
            request body: allow, done
        "#]],
    );
}

#[test]
fn what_is_not_described_is_refused() {
    let pets = settings(json!({}));
    check(
        &pets,
        Message::request("GET /nowhere"),
        expect![[r#"
            request head: block 404
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/path","title":"Not found","status":404,"detail":"The API's description has no such path.","code":"schema/path"}
              finding schema/path: the path is not described
        "#]],
    );
    check(
        &pets,
        Message::request("DELETE /api/v2/pets"),
        expect![[r#"
            request head: block 405
              content-type: application/problem+json
              allow: GET, POST
              {"type":"urn:selvedge:problem:schema/method","title":"Method not allowed","status":405,"detail":"Use one of GET, POST.","code":"schema/method"}
              finding schema/method: the method is none of GET, POST
        "#]],
    );
    check(
        &pets,
        post().field("content-type", "application/xml").body("<a/>"),
        expect![[r#"
            request head: block 415
              content-type: application/problem+json
              accept: application/json, application/x-www-form-urlencoded, image/*, text/plain
              {"type":"urn:selvedge:problem:schema/content-type","title":"Unsupported media type","status":415,"detail":"Send a body of type application/json, application/x-www-form-urlencoded, image/*, text/plain.","code":"schema/content-type"}
              finding schema/content-type: the body is not of type application/json, application/x-www-form-urlencoded, image/*, text/plain
        "#]],
    );
    check(
        &pets,
        post().body("{}"),
        expect![[r#"
            request head: block 415
              content-type: application/problem+json
              accept: application/json, application/x-www-form-urlencoded, image/*, text/plain
              {"type":"urn:selvedge:problem:schema/content-type","title":"Unsupported media type","status":415,"detail":"Send a body of type application/json, application/x-www-form-urlencoded, image/*, text/plain.","code":"schema/content-type"}
              finding schema/content-type: the body is not of type application/json, application/x-www-form-urlencoded, image/*, text/plain
        "#]],
    );
    check(
        &pets,
        post(),
        expect![[r##"
            request head: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/invalid","title":"Invalid request","status":400,"detail":"The request differs from its description in one thing.","code":"schema/invalid","errors":[{"detail":"must have a body","pointer":"#","rule":"required","schema":"pets-3.0.yaml#/paths/~1pets/post"}]}
              finding schema/required: body # must have a body (pets-3.0.yaml#/paths/~1pets/post)
        "##]],
    );
    check(
        &pets,
        Message::request("GET /api/v2/pets/0?a=b").json("{}"),
        expect![[r##"
            request head: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/invalid","title":"Invalid request","status":400,"detail":"The request differs from its description in one thing.","code":"schema/invalid","errors":[{"detail":"must not be less than 1","in":"path","parameter":"id","pointer":"#","rule":"minimum","schema":"pets-3.0.yaml#/paths/~1pets~1%7Bid%7D/parameters/0/schema/minimum"}]}
              finding schema/minimum: path id must not be less than 1 (pets-3.0.yaml#/paths/~1pets~1%7Bid%7D/parameters/0/schema/minimum)
        "##]],
    );
    let twice = post().field("content-type", "application/json").json(CAT);
    check(
        &pets,
        twice,
        expect![[r#"
            request head: block 415
              content-type: application/problem+json
              accept: application/json, application/x-www-form-urlencoded, image/*, text/plain
              {"type":"urn:selvedge:problem:schema/content-type","title":"Unsupported media type","status":415,"detail":"Send a body of type application/json, application/x-www-form-urlencoded, image/*, text/plain.","code":"schema/content-type"}
              finding schema/content-type: the body is not of type application/json, application/x-www-form-urlencoded, image/*, text/plain
        "#]],
    );
}

#[test]
fn what_is_not_described_may_pass() {
    let mut pets = settings(json!({}));
    pets["documents"][0]["undocumented"] = json!("pass");
    check(
        &pets,
        Message::request("GET /nowhere"),
        expect![[r#"
            request head: allow, done
        "#]],
    );
    check(
        &pets,
        Message::request("DELETE /api/v2/pets"),
        expect![[r#"
            request head: allow, done
        "#]],
    );
    check(
        &pets,
        post().field("content-type", "application/xml").body("<a/>"),
        expect![[r#"
            request head: allow, done
        "#]],
    );
    check(
        &pets,
        post().json("{}"),
        expect![[r##"
            request head: allow
            request body: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/invalid","title":"Invalid request","status":400,"detail":"The request differs from its description in one thing.","code":"schema/invalid","errors":[{"detail":"must have the property `kind`","pointer":"#","rule":"required","schema":"pets-3.0.yaml#/components/schemas/Pet/allOf/0/required"}]}
              finding schema/required: body # must have the property `kind` (pets-3.0.yaml#/components/schemas/Pet/allOf/0/required)
        "##]],
    );
}

#[test]
fn preflights_of_browsers_pass() {
    let pets = settings(json!({}));
    let preflight =
        || Message::request("OPTIONS /api/v2/pets").field("origin", "https://example.com");
    check(
        &pets,
        preflight().field("access-control-request-method", "POST"),
        expect![[r#"
            request head: allow, done
        "#]],
    );
    check(
        &pets,
        preflight().field("access-control-request-method", "PUT"),
        expect![[r#"
            request head: block 405
              content-type: application/problem+json
              allow: GET, POST
              {"type":"urn:selvedge:problem:schema/method","title":"Method not allowed","status":405,"detail":"Use one of GET, POST.","code":"schema/method"}
              finding schema/method: the method is none of GET, POST
        "#]],
    );
    check(
        &pets,
        preflight(),
        expect![[r#"
            request head: block 405
              content-type: application/problem+json
              allow: GET, POST
              {"type":"urn:selvedge:problem:schema/method","title":"Method not allowed","status":405,"detail":"Use one of GET, POST.","code":"schema/method"}
              finding schema/method: the method is none of GET, POST
        "#]],
    );
}

#[test]
fn bodies_that_are_not_as_described() {
    let pets = settings(json!({}));
    let body = r#"{"kind":"cat","name":"","id":3,"lives":"many","weight":-1}"#;
    check(
        &pets,
        post().json(body),
        expect![[r##"
            request head: allow
            request body: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/invalid","title":"Invalid request","status":400,"detail":"The request differs from its description in 4 things.","code":"schema/invalid","errors":[{"detail":"is `readOnly` and must not be in a request","pointer":"#/id","rule":"readOnly","schema":"pets-3.0.yaml#/components/schemas/Animal/properties/id/readOnly"},{"detail":"must have 1 character at least","pointer":"#/name","rule":"minLength","schema":"pets-3.0.yaml#/components/schemas/Animal/properties/name/minLength"},{"detail":"must be more than 0","pointer":"#/weight","rule":"exclusiveMinimum","schema":"pets-3.0.yaml#/components/schemas/Animal/properties/weight/exclusiveMinimum"}],"more_errors":1}
              finding schema/readOnly: body #/id is `readOnly` and must not be in a request (pets-3.0.yaml#/components/schemas/Animal/properties/id/readOnly)
              finding schema/minLength: body #/name must have 1 character at least (pets-3.0.yaml#/components/schemas/Animal/properties/name/minLength)
              finding schema/exclusiveMinimum: body #/weight must be more than 0 (pets-3.0.yaml#/components/schemas/Animal/properties/weight/exclusiveMinimum)
        "##]],
    );
    check(
        &pets,
        post().json(r#"{"kind":"cat","kind":"dog"}"#),
        expect![[r##"
            request head: allow
            request body: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/malformed","title":"Malformed request body","status":400,"detail":"The body is not what its Content-Type says, or is beyond a bound.","code":"schema/malformed","errors":[{"detail":"occurs twice in its object","pointer":"#/kind","rule":"duplicate-key"}]}
              finding schema/duplicate-key: body #/kind occurs twice in its object
        "##]],
    );
    check(
        &pets,
        post().json("{\"kind\":\"c"),
        expect![[r##"
            request head: allow
            request body: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/malformed","title":"Malformed request body","status":400,"detail":"The body is not what its Content-Type says, or is beyond a bound.","code":"schema/malformed","errors":[{"detail":"is not JSON: it ends too early","pointer":"#/kind","rule":"syntax"}]}
              finding schema/syntax: body #/kind is not JSON: it ends too early
        "##]],
    );
    check(
        &pets,
        post().json(&format!("{}1{}", "[".repeat(9), "]".repeat(9))),
        expect![[r##"
            request head: allow
            request body: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/malformed","title":"Malformed request body","status":400,"detail":"The body is not what its Content-Type says, or is beyond a bound.","code":"schema/malformed","errors":[{"detail":"is nested deeper than 8 levels","pointer":"#/0/0/0/0/0/0/0/0","rule":"depth"}]}
              finding schema/depth: body #/0/0/0/0/0/0/0/0 is nested deeper than 8 levels
        "##]],
    );
    check(
        &pets,
        post().json(&" ".repeat(5000)),
        expect![[r#"
            request head: allow
            request body: block 413
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/size","title":"Request body too large","status":413,"detail":"The body is larger than what can be checked here.","code":"schema/size"}
              finding schema/size: the body is larger than what is looked into
        "#]],
    );
    check(
        &pets,
        post().json(CAT).truncated(),
        expect![[r#"
            request head: allow
            request body: block 413
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/size","title":"Request body too large","status":413,"detail":"The body is larger than what can be checked here.","code":"schema/size"}
              finding schema/size: the body is larger than what is looked into
        "#]],
    );
    check(
        &settings(json!({"status": 422})),
        post().json("[]"),
        expect![[r##"
            request head: allow
            request body: block 422
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/invalid","title":"Invalid request","status":422,"detail":"The request differs from its description in one thing.","code":"schema/invalid","errors":[{"detail":"must be an object, not an array","pointer":"#","rule":"type","schema":"pets-3.0.yaml#/components/schemas/Pet/allOf/0/type"}]}
              finding schema/type: body # must be an object, not an array (pets-3.0.yaml#/components/schemas/Pet/allOf/0/type)
        "##]],
    );
    check(
        &settings(json!({"status": 422})),
        post().json("["),
        expect![[r##"
            request head: allow
            request body: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/malformed","title":"Malformed request body","status":400,"detail":"The body is not what its Content-Type says, or is beyond a bound.","code":"schema/malformed","errors":[{"detail":"is not JSON: it ends too early","pointer":"#","rule":"syntax"}]}
              finding schema/syntax: body # is not JSON: it ends too early
        "##]],
    );
    let utf16 = post().field("content-type", "text/plain; charset=utf-16").body("a");
    check(
        &pets,
        utf16,
        expect![[r#"
            request head: block 415
              content-type: application/problem+json
              accept: text/plain; charset=utf-8
              {"type":"urn:selvedge:problem:schema/content-type","title":"Unsupported media type","status":415,"detail":"Send a body of type text/plain; charset=utf-8.","code":"schema/content-type"}
              finding schema/content-type: the body is not of type text/plain; charset=utf-8
        "#]],
    );
}

#[test]
fn secrets_are_not_repeated() {
    let pets = settings(json!({}));
    let agent = start(&pets).unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();
    let body = r#"{"kind":"hunter2","name":["hunter2"],"nick":{"a":"hunter2"},"id":"hunter2"}"#;
    let get = Message::request("GET /api/v2/pets?limit=hunter2&tags=hunter2&tags=h")
        .field("x-request-id", "hunter2")
        .field("cookie", "session=hunter2!");
    for request in [post().json(body), get] {
        let said = runtime.block_on(ask(&agent, &request, None));
        assert!(said.contains("block 400") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn encoded_bodies() {
    let encoded =
        |coding: &str, body: &[u8]| post().field("content-encoding", coding).json("").body(body);
    let pets = settings(json!({}));
    check(
        &pets,
        encoded("gzip", &gzip(CAT.as_bytes())),
        expect![[r#"
            request head: block 415
              content-type: application/problem+json
              accept-encoding: identity
              {"type":"urn:selvedge:problem:schema/content-encoding","title":"Unsupported content coding","status":415,"detail":"Send the body as identity.","code":"schema/content-encoding"}
              finding schema/content-encoding: the body's coding is not decoded
        "#]],
    );
    check(
        &pets,
        encoded("identity", CAT.as_bytes()),
        expect![[r#"
            request head: allow
            request body: allow, done
        "#]],
    );
    let pets = settings(json!({"decode": true}));
    check(
        &pets,
        encoded("gzip", &gzip(CAT.as_bytes())),
        expect![[r#"
            request head: allow
            request body: allow, done
        "#]],
    );
    check(
        &pets,
        encoded("gzip", &gzip(b"[]")),
        expect![[r##"
            request head: allow
            request body: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/invalid","title":"Invalid request","status":400,"detail":"The request differs from its description in one thing.","code":"schema/invalid","errors":[{"detail":"must be an object, not an array","pointer":"#","rule":"type","schema":"pets-3.0.yaml#/components/schemas/Pet/allOf/0/type"}]}
              finding schema/type: body # must be an object, not an array (pets-3.0.yaml#/components/schemas/Pet/allOf/0/type)
        "##]],
    );
    check(
        &pets,
        encoded("br", b"{}"),
        expect![[r#"
            request head: block 415
              content-type: application/problem+json
              accept-encoding: gzip, deflate
              {"type":"urn:selvedge:problem:schema/content-encoding","title":"Unsupported content coding","status":415,"detail":"Send the body as gzip, deflate.","code":"schema/content-encoding"}
              finding schema/content-encoding: the body's coding is not decoded
        "#]],
    );
    check(
        &pets,
        encoded("gzip", b"{}"),
        expect![[r#"
            request head: allow
            request body: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/encoded","title":"Malformed request body","status":400,"detail":"The body is not what its Content-Encoding says.","code":"schema/encoded"}
              finding schema/encoded: the body is not what its coding says
        "#]],
    );
    check(
        &pets,
        encoded("gzip", &gzip(&[b' '; 100_000])),
        expect![[r#"
            request head: allow
            request body: block 413
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/size","title":"Request body too large","status":413,"detail":"The body is larger than what can be checked here.","code":"schema/size"}
              finding schema/size: the body is larger than what is looked into
        "#]],
    );
}
