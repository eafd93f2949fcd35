//! What becomes of responses.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::mpsc,
    task::Poll,
};

use expect_test::expect;

use super::*;

/// A page with a text on it.
fn page(text: &str) -> Message {
    Message::response(200)
        .field("content-type", "text/html; charset=utf-8")
        .body(format!("<p>{text}</p>"))
}

#[track_caller]
fn check_response(nodes: &str, response: Message, expected: Expect) {
    expected.assert_eq(&said(&start(nodes), &get("/"), Some(&response)));
}

/// What a database says of a mistake.
const LEAK: &str = "ORA-01756: quoted string not properly terminated";

#[test]
fn nothing_is_asked_about_responses_unless_wanted() {
    check_response(
        "",
        page(LEAK),
        expect![[r#"
        request head: allow, done
          value waf-score: 0
    "#]],
    );
}

#[test]
fn a_leak_is_kept_back_or_hidden_or_reported() {
    let agent = start(
        "responses #true; block-response-at 10\nprofile \"mask\" { mask #true }\n\
         profile \"detect\" { mode \"detect\"; mask #true }",
    );
    let ask = |profile: Option<&str>, response: &Message| {
        let request = get("/");
        let request = profile.iter().fold(request, |request, id| request.option("profile", id));
        let said = said(&agent, &request, Some(response));
        let (before, said) = said.split_once("response head: ").unwrap();
        assert!(before.contains("  Remove accept-encoding\n"), "{before}");
        said.to_owned()
    };
    let finding = "  finding leak/oracle-error: The response holds an error of Oracle.: \
                   RESPONSE_BODY, bytes 3 to 13";

    let blocked = ask(None, &page(LEAK));
    assert!(blocked.starts_with("allow\nresponse body: block 502\n"), "{blocked}");
    assert!(blocked.contains("waf/response") && blocked.contains(finding), "{blocked}");

    let hidden = ask(Some("mask"), &page(LEAK));
    assert!(hidden.starts_with("allow\nresponse body: allow, done\n"), "{hidden}");
    assert!(hidden.contains("  instead: <p>**********"), "{hidden}");
    assert!(!hidden.contains("instead: <p>ORA") && hidden.contains(finding), "{hidden}");

    let reported = ask(Some("detect"), &page(LEAK));
    assert!(reported.starts_with("allow\nresponse body: allow, done\n"), "{reported}");
    assert!(!reported.contains("instead") && reported.contains(finding), "{reported}");

    assert_eq!(ask(Some("mask"), &page("hello")), "allow\nresponse body: allow, done\n");
    let stream = Message::response(200).field("content-type", "text/event-stream").body(LEAK);
    assert_eq!(ask(None, &stream), "allow, done\n");
    let image = Message::response(200).field("content-type", "image/png").body(LEAK);
    assert_eq!(ask(None, &image), "allow, done\n");
}

#[test]
fn hiding_what_a_response_gives_away_keeps_no_other_exchange_waiting() {
    let agent = start("responses #true; block-response-at 10; mask #true");
    let runtime = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        // The only worker is busy until it is told otherwise.
        let (release, busy) = mpsc::channel::<()>();
        let worker = tokio::task::spawn_blocking(move || busy.recv());
        let (request, response) = (get("/"), page(LEAK));
        let mut masking = pin!(ask(&agent, &request, Some(&response)));
        let waits = poll_fn(|context| Poll::Ready(masking.as_mut().poll(context).is_pending()));
        assert!(waits.await, "it is hidden on the thread that speaks to the edge");
        let other = ask(&agent, &get(INJECTION), None).await;
        assert!(other.starts_with("request head: block 403"), "{other}");
        drop(release);
        worker.await.unwrap().unwrap_err();
        let said = masking.await;
        assert!(said.contains("  instead: <p>**********"), "{said}");
    });
}
