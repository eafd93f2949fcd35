//! How long the schema agent takes for a message, without a socket in between:
//! `cargo run --release -p selvedge-agents --example schema_speed`.
//!
//! Each figure is the median of several rounds on one thread, in time of the processor and not of the
//! clock, so that others on the machine count less; every verdict is looked at.

#![expect(clippy::unwrap_used, reason = "it may panic: it is run by people who look at it")]
#![expect(clippy::print_stdout, reason = "it prints figures")]

#[path = "../tests/it/asked.rs"]
mod asked;

use std::{fs, path::Path, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use selvedge_agent::{Agent, Body, RequestHead};
use selvedge_agents::schema::{Exchange, Schema};
use serde_json::{Value, json};

use crate::asked::Asked;

/// Rounds of each message.
const ROUNDS: usize = 25;
/// Time that a round takes at least.
const ROUND: Duration = Duration::from_millis(5);

/// What is measured, all of it with GET: what is asked for is in the path.
const DESCRIPTION: &str = r##"
openapi: 3.1.1
paths:
  /head:
    get:
      parameters:
        - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100}}
        - {name: tags, in: query, schema: {type: array, items: {type: string, minLength: 2}}}
        - {name: filter, in: query, style: deepObject, schema: {type: object, properties: {name: {type: string}}}}
        - {name: x-request-id, in: header, required: true, schema: {type: string, format: uuid}}
        - {name: a, in: query, schema: {type: string}}
        - {name: b, in: query, schema: {type: string}}
        - {name: c, in: header, schema: {type: string}}
        - {name: d, in: header, schema: {type: integer}}
        - {name: e, in: cookie, schema: {type: integer}}
        - {name: f, in: cookie, schema: {type: string}}
      responses: {}
  /orders:
    get:
      requestBody:
        content:
          application/json:
            schema: {type: array, items: {$ref: "#/components/schemas/Order"}}
      responses: {}
  /order:
    get:
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}
      responses: {}
  /recursion:
    get:
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Maze"}}}}
      responses: {}
  /unique:
    get:
      requestBody: {content: {application/json: {schema: {type: array, uniqueItems: true}}}}
      responses: {}
  /pattern:
    get:
      requestBody: {content: {application/json: {schema: {type: string, pattern: "(x+x+)+y"}}}}
      responses: {}
components:
  schemas:
    Order:
      type: object
      required: [id, kind, customer, lines]
      additionalProperties: false
      properties:
        id: {type: integer, minimum: 0}
        kind: {enum: [order, return]}
        customer:
          type: object
          required: [name, email]
          properties:
            name: {type: string, minLength: 1, maxLength: 100}
            email: {type: string, format: email}
        lines:
          type: array
          minItems: 1
          items:
            type: object
            required: [article, quantity]
            properties:
              article: {type: string, pattern: "^AB-[0-9]{6}$"}
              quantity: {type: integer, minimum: 1}
              price: {type: number, multipleOf: 0.01}
        tags: {type: array, uniqueItems: true, items: {type: string}}
        note: {type: string}
    Maze:
      type: object
      oneOf:
        - {properties: {a: {$ref: "#/components/schemas/Maze"}}, required: [b]}
        - {properties: {a: {$ref: "#/components/schemas/Maze"}}, required: [c]}
        - {properties: {a: {$ref: "#/components/schemas/Maze"}}, required: [d]}
"##;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("speed.yaml");
    fs::write(&file, DESCRIPTION).unwrap();
    let agent = start(&file).await;
    let head = Asked::get("/head?limit=3&tags=aa&tags=bb&filter[name]=x")
        .attribute("route.document", "speed")
        .field("x-request-id", "2f1acc6c-3d3f-4c8e-9f51-000000000000");
    tell("a head with four of ten parameters", &agent, (&head, ""), true).await;
    tell_body("one order", &agent, ("/order", order(1)), true).await;
    let orders: Vec<Value> = (0..240).map(order).collect();
    tell_body("orders", &agent, ("/orders", json!(orders)), true).await;
    let mut wrong = orders;
    wrong.iter_mut().step_by(10).for_each(|order| order["id"] = json!("x"));
    tell_body("the same, 24 of them wrong", &agent, ("/orders", json!(wrong)), false).await;
    let many = json!(vec!["x"; 16_000]);
    tell_body("16,000 things wrong", &agent, ("/orders", many), false).await;
    let step = |inner: Value, _| json!({ "a": inner, "b": 1, "c": 1, "d": 1 });
    let maze = (0..100).fold(json!({}), step);
    tell_body("a schema that refers to itself", &agent, ("/recursion", maze), false).await;
    for size in [64 << 10, 1 << 20] {
        tell_body("items that all differ", &agent, ("/unique", nestings(size)), true).await;
    }
    let text = json!("x y".repeat(349_000));
    tell_body("a pattern", &agent, ("/pattern", text), false).await;
}

fn order(number: usize) -> Value {
    json!({
        "id": number,
        "kind": "order",
        "customer": {"name": format!("Customer {number}"), "email": format!("c{number}@example.com")},
        "lines": [
            {"article": format!("AB-{number:06}"), "quantity": 2, "price": 12.5},
            {"article": "AB-000001", "quantity": 1, "price": 3.0},
        ],
        "tags": ["a", "b", "c"],
        "note": "some text that is a little longer than the rest of it",
    })
}

/// Arrays of nothing but arrays, no two the same, `size` bytes of them.
fn nestings(size: usize) -> Value {
    let nesting = |number: usize| {
        let bits = (0..usize::BITS - number.leading_zeros()).map(|bit| number >> bit & 1);
        json!(bits.map(|bit| if bit == 1 { json!([[]]) } else { json!([]) }).collect::<Vec<_>>())
    };
    let mut all = Vec::new();
    let mut bytes = 2;
    while bytes < size - 100 {
        let next = nesting(all.len() + 1);
        bytes += next.to_string().len() + 1;
        all.push(next);
    }
    json!(all)
}

async fn start(file: &Path) -> Schema {
    let settings = json!({
        "documents": [{"id": "speed", "file": file, "base_path": null, "undocumented": "refuse"}],
        "schemas": [],
        "bounds": {
            "size": 2 << 20, "depth": 127, "keys": 1_000_000, "items": 1_000_000,
            "number_digits": 64, "string_size": 2 << 20, "violations": 32,
        },
        "report_only": false,
        "response": false,
        "status": 400,
        "formats": true,
        "patterns": "linear",
        "decode": false,
    });
    Schema::start(serde_json::from_value(settings).unwrap(), None).await.unwrap()
}

async fn tell_body(what: &str, agent: &Schema, (path, body): (&str, Value), fits: bool) {
    let head = Asked::get(path).field("content-type", "application/json");
    tell(what, agent, (&head, &body.to_string()), fits).await;
}

/// Measures one message, which fits or does not.
async fn tell(what: &str, agent: &Schema, (head, body): (&Asked, &str), fits: bool) {
    let payload = head.payload();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (start, mut count) = (processor_time(), 0_u32);
        while count == 0 || processor_time() - start < ROUND {
            assert_eq!(ask(agent, &payload, body).await, fits, "{what}");
            count += 1;
        }
        rounds.push((processor_time() - start) / count);
    }
    rounds.sort();
    let median = rounds[rounds.len() / 2].as_secs_f64();
    println!("{what:<36} {:>9} bytes {:>9.1} µs", body.len(), median * 1e6);
}

async fn ask(agent: &Schema, payload: &[u8], body: &str) -> bool {
    let mut exchange = Exchange::default();
    let request = RequestHead::parse(payload, !body.is_empty()).unwrap();
    let verdict = agent.request_headers(&request, &mut exchange).await;
    if body.is_empty() || verdict.is_done() {
        return verdict.is_allow();
    }
    let body = Body::new(body.as_bytes(), false);
    agent.request_body(&request, body, &mut exchange).await.is_allow()
}

/// What this process has computed so far: large bodies are checked on another thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap()
}
