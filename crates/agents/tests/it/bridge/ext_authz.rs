//! `ext_authz`: the question, and what becomes of each answer.

use std::sync::{Arc, Mutex};

use expect_test::{Expect, expect};
use prost::Message;
use prost_types::{Struct, Value, value::Kind};

use super::{
    envoy::{
        CheckReply, CheckRequest, CheckResponse, DeniedHttpResponse, HttpStatus, OkHttpResponse,
        QueryParameter, RpcStatus,
    },
    ext_authz as settings,
    ext_proc::field,
    service::{Act, Service},
    *,
};

/// A service that lets everybody pass, and what it was asked last.
async fn listening() -> (Service, Arc<Mutex<Option<CheckRequest>>>) {
    let seen = Arc::new(Mutex::new(None));
    let tell = seen.clone();
    let service = Service::start(move |_, question| {
        *tell.lock().unwrap() = Some(CheckRequest::decode(&question[..]).unwrap());
        let status = Some(RpcStatus::default());
        vec![Act::say(&CheckResponse { status, ..Default::default() }), Act::End(0)]
    })
    .await;
    (service, seen)
}

#[tokio::test]
async fn the_service_is_told_what_envoy_would_tell_it() {
    let (service, seen) = listening().await;
    let mut settings = settings(&service.address);
    if let super::Service::Grpc(grpc) = &mut settings.service {
        grpc.metadata = vec![("x-key".to_owned(), selvedge_base::Secret::new("s3cret"))];
    }
    let agent = start(settings).await;
    let asked = Asked::get()
        .fields(&[
            ("Host", "shop.example"),
            ("X-Many", "1"),
            ("x-many", "2"),
            ("Cookie", "a=1"),
            ("cookie", "b=2"),
        ])
        .attribute("client.address", "192.0.2.7")
        .attribute("client.port", "4711")
        .attribute("route", "cart")
        .attribute("listener", "https")
        .attribute("request.id", "r1")
        .attribute("tls.sni", "shop.example")
        .attribute("tls.client.subject", "CN=ada")
        .attribute("tls.client.san", "DNS:ada.example,URI:spiffe://example/ada")
        .attribute("route.realm", "shop")
        .attribute("value.score", "7");
    assert_eq!(told(&asked.ask(&agent).await), "allow, done\n");
    assert_eq!(*service.calls.path.lock().unwrap(), "/envoy.service.auth.v3.Authorization/Check");
    let metadata = service.calls.metadata.lock().unwrap().clone();
    assert_eq!(metadata.get("x-key").unwrap(), "s3cret");
    assert!(metadata.contains_key("grpc-timeout"));
    let mut context = seen.lock().unwrap().take().unwrap().attributes.unwrap();
    let time = context.request.as_mut().and_then(|request| request.time.take());
    assert!(time.unwrap().seconds > 1_700_000_000);
    expect![[r#"
        AttributeContext {
            source: Some(
                Peer {
                    address: Some(
                        Address {
                            socket_address: Some(
                                SocketAddress {
                                    address: "192.0.2.7",
                                    port_value: Some(
                                        4711,
                                    ),
                                },
                            ),
                        },
                    ),
                    labels: {},
                    principal: "spiffe://example/ada",
                },
            ),
            destination: Some(
                Peer {
                    address: None,
                    labels: {
                        "listener": "https",
                        "route": "cart",
                    },
                    principal: "",
                },
            ),
            request: Some(
                Request {
                    time: None,
                    http: Some(
                        HttpRequest {
                            id: "r1",
                            method: "GET",
                            headers: {
                                ":authority": "shop.example",
                                ":method": "GET",
                                ":path": "/cart?id=7",
                                ":scheme": "https",
                                "cookie": "a=1; b=2",
                                "x-many": "1,2",
                            },
                            path: "/cart?id=7",
                            host: "shop.example",
                            scheme: "https",
                            size: 0,
                            protocol: "HTTP/1.1",
                            body: "",
                            raw_body: b"",
                        },
                    ),
                },
            ),
            context_extensions: {
                "realm": "shop",
            },
            metadata_context: Some(
                Metadata {
                    filter_metadata: {
                        "selvedge.route": Struct {
                            fields: {
                                "realm": Value {
                                    kind: Some(
                                        StringValue(
                                            "shop",
                                        ),
                                    ),
                                },
                            },
                        },
                        "selvedge.values": Struct {
                            fields: {
                                "score": Value {
                                    kind: Some(
                                        StringValue(
                                            "7",
                                        ),
                                    ),
                                },
                            },
                        },
                    },
                },
            ),
            tls_session: Some(
                TlsSession {
                    sni: "shop.example",
                },
            ),
        }
    "#]]
    .assert_eq(&format!("{context:#?}\n"));
}

#[tokio::test]
async fn a_body_is_told_where_it_is_asked_for() {
    let (service, seen) = listening().await;
    let events = vec![AgentEvent::RequestHeaders, AgentEvent::RequestBody];
    let agent = start(Settings { events, ..settings(&service.address) }).await;
    let check = async |body: &'static [u8], expected: (&str, &[u8], i64)| {
        let (asked, mut exchange) = (Asked::post(), Exchange::default());
        assert_eq!(told(&asked.headers(&agent, &mut exchange).await), "allow\n");
        assert!(seen.lock().unwrap().is_none(), "it is asked once");
        let verdict = asked.body(&agent, Body::new(body, false), &mut exchange).await;
        assert_eq!(told(&verdict), "allow, done\n");
        let context = seen.lock().unwrap().take().unwrap().attributes.unwrap();
        let http = context.request.unwrap().http.unwrap();
        assert_eq!((http.body.as_str(), &http.raw_body[..], http.size), expected);
        assert_eq!(http.headers.get("x-envoy-auth-partial-body").unwrap(), "false");
    };
    check(b"a=1", ("a=1", b"", 3)).await;
    check(b"\xff\xfe", ("", b"\xff\xfe", 2)).await;
    // What is too long to be told as a whole passes nobody.
    let (asked, mut exchange) = (Asked::post(), Exchange::default());
    let verdict = asked.body(&agent, Body::new(&[b'x'; 64], true), &mut exchange).await;
    assert_eq!(
        told(&verdict),
        "block 413\n  because the body is longer than the agent's `body-max`\n"
    );
    // Without a body there is nothing to wait for.
    assert_eq!(told(&Asked::get().ask(&agent).await), "allow, done\n");
    assert!(seen.lock().unwrap().is_some());
}

async fn check(answer: CheckResponse, expected: Expect) {
    let service = Service::answering(answer).await;
    let agent = start(settings(&service.address)).await;
    let asked = Asked::get().fields(&[("X-Known", "old")]);
    expected.assert_eq(&told(&asked.ask(&agent).await));
}

fn status(code: i32, message: &str) -> Option<RpcStatus> {
    Some(RpcStatus { code, message: message.to_owned() })
}

#[tokio::test]
async fn an_allowed_request_is_changed() {
    let text = Value { kind: Some(Kind::StringValue("ada".to_owned())) };
    let ok = OkHttpResponse {
        headers: vec![
            field("x-user", "ada", (None, 0)),
            field("x-known", "more", (Some(true), 0)),
            field("host", "other", (None, 0)),
        ],
        headers_to_remove: vec!["authorization".into(), ":path".into(), "host".into()],
        response_headers_to_add: vec![
            field("set-cookie", "a=1", (Some(true), 0)),
            field("x-seen", "yes", (None, 0)),
        ],
        ..OkHttpResponse::default()
    };
    let answer = CheckResponse {
        status: status(0, ""),
        http_response: Some(CheckReply::Ok(ok)),
        dynamic_metadata: Some(Struct { fields: [("user".to_owned(), text)].into() }),
    };
    check(
        answer,
        expect![[r#"
            allow, done
              Remove request authorization
              Set request x-user: ada
              Add request x-known: more
              Add response set-cookie: a=1
              Set response x-seen: yes
              value user=ada
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_denied_request_gets_the_services_answer() {
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus { code: 401 }),
        headers: vec![field("www-authenticate", "Bearer", (None, 0))],
        body: "who are you?".to_owned(),
    };
    let denied = Some(CheckReply::Denied(denied));
    check(
        CheckResponse {
            status: status(16, "no token"),
            http_response: denied.clone(),
            ..Default::default()
        },
        expect![[r#"
            block 401
              content-type: text/plain
              www-authenticate: Bearer
              body "who are you?"
              because no token
        "#]],
    )
    .await;
    // A status of zero beside a denial: nobody passes who might have been denied.
    check(
        CheckResponse { status: status(0, ""), http_response: denied, ..Default::default() },
        expect![[r#"
            block 401
              content-type: text/plain
              www-authenticate: Bearer
              body "who are you?"
        "#]],
    )
    .await;
    check(
        CheckResponse { status: status(7, ""), ..Default::default() },
        expect![[r#"
            block 403
        "#]],
    )
    .await;
    let login = DeniedHttpResponse {
        status: Some(HttpStatus { code: 302 }),
        headers: vec![field("location", "/login", (None, 0))],
        body: String::new(),
    };
    let login = Some(CheckReply::Denied(login));
    check(
        CheckResponse { status: status(16, ""), http_response: login, ..Default::default() },
        expect![[r#"
            redirect 302 /login
        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_carried_out_is_a_failure() {
    check(
        CheckResponse::default(),
        expect![[r#"
            abandoned: an answer that says nothing
        "#]],
    )
    .await;
    let error = Some(CheckReply::Error(DeniedHttpResponse::default()));
    check(
        CheckResponse { status: status(13, ""), http_response: error, ..Default::default() },
        expect![[r#"
            abandoned: the service says that it failed
        "#]],
    )
    .await;
    let query = OkHttpResponse {
        query_parameters_to_set: vec![QueryParameter {}],
        ..OkHttpResponse::default()
    };
    let query = Some(CheckReply::Ok(query));
    check(
        CheckResponse { status: status(0, ""), http_response: query, ..Default::default() },
        expect![[r#"
            abandoned: a change of the query, which agents cannot make
        "#]],
    )
    .await;
    let absent = OkHttpResponse {
        response_headers_to_add: vec![field("x", "y", (None, 1))],
        ..OkHttpResponse::default()
    };
    let absent = Some(CheckReply::Ok(absent));
    check(
        CheckResponse { status: status(0, ""), http_response: absent, ..Default::default() },
        expect![[r#"
            abandoned: a condition on a response that is not there yet
        "#]],
    )
    .await;
}
