//! Forward-auth: the question, and what becomes of each answer.

use std::sync::{Arc, Mutex, atomic::Ordering};

use bytes::Bytes;
use expect_test::{Expect, expect};
use http_body_util::Full;
use hyper::{Request, Response};
use tokio::net::TcpListener;

use super::{web::Web, *};

fn http(settings: &mut Settings) -> &mut Http {
    match &mut settings.service {
        Service::Http(http) => http,
        Service::Grpc(_) => panic!("it is asked by HTTP"),
    }
}

/// A server that lets everybody pass, and what it was asked.
async fn listening() -> (Web, Arc<Mutex<String>>) {
    let seen = Arc::<Mutex<String>>::default();
    let tell = seen.clone();
    let web = Web::start(move |request: Request<Bytes>| {
        let mut lines = format!("{} {}\n", request.method(), request.uri());
        for (name, value) in request.headers() {
            if name != "host" {
                writeln!(lines, "{name}: {}", value.as_bytes().escape_ascii()).unwrap();
            }
        }
        writeln!(lines, "{:?}", request.body()).unwrap();
        *tell.lock().unwrap() = lines;
        Response::new(Full::default())
    })
    .await;
    (web, seen)
}

fn lying() -> Asked {
    Asked::get()
        .fields(&[
            ("Host", "shop.example"),
            ("Cookie", "session=1"),
            ("Authorization", "Bearer x"),
            ("Accept", "text/html"),
            ("Connection", "close"),
            ("TE", "trailers"),
            ("Content-Type", "text/plain"),
            ("X-Forwarded-For", "127.0.0.1"),
            ("X_Forwarded_User", "admin"),
            ("X_Forwarded_For", "127.0.0.1"),
            ("X-Forwarded-Method", "OPTIONS"),
            ("X-Original-URL", "https://shop.example/public"),
            ("Forwarded", "for=127.0.0.1"),
        ])
        .attribute("client.address", "192.0.2.7")
}

#[tokio::test]
async fn the_server_is_told_of_the_request_and_not_what_the_client_says_of_itself() {
    let (web, seen) = listening().await;
    let agent = start(forward_auth(&web.address)).await;
    assert_eq!(told(&lying().ask(&agent).await), "allow, done\n");
    expect![[r#"
        GET /auth?x=1
        cookie: session=1
        authorization: Bearer x
        accept: text/html
        x_forwarded_user: admin
        x-forwarded-method: GET
        x-forwarded-proto: https
        x-forwarded-host: shop.example
        x-forwarded-uri: /cart?id=7
        x-original-method: GET
        x-original-url: https://shop.example/cart?id=7
        x-forwarded-for: 192.0.2.7
        x-real-ip: 192.0.2.7
        b""
    "#]]
    .assert_eq(&seen.lock().unwrap());
}

#[tokio::test]
async fn the_server_gets_the_fields_that_were_chosen() {
    let (web, seen) = listening().await;
    let mut settings = forward_auth(&web.address);
    http(&mut settings).request_headers = Some(vec!["cookie".to_owned()]);
    let agent = start(settings).await;
    lying().ask(&agent).await;
    expect![[r#"
        GET /auth?x=1
        cookie: session=1
        x-forwarded-method: GET
        x-forwarded-proto: https
        x-forwarded-host: shop.example
        x-forwarded-uri: /cart?id=7
        x-original-method: GET
        x-original-url: https://shop.example/cart?id=7
        x-forwarded-for: 192.0.2.7
        x-real-ip: 192.0.2.7
        b""
    "#]]
    .assert_eq(&seen.lock().unwrap());
}

#[tokio::test]
async fn a_body_is_told_where_it_is_asked_for() {
    let (web, seen) = listening().await;
    let events = vec![AgentEvent::RequestHeaders, AgentEvent::RequestBody];
    let agent = start(Settings { events, ..forward_auth(&web.address) }).await;
    let asked = Asked::post().fields(&[("Content-Type", "text/plain"), ("Content-Length", "999")]);
    let mut exchange = Exchange::default();
    assert_eq!(told(&asked.headers(&agent, &mut exchange).await), "allow\n");
    assert_eq!(*seen.lock().unwrap(), "", "it is asked once");
    let verdict = asked.body(&agent, Body::new(b"a=1", false), &mut exchange).await;
    assert_eq!(told(&verdict), "allow, done\n");
    expect![[r#"
        POST /auth?x=1
        content-type: text/plain
        x-forwarded-method: POST
        x-forwarded-proto: https
        x-forwarded-host: shop.example
        x-forwarded-uri: /cart?id=7
        x-original-method: POST
        x-original-url: https://shop.example/cart?id=7
        content-length: 3
        b"a=1"
    "#]]
    .assert_eq(&seen.lock().unwrap());
    let verdict = asked.body(&agent, Body::new(&[b'x'; 64], true), &mut exchange).await;
    assert_eq!(verdict.reason_text(), "the body is longer than the agent's `body-max`");
}

async fn check(
    (status, fields, body): (u16, &'static [(&'static str, &'static str)], &'static str),
    expected: Expect,
) {
    let web = Web::answering(status, fields, body).await;
    let mut settings = forward_auth(&web.address);
    http(&mut settings).response_headers =
        vec!["remote-user".to_owned(), "remote-groups".to_owned()];
    http(&mut settings).client_headers = vec!["set-cookie".to_owned()];
    let agent = start(settings).await;
    expected.assert_eq(&told(&lying().ask(&agent).await));
}

#[tokio::test]
async fn an_answer_of_2xx_lets_the_request_pass() {
    let fields = &[
        ("Remote-User", "ada"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-Other", "not chosen"),
    ];
    check(
        (200, fields, "a body that nobody gets"),
        expect![[r#"
            allow, done
              Remove request remote-user
              Add request remote-user: ada
              Remove request remote-groups
              Add response set-cookie: a=1
              Add response set-cookie: b=2
        "#]],
    )
    .await;
    check(
        (204, &[("Remote-Groups", "a"), ("Remote-Groups", "b")], ""),
        expect![[r#"
            allow, done
              Remove request remote-user
              Remove request remote-groups
              Add request remote-groups: a
              Add request remote-groups: b
        "#]],
    )
    .await;
}

#[tokio::test]
async fn every_other_answer_is_the_clients() {
    check(
        (302, &[("Location", "https://id.example/?rd=%2Fcart"), ("Set-Cookie", "state=1")], ""),
        expect![[r#"
            redirect 302 https://id.example/?rd=%2Fcart
              set-cookie: state=1
        "#]],
    )
    .await;
    let fields = &[
        ("WWW-Authenticate", "Basic realm=\"shop\""),
        ("Content-Type", "text/plain"),
        ("Connection", "x-private, close"),
        ("X-Private", "1"),
        ("Keep-Alive", "timeout=5"),
    ];
    check(
        (401, fields, "who are you?"),
        expect![[r#"
        block 401
          www-authenticate: Basic realm=\"shop\"
          content-type: text/plain
          body "who are you?"
    "#]],
    )
    .await;
    check(
        (500, &[], "oops"),
        expect![[r#"
        block 500
          body "oops"
    "#]],
    )
    .await;
    check(
        (304, &[], ""),
        expect![[r#"
        block 304
    "#]],
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_passed_on() {
    let web = Web::answering(403, &[], vec![b'x'; 1 << 20]).await;
    let agent = start(forward_auth(&web.address)).await;
    let verdict = Asked::get().ask(&agent).await;
    assert_eq!(told(&verdict), "abandoned: an answer that is too long to be passed on\n");
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let web = Web::answering(200, &[], "ok").await;
    let agent = start(forward_auth(&web.address)).await;
    for _ in 0..20 {
        assert_eq!(told(&Asked::get().ask(&agent).await), "allow, done\n");
        // A pool takes a connection back once its task has run.
        tokio::task::yield_now().await;
    }
    assert!(web.connections.load(Ordering::SeqCst) < 20);
}

#[tokio::test]
async fn a_server_that_closes_each_connection_is_asked_all_the_same() {
    let web = Web::answering(200, &[("Connection", "close")], "ok").await;
    let agent = start(forward_auth(&web.address)).await;
    for _ in 0..20 {
        assert_eq!(told(&Asked::get().ask(&agent).await), "allow, done\n");
    }
    assert_eq!(web.connections.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn a_server_that_hangs_is_not_waited_for() {
    // The kernel accepts, and nobody reads.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/auth", listener.local_addr().unwrap());
    let agent = start(Settings { timeout: IMPATIENCE, ..forward_auth(&address) }).await;
    assert_eq!(
        told(&Asked::get().ask(&agent).await),
        "abandoned: the service did not answer in time\n"
    );
}

#[tokio::test]
async fn nonsense_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/auth", listener.local_addr().unwrap());
    let nonsense = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH\r\n").await.unwrap();
        // What came unread would make the close a reset.
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    });
    let agent = start(forward_auth(&address)).await;
    assert_eq!(
        told(&Asked::get().ask(&agent).await),
        "abandoned: the service's answer broke off\n"
    );
    drop(agent);
    nonsense.await.unwrap();
}
