//! `ext_proc`: what becomes of each answer.

use std::sync::Mutex;

use expect_test::{Expect, expect};
use prost::Message;
use prost_types::{Struct, Value, value::Kind};
use selvedge_agent::{Event, Mode};

use super::{
    Asked, Responded,
    envoy::{
        BodyMutation, BodySendMode, CommonResponse, GrpcStatus, HeaderMutation, HeaderSendMode,
        HeaderValue, HeaderValueOption, HttpStatus, ImmediateResponse, Mutation, PhaseResponse,
        ProcessingMode, ProcessingRequest, ProcessingResponse, Question, Reply,
    },
    ext_proc as settings,
    service::{Act, Service},
    start, told, *,
};

/// A field with this append action; none: the old way, by `append`.
pub(super) fn field(
    name: &str,
    value: &str,
    (append, action): (Option<bool>, i32),
) -> HeaderValueOption {
    let raw_value = value.as_bytes().to_vec().into();
    let header = HeaderValue { key: name.into(), value: String::new(), raw_value };
    HeaderValueOption { header: Some(header), append, append_action: action }
}

fn set(name: &str, value: &str) -> HeaderValueOption {
    field(name, value, (None, 0))
}

fn mutation(set_headers: Vec<HeaderValueOption>, remove: &[&str]) -> Option<HeaderMutation> {
    let remove_headers = remove.iter().map(|name| (*name).to_owned()).collect();
    Some(HeaderMutation { set_headers, remove_headers })
}

fn body(bytes: &'static [u8]) -> Option<BodyMutation> {
    Some(BodyMutation { mutation: Some(Mutation::Body(bytes.into())) })
}

fn clear() -> Option<BodyMutation> {
    Some(BodyMutation { mutation: Some(Mutation::ClearBody(true)) })
}

/// The answer to whatever was asked, with this in it.
pub(super) fn answer(question: &[u8], common: CommonResponse) -> ProcessingResponse {
    let request = ProcessingRequest::decode(question).unwrap().request.unwrap();
    let said = PhaseResponse { response: Some(common) };
    let response = Some(match request {
        Question::RequestHeaders(_) => Reply::RequestHeaders(said),
        Question::ResponseHeaders(_) => Reply::ResponseHeaders(said),
        Question::RequestBody(_) => Reply::RequestBody(said),
        Question::ResponseBody(_) => Reply::ResponseBody(said),
    });
    ProcessingResponse { response, ..ProcessingResponse::default() }
}

/// A service that answers the messages of each call with these, one after the other.
async fn saying(answers: Vec<CommonResponse>) -> Service {
    Service::start(move |number, question| {
        vec![Act::say(&answer(&question, answers[number].clone()))]
    })
    .await
}

async fn immediately(immediate: ImmediateResponse) -> Service {
    let response = Some(Reply::Immediate(immediate));
    Service::answering(ProcessingResponse { response, ..ProcessingResponse::default() }).await
}

#[tokio::test]
async fn the_service_is_told_what_envoy_would_tell_it() {
    let seen = std::sync::Arc::new(Mutex::new(None));
    let tell = seen.clone();
    let service = Service::start(move |_, question| {
        *tell.lock().unwrap() = Some(ProcessingRequest::decode(&question[..]).unwrap());
        vec![Act::say(&answer(&question, CommonResponse::default()))]
    })
    .await;
    let agent = start(settings(&service.address)).await;
    let asked = Asked::get()
        .fields(&[("Host", "shop.example"), ("X-Many", "1"), ("x-many", "2")])
        .attribute("client.address", "2001:db8::1")
        .attribute("client.port", "4711")
        .attribute("route", "cart")
        .attribute("tls.sni", "shop.example")
        .attribute("value.user", "ada")
        .attribute("route.realm", "shop");
    assert_eq!(told(&asked.ask(&agent).await), "allow\n");
    let question = seen.lock().unwrap().take().unwrap();
    assert_eq!(
        *service.calls.path.lock().unwrap(),
        "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
    );
    let Some(Question::RequestHeaders(headers)) = question.request else { panic!("its head") };
    assert!(headers.end_of_stream);
    let mut lines = String::new();
    for header in headers.headers.unwrap().headers {
        writeln!(lines, "{}: {}", header.key, header.raw_value.escape_ascii()).unwrap();
    }
    let spaces = question.metadata_context.unwrap().filter_metadata;
    for (space, fields) in question.attributes.iter().chain(&spaces) {
        for (name, value) in &fields.fields {
            writeln!(lines, "{space} {name} = {:?}", value.kind.as_ref().unwrap()).unwrap();
        }
    }
    writeln!(lines, "{:?}", question.protocol_config.unwrap()).unwrap();
    expect![[r#"
        :method: GET
        :scheme: https
        :authority: shop.example
        :path: /cart?id=7
        x-many: 1
        x-many: 2
        envoy.filters.http.ext_proc connection.mtls = BoolValue(false)
        envoy.filters.http.ext_proc connection.requested_server_name = StringValue("shop.example")
        envoy.filters.http.ext_proc request.host = StringValue("shop.example")
        envoy.filters.http.ext_proc request.method = StringValue("GET")
        envoy.filters.http.ext_proc request.path = StringValue("/cart?id=7")
        envoy.filters.http.ext_proc request.protocol = StringValue("HTTP/1.1")
        envoy.filters.http.ext_proc request.query = StringValue("id=7")
        envoy.filters.http.ext_proc request.scheme = StringValue("https")
        envoy.filters.http.ext_proc request.url_path = StringValue("/cart")
        envoy.filters.http.ext_proc source.address = StringValue("[2001:db8::1]:4711")
        envoy.filters.http.ext_proc xds.route_name = StringValue("cart")
        selvedge.route realm = StringValue("shop")
        selvedge.values user = StringValue("ada")
        ProtocolConfiguration { request_body_mode: Buffered, response_body_mode: Buffered }
    "#]]
    .assert_eq(&lines);
}

/// What comes of an answer to the head of a request that has `X-Known`.
async fn check(common: CommonResponse, expected: Expect) {
    let service = saying(vec![common]).await;
    let agent = start(settings(&service.address)).await;
    let asked = Asked::get().fields(&[("X-Known", "old"), ("X-Spare", "old")]);
    expected.assert_eq(&told(&asked.ask(&agent).await));
}

async fn check_mutation(mutation: Option<HeaderMutation>, expected: Expect) {
    let common = CommonResponse { header_mutation: mutation, ..CommonResponse::default() };
    check(common, expected).await;
}

#[tokio::test]
async fn fields_are_set_added_and_removed() {
    let append = [
        set("x-known", "plain"),
        field("x-known", "append", (Some(true), 0)),
        field("x-known", "no append", (Some(false), 1)),
        field("x-known", "absent", (None, 1)),
        field("x-new", "absent", (None, 1)),
        field("x-known", "overwrite", (None, 2)),
        field("x-spare", "exists", (None, 3)),
        field("x-other", "exists", (None, 3)),
        field("x-new", "exists", (None, 3)),
    ];
    check_mutation(
        mutation(append.to_vec(), &["x-spare"]),
        expect![[r#"
            allow
              Remove request x-spare
              Set request x-known: plain
              Add request x-known: append
              Set request x-known: no append
              Add request x-new: absent
              Set request x-known: overwrite
              Set request x-new: exists
        "#]],
    )
    .await;
    let mut as_text = set("x-text", "");
    as_text.header.as_mut().unwrap().value = "in `value`".to_owned();
    check_mutation(
        mutation(vec![as_text], &[]),
        expect![[r#"
            allow
              Set request x-text: in `value`
        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_routes_a_message_stays_or_is_refused() {
    let kept = [":method", ":scheme", ":authority", "host"].map(|name| set(name, "other"));
    let same = set(":path", "/cart?id=7");
    check_mutation(
        mutation([kept.to_vec(), vec![same]].concat(), &[":path", "Host"]),
        expect![[r#"
            allow
        "#]],
    )
    .await;
    let refused = expect![[r#"
        abandoned: a change of `:path` or `:status`, which agents cannot make
    "#]];
    check_mutation(mutation(vec![set(":path", "/other")], &[]), refused).await;
}

#[tokio::test]
async fn what_http_does_not_allow_is_refused() {
    for (name, value) in [("x y", "z"), ("", "z"), ("x", "a\r\nb: c")] {
        check_mutation(
            mutation(vec![set(name, value)], &[]),
            expect![[r#"
                abandoned: a field that HTTP does not allow
            "#]],
        )
        .await;
    }
    check_mutation(
        mutation(vec![field("x", "y", (None, 9))], &[]),
        expect![[r#"
            abandoned: an append action that does not exist
        "#]],
    )
    .await;
}

#[tokio::test]
async fn the_client_is_answered_at_once() {
    let check = async |immediate, expected: Expect| {
        let service = immediately(immediate).await;
        let agent = start(settings(&service.address)).await;
        expected.assert_eq(&told(&Asked::get().ask(&agent).await));
    };
    let status = |code| Some(HttpStatus { code });
    let headers = [
        set("content-type", "application/json"),
        set("x-why", "quota"),
        set("connection", "close"),
        set("content-length", "3"),
    ];
    let quota = ImmediateResponse {
        status: status(429),
        headers: mutation(headers.to_vec(), &[]),
        body: "{}".into(),
        grpc_status: Some(GrpcStatus { status: 8 }),
        details: "out of quota".into(),
    };
    check(
        quota,
        expect![[r#"
            block 429
              grpc-status: 8
              content-type: application/json
              x-why: quota
              body "{}"
              because out of quota
        "#]],
    )
    .await;
    let cookies = [
        set("location", "https://id.example/?to=%2Fcart"),
        field("set-cookie", "a=1", (Some(true), 0)),
        field("set-cookie", "b=2", (Some(true), 0)),
    ];
    let login = ImmediateResponse {
        status: status(302),
        headers: mutation(cookies.to_vec(), &[]),
        ..ImmediateResponse::default()
    };
    check(
        login,
        expect![[r#"
            redirect 302 https://id.example/?to=%2Fcart
              set-cookie: a=1
              set-cookie: b=2
        "#]],
    )
    .await;
    check(
        ImmediateResponse { body: "cached".into(), ..ImmediateResponse::default() },
        expect![[r#"
            block 200
              content-type: text/plain
              body "cached"
        "#]],
    )
    .await;
    for code in [101, 600, -1, 70_000] {
        check(
            ImmediateResponse { status: status(code), ..ImmediateResponse::default() },
            expect![[r#"
                abandoned: a status that answers nothing
            "#]],
        )
        .await;
    }
}

#[tokio::test]
async fn metadata_become_values() {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let inner = Struct { fields: [("user".to_owned(), text("ada"))].into() };
    let inner = Value { kind: Some(Kind::StructValue(inner)) };
    let metadata = Struct { fields: [("com.example".to_owned(), inner)].into() };
    let service = Service::start(move |_, question| {
        let answer = answer(&question, CommonResponse::default());
        let dynamic_metadata = Some(metadata.clone());
        vec![Act::say(&ProcessingResponse { dynamic_metadata, ..answer })]
    })
    .await;
    let agent = start(settings(&service.address)).await;
    assert_eq!(told(&Asked::get().ask(&agent).await), "allow\n  value com.example.user=ada\n");
}

#[tokio::test]
async fn an_inspected_body_is_replaced_with_its_fields() {
    let new = CommonResponse {
        header_mutation: mutation(vec![set("content-type", "text/plain")], &[]),
        body_mutation: body(b"clean"),
        ..CommonResponse::default()
    };
    let cleared = CommonResponse { body_mutation: clear(), ..CommonResponse::default() };
    let plain = CommonResponse::default();
    for (answer, expected) in [
        (new, "allow\n  Set request content-type: text/plain\n  replaced by \"clean\"\n"),
        (cleared, "allow\n  replaced by \"\"\n"),
        (plain, "allow\n"),
    ] {
        let service = saying(vec![CommonResponse::default(), answer]).await;
        let agent = start(settings(&service.address)).await;
        let (asked, mut exchange) = (Asked::post(), Exchange::default());
        assert_eq!(told(&asked.headers(&agent, &mut exchange).await), "allow\n");
        let verdict = asked.body(&agent, Body::new(b"dirty", false), &mut exchange).await;
        assert_eq!(told(&verdict), expected);
        assert_eq!(service.calls.streams.load(std::sync::atomic::Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_as_envoy_does() {
    let service = saying(vec![CommonResponse::default(); 2]).await;
    let agent = start(settings(&service.address)).await;
    let (asked, mut exchange) = (Asked::post(), Exchange::default());
    asked.headers(&agent, &mut exchange).await;
    let verdict = asked.body(&agent, Body::new(&[b'x'; 64], true), &mut exchange).await;
    assert_eq!(
        told(&verdict),
        "block 413\n  because the body is longer than the agent's `body-max`\n"
    );
    let response = Responded(200, &[]);
    let body = (&response, Body::new(&[b'x'; 64], true));
    let verdict = asked.response_body(&agent, body, &mut exchange).await;
    assert_eq!(
        told(&verdict),
        "block 502\n  because the body is longer than the agent's `body-max`\n"
    );
}

#[tokio::test]
async fn a_head_may_bring_a_body_in_place_of_the_one_that_follows() {
    let all = CommonResponse { status: 1, body_mutation: body(b"whole"), ..Default::default() };
    let service = saying(vec![all.clone()]).await;
    let agent = start(settings(&service.address)).await;
    let (asked, mut exchange) = (Asked::post(), Exchange::default());
    assert_eq!(told(&asked.headers(&agent, &mut exchange).await), "allow\n");
    let verdict = asked.body(&agent, Body::new(b"old and long", true), &mut exchange).await;
    assert_eq!(told(&verdict), "allow\n  replaced by \"whole\"\n");
    // There is none, and agents cannot make one.
    check(
        all,
        expect![[r#"
            abandoned: a body for a message that has none, or whose body the service is not asked about
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_service_leaves_out_what_it_does_not_want_to_see() {
    let (none, skip) = (BodySendMode::None.into(), HeaderSendMode::Skip.into());
    let buffered = BodySendMode::Buffered.into();
    let check = async |mode: (i32, i32, i32), expected: &str| {
        let (request_body_mode, response_header_mode, response_body_mode) = mode;
        let mode = ProcessingMode { request_body_mode, response_header_mode, response_body_mode };
        let service = Service::start(move |number, question| {
            assert_eq!(number, 0, "it asked for no more than the head");
            let answer = answer(&question, CommonResponse::default());
            vec![Act::say(&ProcessingResponse { mode_override: Some(mode), ..answer })]
        })
        .await;
        let agent = start(settings(&service.address)).await;
        let (asked, mut exchange) = (Asked::post(), Exchange::default());
        assert_eq!(told(&asked.headers(&agent, &mut exchange).await), expected);
        if request_body_mode == none {
            let verdict = asked.body(&agent, Body::new(b"x", true), &mut exchange).await;
            assert_eq!(told(&verdict), expected);
        }
    };
    check((none, skip, none), "allow, done\n").await;
    check((none, 0, none), "allow\n").await;
    check((none, skip, buffered), "allow\n").await;
    check((buffered, skip, none), "allow\n").await;
}

#[tokio::test]
async fn a_response_is_processed_too() {
    let head = CommonResponse {
        header_mutation: mutation(
            vec![set("x-seen", "yes"), set(":status", "200"), field("via", "b", (None, 1))],
            &["server"],
        ),
        ..CommonResponse::default()
    };
    let new = CommonResponse { body_mutation: body(b"new"), ..CommonResponse::default() };
    let service = saying(vec![CommonResponse::default(), head, new]).await;
    let agent = start(settings(&service.address)).await;
    let (asked, mut exchange) = (Asked::get(), Exchange::default());
    let response = Responded(200, &[("Server", "old"), ("Via", "a")]);
    asked.headers(&agent, &mut exchange).await;
    let verdict = asked.response(&agent, &response, &mut exchange).await;
    assert_eq!(told(&verdict), "allow\n  Remove response server\n  Set response x-seen: yes\n");
    let body = (&response, Body::new(b"old", false));
    let verdict = asked.response_body(&agent, body, &mut exchange).await;
    assert_eq!(told(&verdict), "allow\n  replaced by \"new\"\n");
}

fn streaming(address: &str) -> Settings {
    let mut settings = settings(address);
    if let super::Service::Grpc(grpc) = &mut settings.service {
        grpc.body_mode = BodyMode::Stream;
    }
    settings
}

#[tokio::test]
async fn a_body_streams_through_the_service() {
    let new = CommonResponse { body_mutation: body(b"new"), ..CommonResponse::default() };
    let gone = CommonResponse { body_mutation: clear(), ..CommonResponse::default() };
    let plain = CommonResponse::default();
    let service = saying(vec![plain.clone(), plain.clone(), new, gone, plain]).await;
    let agent = start(streaming(&service.address)).await;
    let wants = agent.wants();
    let wanted = wants.get(Event::RequestBody).unwrap();
    assert_eq!((wanted.mode, wanted.body_max), (Mode::Stream, u32::MAX));
    let (asked, mut exchange) = (Asked::post(), Exchange::default());
    asked.headers(&agent, &mut exchange).await;
    let mut steps = Vec::new();
    for (bytes, last) in [("one", false), ("two", false), ("three", false), ("", true)] {
        let chunk = Chunk::new(bytes.as_bytes(), last, false);
        steps.push(asked.chunk(&agent, chunk, &mut exchange).await);
    }
    let expected =
        [Step::Release, Step::Replace("new".into()), Step::Replace("".into()), Step::Release];
    assert_eq!(steps, expected);
}

#[tokio::test]
async fn a_stream_is_replaced_as_a_whole_or_cut_off() {
    let all = CommonResponse { status: 1, body_mutation: body(b"whole"), ..Default::default() };
    let service = saying(vec![all]).await;
    let agent = start(streaming(&service.address)).await;
    let (asked, mut exchange) = (Asked::post(), Exchange::default());
    asked.headers(&agent, &mut exchange).await;
    let first = asked.chunk(&agent, Chunk::new(b"one", false, false), &mut exchange).await;
    let last = asked.chunk(&agent, Chunk::new(b"two", true, false), &mut exchange).await;
    assert_eq!((first, last), (Step::Replace("whole".into()), Step::Replace("".into())));

    let status = Some(HttpStatus { code: 403 });
    let immediate = ImmediateResponse { status, ..ImmediateResponse::default() };
    let service = Service::start(move |number, question| {
        let response = Some(Reply::Immediate(immediate.clone()));
        vec![match number {
            0 => Act::say(&answer(&question, CommonResponse::default())),
            _ => Act::say(&ProcessingResponse { response, ..ProcessingResponse::default() }),
        }]
    })
    .await;
    let agent = start(streaming(&service.address)).await;
    let mut exchange = Exchange::default();
    asked.headers(&agent, &mut exchange).await;
    let step = asked.chunk(&agent, Chunk::new(b"evil", false, false), &mut exchange).await;
    let Step::Decide(verdict) = step else { panic!("the service has decided: {step:?}") };
    assert_eq!(told(&verdict), "block 403\n");
}
