//! Who may do what, and who sees whom.

use expect_test::expect;
use http::Method;
use selvedge_identity::{Caller, Principal};
use selvedge_streams::{CODES, Settings};

use crate::world::{World, request, service};

fn limited(scopes: &[&str]) -> Caller {
    let mut caller = service("limited");
    caller.scopes = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    caller
}

#[tokio::test]
async fn each_method_takes_its_scope() {
    let world = World::new(Settings::default());
    world.create("a", "text/plain").await;
    let cases = [
        (Method::GET, "streams:read", 200),
        (Method::HEAD, "streams:read", 200),
        (Method::PUT, "streams:write", 409),
        (Method::POST, "streams:write", 400),
        (Method::DELETE, "streams:delete", 204),
    ];
    for (method, scope, expected) in cases {
        let others = ["streams:read", "streams:write", "streams:delete"]
            .into_iter()
            .filter(|other| *other != scope);
        let others: Vec<_> = others.collect();
        let ask = |caller| world.ask(caller, request(method.clone(), "a", &[], ""));
        assert_eq!(ask(Caller::anonymous()).await.status, 401, "{method}");
        assert_eq!(ask(limited(&others)).await.status, 403, "{method}");
        assert_eq!(ask(limited(&[scope])).await.status, expected, "{method}");
    }
}

#[tokio::test]
async fn tenants_see_their_own() {
    let world = World::new(Settings { streams_per_tenant_max: 2, ..Settings::default() });
    let of = |tenant: &str| Caller { tenant: Some(tenant.to_owned()), ..service("app") };
    let put = |path, body| request(Method::PUT, path, &[("content-type", "text/plain")], body);
    let get = |path| request(Method::GET, path, &[], "");
    world.ask(of("acme"), put("a", "acme's")).await;
    world.ask(of("zoo"), put("a", "zoo's")).await;
    world.create("a", "text/plain").await;
    assert_eq!(world.ask(of("acme"), get("a")).await.body, "acme's");
    assert_eq!(world.ask(of("zoo"), get("a")).await.body, "zoo's");
    assert_eq!(world.read("a").await.body, "");
    let fork = request(Method::PUT, "b", &[("stream-forked-from", "zoo/a")], "");
    assert_eq!(world.ask(of("acme"), fork).await.status, 404);
    assert_eq!(world.ask(of("acme"), put("b", "")).await.status, 201);
    assert_eq!(world.ask(of("acme"), put("c", "")).await.status, 429);
    assert_eq!(world.ask(of("zoo"), put("c", "")).await.status, 201);
}

#[tokio::test]
async fn streams_are_listed_by_path() {
    let world = World::new(Settings::default());
    for path in ["a/1", "a/2", "b/1"] {
        world.create(path, "application/json").await;
    }
    let list = |query: &str| {
        let mut request = request(Method::GET, "", &[], "");
        *request.uri_mut() = format!("/streams{query}").parse().unwrap();
        world.ask(service("test"), request)
    };
    expect![[r#"
        {"after":"a/1","streams":[{"closed":false,"content_type":"application/json","next_offset":"0000000000000000_0000000000000000","path":"a/1"}]}
    "#]]
    .assert_eq(&list("?prefix=a/&limit=1").await.body);
    expect![[r#"
        {"after":null,"streams":[{"closed":false,"content_type":"application/json","next_offset":"0000000000000000_0000000000000000","path":"a/2"}]}
    "#]]
    .assert_eq(&list("?prefix=a%2F&after=a/1").await.body);
    assert_eq!(list("?limit=x").await.status, 400);
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_by_name() {
    let world = World::new(Settings {
        origins: vec!["https://app.example".to_owned()],
        ..Settings::default()
    });
    world.create("a", "text/plain").await;
    for (origin, expected) in
        [("https://app.example", "https://app.example"), ("https://evil.example", "")]
    {
        let answer = world.send(Method::GET, "a", &[("origin", origin)], "").await;
        assert_eq!(answer.field("access-control-allow-origin"), expected);
    }
    let preflight = request(Method::OPTIONS, "a", &[("origin", "https://app.example")], "");
    let answer = world.ask(Caller::anonymous(), preflight).await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("access-control-allow-origin")),
        (204, "https://app.example")
    );
}

#[tokio::test]
async fn refusals_are_problems_with_a_code() {
    let world = World::new(Settings::default());
    let refused = world.read("nowhere").await;
    expect![[r#"
        {"code":"streams/missing","detail":"Create it with PUT.","status":404,"title":"There is no such stream","type":"urn:selvedge:problem:streams/missing"}
    "#]]
    .assert_eq(&refused.body);
    assert_eq!(refused.field("content-type"), "application/problem+json");
    assert!(
        CODES
            .iter()
            .all(|(status, code, _)| (400..600).contains(status) && code.starts_with("streams/"))
    );
    let user = Caller {
        principal: Principal::User { id: "u".to_owned(), roles: vec![] },
        ..Caller::anonymous()
    };
    assert_eq!(world.ask(user, request(Method::GET, "nowhere", &[], "")).await.status, 403);
}
