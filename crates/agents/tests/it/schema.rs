//! `selvedge agent schema` by what it says.

mod counted;
mod guide;
pub mod message;
mod requests;

use std::{fs, io::Write, path::PathBuf};

use expect_test::{Expect, expect};
use flate2::{Compression, write::GzEncoder};
use selvedge_agent::{Agent, Event};
use selvedge_agents::schema::Schema;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Builder;

use self::message::{Message, ask};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schema").join(name)
}

/// Settings with one document and no schema, and what `changes` says.
fn settings(changes: Value) -> Value {
    let mut settings = json!({
        "documents": [document("pets", "pets-3.0.yaml")],
        "schemas": [],
        "bounds": {
            "size": 4096, "depth": 8, "keys": 50, "items": 50, "number_digits": 20,
            "string_size": 1000, "violations": 3,
        },
        "report_only": false,
        "response": false,
        "status": 400,
        "formats": true,
        "patterns": "linear",
        "decode": false,
    });
    for (name, value) in changes.as_object().unwrap() {
        settings[name] = value.clone();
    }
    settings
}

fn document(id: &str, file: &str) -> Value {
    json!({"id": id, "file": fixture(file), "base_path": null, "undocumented": "refuse"})
}

/// A folder with schemas: an order as JSON, its answer as YAML.
fn schemas() -> (TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let order = json!({
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "integer"}, "mail": {"format": "email"}},
        "additionalProperties": false,
    });
    fs::write(folder.path().join("order.json"), order.to_string()).unwrap();
    fs::write(folder.path().join("done.yaml"), "required: [done]").unwrap();
    let schema = |id: &str, file: &str, on: &str| {
        json!({
            "id": id, "file": folder.path().join(file), "on": on,
            "paths": [{"prefix": "/orders"}], "methods": ["POST", "GET"],
            "content_types": ["application/json"],
        })
    };
    let all = [schema("order", "order.json", "request"), schema("done", "done.yaml", "response")];
    let all = json!({"documents": [], "schemas": all});
    (folder, settings(all))
}

fn start(settings: &Value) -> Result<Schema, String> {
    let settings = serde_json::from_value(settings.clone()).unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(Schema::start(settings, None))
}

#[track_caller]
fn check_both(settings: &Value, (request, response): (Message, Option<Message>), expected: Expect) {
    let agent = start(settings).unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();
    let said = runtime.block_on(ask(&agent, &request, response.as_ref()));
    let said = said.replace(ASKS_FOR_ALL, "request head: allow, asks for it whole and plain\n");
    expected.assert_eq(&said.replace(TOLD_NOTHING, "  no word of what is wrong\n"));
}

/// What becomes of a request whose response is to be checked.
const ASKS_FOR_ALL: &str = "request head: allow\n  \
    Remove accept-encoding\n  Remove range\n  Remove if-range\n";
/// What a client gets in place of a response that is not as described.
const TOLD_NOTHING: &str = concat!(
    "  content-type: application/problem+json\n  ",
    r#"{"type":"urn:selvedge:problem:schema/response","title":"Upstream response refused","#,
    r#""status":502,"detail":"The server behind this one gave an answer that is not as described.","#,
    r#""code":"schema/response"}"#,
    "\n",
);

#[track_caller]
fn check(settings: &Value, request: Message, expected: Expect) {
    check_both(settings, (request, None), expected);
}

const CAT: &str = r#"{"kind":"cat","name":"Tom"}"#;

fn post() -> Message {
    Message::request("POST /api/v2/pets")
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn nothing_is_refused_where_only_reports_are_wanted() {
    let pets = settings(json!({"report_only": true}));
    check(
        &pets,
        Message::request("GET /nowhere"),
        expect![[r#"
            request head: allow, done
              finding schema/path: the path is not described
        "#]],
    );
    check(
        &pets,
        post().json("[]"),
        expect![[r#"
            request head: allow
            request body: allow, done
              finding schema/type: body # must be an object, not an array (pets-3.0.yaml#/components/schemas/Pet/allOf/0/type)
        "#]],
    );
    check(
        &pets,
        Message::request("PUT /api/v2/pets/x").json("[]"),
        expect![[r#"
            request head: allow
              finding schema/type: path id must be an integer, not a string (pets-3.0.yaml#/paths/~1pets~1%7Bid%7D/parameters/0/schema/type)
            request body: allow, done
              finding schema/type: body # must be an object, not an array (pets-3.0.yaml#/components/schemas/Pet/allOf/0/type)
        "#]],
    );
    check(
        &pets,
        post().json(CAT).truncated(),
        expect![[r#"
            request head: allow
            request body: allow, done
              finding schema/size: the body is larger than what is looked into
        "#]],
    );
    check(
        &pets,
        post().json("[]").option("report-only", "false"),
        expect![[r##"
            request head: allow
            request body: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/invalid","title":"Invalid request","status":400,"detail":"The request differs from its description in one thing.","code":"schema/invalid","errors":[{"detail":"must be an object, not an array","pointer":"#","rule":"type","schema":"pets-3.0.yaml#/components/schemas/Pet/allOf/0/type"}]}
              finding schema/type: body # must be an object, not an array (pets-3.0.yaml#/components/schemas/Pet/allOf/0/type)
        "##]],
    );
    let pets = settings(json!({}));
    check(
        &pets,
        post().json("[]").option("report-only", "true"),
        expect![[r#"
            request head: allow
            request body: allow, done
              finding schema/type: body # must be an object, not an array (pets-3.0.yaml#/components/schemas/Pet/allOf/0/type)
        "#]],
    );
}

#[test]
fn responses_are_checked_on_demand() {
    let pets = settings(json!({"response": true}));
    let get = || Message::request("GET /api/v2/pets/1");
    let answer = |status, body: &str| Some(Message::response(status).json(body));
    let cat = r#"{"id":1,"kind":"cat","name":"Tom"}"#;
    check_both(
        &pets,
        (get(), answer(200, cat)),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: allow
            response body: allow, done
        "#]],
    );
    check_both(
        &pets,
        (get(), answer(200, CAT)),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: allow
            response body: block 502
              no word of what is wrong
              finding schema/required: body # must have the property `id` (pets-3.0.yaml#/components/schemas/Animal/required)
        "#]],
    );
    check_both(
        &pets,
        (get(), answer(200, "[")),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: allow
            response body: block 502
              no word of what is wrong
              finding schema/syntax: body # is not JSON: it ends too early
        "#]],
    );
    check_both(
        &pets,
        (get(), answer(500, "{}")),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: block 502
              no word of what is wrong
              finding schema/responses: body # answers with status 500, which is not described (GET /pets/{id})
        "#]],
    );
    check_both(
        &pets,
        (get(), Some(Message::response(404))),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: allow, done
        "#]],
    );
    check_both(
        &pets,
        (get(), answer(200, cat).map(Message::truncated)),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: allow
            response body: block 502
              no word of what is wrong
              finding schema/size: the body is larger than what is looked into
        "#]],
    );
    let html = Message::response(200).field("content-type", "text/html").body("<p>");
    check_both(
        &pets,
        (get(), Some(html)),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: block 502
              no word of what is wrong
              finding schema/content-type: the body is not of type application/json
        "#]],
    );
    let coded = |coding: &str, body: &[u8]| {
        Some(Message::response(200).field("content-encoding", coding).json("").body(body))
    };
    check_both(
        &pets,
        (get(), coded("gzip", &gzip(cat.as_bytes()))),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: allow
            response body: allow, done
        "#]],
    );
    check_both(
        &pets,
        (get(), coded("br", b"x")),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: block 502
              no word of what is wrong
              finding schema/content-encoding: the body's coding is not decoded
        "#]],
    );
    let head = Message::request("HEAD /api/v2/pets/1");
    check_both(
        &pets,
        (head, answer(200, cat)),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: allow, done
        "#]],
    );
    let mut pets = settings(json!({"response": true, "report_only": true}));
    check_both(
        &pets,
        (get(), answer(200, "[")),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: allow
            response body: allow, done
              finding schema/syntax: body # is not JSON: it ends too early
        "#]],
    );
    pets["report_only"] = json!(false);
    pets["documents"][0]["undocumented"] = json!("pass");
    check_both(
        &pets,
        (get(), answer(500, "{}")),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: allow, done
        "#]],
    );
}

#[test]
fn schemas_by_themselves() {
    let (_folder, orders) = schemas();
    let post = || Message::request("POST /orders/7");
    let answer = |body: &str| Some(Message::response(200).json(body));
    check_both(
        &orders,
        (post().json("{\"id\":1}"), answer("{\"done\":1}")),
        expect![[r#"
            request head: allow, asks for it whole and plain
            request body: allow
            response head: allow
            response body: allow, done
        "#]],
    );
    check(
        &orders,
        post().json("{\"id\":\"x\",\"mail\":\"@\",\"size\":1}"),
        expect![[r##"
            request head: allow, asks for it whole and plain
            request body: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/invalid","title":"Invalid request","status":400,"detail":"The request differs from its description in 3 things.","code":"schema/invalid","errors":[{"detail":"must be an integer, not a string","pointer":"#/id","rule":"type","schema":"order.json#/properties/id/type"},{"detail":"must have the format `email`","pointer":"#/mail","rule":"format","schema":"order.json#/properties/mail/format"},{"detail":"must not have the property `size`","pointer":"#","rule":"additionalProperties","schema":"order.json#/additionalProperties"}]}
              finding schema/type: body #/id must be an integer, not a string (order.json#/properties/id/type)
              finding schema/format: body #/mail must have the format `email` (order.json#/properties/mail/format)
              finding schema/additionalProperties: body # must not have the property `size` (order.json#/additionalProperties)
        "##]],
    );
    check(
        &orders,
        post(),
        expect![[r##"
            request head: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/invalid","title":"Invalid request","status":400,"detail":"The request differs from its description in one thing.","code":"schema/invalid","errors":[{"detail":"must be there","pointer":"#","rule":"required","schema":"order"}]}
              finding schema/required: body # must be there (order)
        "##]],
    );
    check(
        &orders,
        post().field("content-type", "text/plain").body("x"),
        expect![[r#"
            request head: block 415
              content-type: application/problem+json
              accept: application/json
              {"type":"urn:selvedge:problem:schema/content-type","title":"Unsupported media type","status":415,"detail":"Send a body of type application/json.","code":"schema/content-type"}
              finding schema/content-type: the body is not of type application/json
        "#]],
    );
    check(
        &orders,
        Message::request("GET /orders/7"),
        expect![[r#"
            request head: allow, asks for it whole and plain
        "#]],
    );
    check(
        &orders,
        Message::request("POST /ordersx").json("1"),
        expect![[r#"
            request head: allow, done
        "#]],
    );
    check_both(
        &orders,
        (Message::request("GET /orders"), answer("{}")),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: allow
            response body: block 502
              no word of what is wrong
              finding schema/required: body # must have the property `done` (done.yaml#/required)
        "#]],
    );
    let text = Message::response(200).field("content-type", "text/plain").body("x");
    check_both(
        &orders,
        (Message::request("GET /orders"), Some(text)),
        expect![[r#"
            request head: allow, asks for it whole and plain
            response head: allow, done
        "#]],
    );
}

#[test]
fn a_route_chooses() {
    let (_folder, mut both) = schemas();
    both["documents"] =
        json!([document("pets", "pets-3.0.yaml"), document("three", "pets-3.1.yaml")]);
    let order = || Message::request("POST /orders").json("{}");
    check(
        &both,
        order(),
        expect![[r#"
            request head: block 404
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/path","title":"Not found","status":404,"detail":"The API's description has no such path.","code":"schema/path"}
              finding schema/path: the path is not described
        "#]],
    );
    check(
        &both,
        order().option("schema", "order"),
        expect![[r##"
            request head: allow
            request body: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/invalid","title":"Invalid request","status":400,"detail":"The request differs from its description in one thing.","code":"schema/invalid","errors":[{"detail":"must have the property `id`","pointer":"#","rule":"required","schema":"order.json#/required"}]}
              finding schema/required: body # must have the property `id` (order.json#/required)
        "##]],
    );
    check(
        &both,
        order().option("document", "three"),
        expect![[r#"
            request head: block 404
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/path","title":"Not found","status":404,"detail":"The API's description has no such path.","code":"schema/path"}
              finding schema/path: the path is not described
        "#]],
    );
    check(
        &both,
        Message::request("POST /search").json("{}"),
        expect![[r#"
            request head: allow
            request body: allow, done
        "#]],
    );
    check(
        &both,
        Message::request("POST /search").json("{}").option("document", "pets"),
        expect![[r#"
            request head: block 404
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/path","title":"Not found","status":404,"detail":"The API's description has no such path.","code":"schema/path"}
              finding schema/path: the path is not described
        "#]],
    );
    let agent = start(&both).unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();
    let unknown = order().option("document", "other");
    let asked = std::panic::AssertUnwindSafe(|| runtime.block_on(ask(&agent, &unknown, None)));
    assert!(std::panic::catch_unwind(asked).is_err(), "a verdict that cannot be sent abandons");
}

#[test]
fn large_bodies_are_checked_beside() {
    let mut pets = settings(json!({}));
    pets["bounds"]["size"] = json!(1 << 20);
    pets["bounds"]["string_size"] = json!(1 << 20);
    let name = "n".repeat(300_000);
    check(
        &pets,
        post().json(&format!(r#"{{"kind":"cat","name":"{name}"}}"#)),
        expect![[r#"
            request head: allow
            request body: allow, done
        "#]],
    );
    check(
        &pets,
        post().json(&format!(r#"{{"kind":"cat","nick":"{name}"}}"#)),
        expect![[r##"
            request head: allow
            request body: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/invalid","title":"Invalid request","status":400,"detail":"The request differs from its description in one thing.","code":"schema/invalid","errors":[{"detail":"must have the property `name`","pointer":"#","rule":"required","schema":"pets-3.0.yaml#/components/schemas/Animal/required"}]}
              finding schema/required: body # must have the property `name` (pets-3.0.yaml#/components/schemas/Animal/required)
        "##]],
    );
}

#[test]
fn it_asks_for_what_it_looks_at() {
    let wants = |settings: &Value| {
        let agent = start(settings).unwrap();
        let wants = agent.wants();
        wants.iter().map(|own| (own.event, own.body_max)).collect::<Vec<_>>()
    };
    let request = [(Event::RequestHeaders, 0), (Event::RequestBody, 4096)];
    let response = [(Event::ResponseHeaders, 0), (Event::ResponseBody, 4096)];
    assert_eq!(wants(&settings(json!({}))), request);
    let both = [request, response].concat();
    assert_eq!(wants(&settings(json!({"response": true}))), both);
    let (_folder, mut orders) = schemas();
    assert_eq!(wants(&orders), both);
    orders["schemas"].as_array_mut().unwrap().remove(0);
    assert_eq!(wants(&orders), [&request[..1], &response].concat());
}

#[test]
fn faults_keep_it_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("api.yaml");
    let text = "openapi: 3.0.0\npaths:\n  /a:\n    get:\n      parameters:\n        - {name: q, in: query, \
                schema: {pattern: '(?=a)'}}\n      responses: {'2': {}}\n";
    fs::write(&file, text).unwrap();
    let mut broken = settings(json!({}));
    broken["documents"] = json!([
        {"id": "a", "file": file, "base_path": null, "undocumented": "refuse"},
        {"id": "b", "file": "/nonexistent/b.yaml", "base_path": null, "undocumented": "refuse"},
    ]);
    let faults = start(&broken).err().unwrap();
    expect![[r#"
        `a`: api.yaml:7: #/paths/~1a/get/responses/2 is no status, no class as `2XX`, and not `default`
        `a`: api.yaml:6: #/paths/~1a/get/parameters/0/schema/pattern `(?=a)` has look-around, a back-reference or too many repetitions, which take more than linear time
        `b`: /nonexistent/b.yaml: No such file or directory (os error 2)"#]].assert_eq(&faults);
    broken["documents"].as_array_mut().unwrap().pop();
    fs::write(&file, text.replace("'2'", "'200'")).unwrap();
    expect!["`a`: api.yaml:6: #/paths/~1a/get/parameters/0/schema/pattern `(?=a)` has look-around, a back-reference or too many repetitions, which take more than linear time"].assert_eq(&start(&broken).err().unwrap());
    broken["patterns"] = json!("backtracking");
    check(
        &broken,
        Message::request("GET /a?q=xa"),
        expect![[r#"
            request head: allow, done
        "#]],
    );
    check(
        &broken,
        Message::request("GET /a?q=x"),
        expect![[r##"
            request head: block 400
              content-type: application/problem+json
              {"type":"urn:selvedge:problem:schema/invalid","title":"Invalid request","status":400,"detail":"The request differs from its description in one thing.","code":"schema/invalid","errors":[{"detail":"must match the pattern `(?=a)`","in":"query","parameter":"q","pointer":"#","rule":"pattern","schema":"api.yaml#/paths/~1a/get/parameters/0/schema/pattern"}]}
              finding schema/pattern: query q must match the pattern `(?=a)` (api.yaml#/paths/~1a/get/parameters/0/schema/pattern)
        "##]],
    );
}
