//! The agent as a process has it: behind its socket, with the protocol between.

use std::{
    fs,
    os::unix::net::{UnixListener, UnixStream},
    thread,
};

use expect_test::expect;
use selvedge_agent::{AttributesBuf, Options, RequestHeadBuf, RequestLine, TestEdge, serve_until};
use selvedge_agents::auth::Auth;
use selvedge_config::auth::Keys;
use serde_json::json;
use tokio::sync::oneshot;

use super::{
    claims, settings,
    signer::{Signer, set},
    told,
};

#[test]
fn a_verdict_crosses_the_socket() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new("k"));
    let (file, socket) = (folder.path().join("jwks.json"), folder.path().join("auth.sock"));
    fs::write(&file, set(&[&signer])).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let serving = thread::spawn(|| {
        serve_until::<Auth>(Options::new("auth", "test"), listener, async {
            let _ = ended.await;
        })
    });

    let settings = serde_json::to_string(&settings(Keys::File(file))).unwrap();
    let mut edge = TestEdge::over(UnixStream::connect(&socket).unwrap(), &settings).unwrap();
    let mut ask = |authorization: &str| {
        let mut head = RequestHeadBuf::default();
        let line = RequestLine { method: "GET", target: "/", ..RequestLine::default() };
        head.start(line).push("authorization", authorization.as_bytes());
        let mut attributes = AttributesBuf::default();
        attributes.push_route_option("scopes", "write");
        told(&edge.ask(&attributes, &head).unwrap())
    };
    expect![[r#"
        allow
        x-user-id: u-1
        x-user-role: editor
        user = u-1
        roles = editor
        scopes = read,write
    "#]]
    .assert_eq(&ask(&format!("Bearer {}", signer.sign(&claims(json!({}))))));
    expect![[r#"
        403 more rights are needed here
        www-authenticate: Bearer realm="test", error="insufficient_scope", error_description="more rights are needed here", scope="write"
    "#]]
        .assert_eq(&ask(&format!("Bearer {}", signer.sign(&claims(json!({ "scope": "read" }))))));

    drop(edge);
    end.send(()).unwrap();
    serving.join().unwrap().unwrap();
}
