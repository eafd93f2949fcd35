//! Services that hang, break off, talk nonsense or are not there.

use std::sync::{Arc, atomic::Ordering};

use prost_types::Duration as Wish;
use tokio::{net::TcpListener, time::sleep};

use super::{
    envoy::{CommonResponse, PhaseResponse, ProcessingResponse, Reply},
    ext_proc::answer,
    service::{Act, Service},
    *,
};

fn impatient(settings: Settings) -> Settings {
    Settings { timeout: IMPATIENCE, ..settings }
}

/// What comes of it if a service does this when it is asked, by both protocols.
async fn check(act: fn() -> Vec<Act>, expected: &str) {
    let is_late = expected.contains("in time");
    for settings in [ext_proc, ext_authz] {
        let service = Service::start(move |_, _| act()).await;
        let settings = settings(&service.address);
        let agent = start(if is_late { impatient(settings) } else { settings }).await;
        assert_eq!(told(&Asked::get().ask(&agent).await), expected);
    }
}

#[tokio::test]
async fn a_service_that_hangs_is_not_waited_for() {
    let late = "abandoned: the service did not answer in time\n";
    check(|| vec![Act::Hang], late).await;
}

#[tokio::test]
async fn half_a_message_is_waited_for_in_vain() {
    let late = "abandoned: the service did not answer in time\n";
    check(|| vec![Act::Garbage(b"\0\0\0\0\x09half"), Act::Hang], late).await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_a_failure() {
    let broken = "abandoned: the service's answer broke off\n";
    check(|| vec![Act::Reset], broken).await;
    check(|| vec![Act::HangUp], broken).await;
}

#[tokio::test]
async fn an_error_status_is_a_failure() {
    let refused = "abandoned: the service says that it failed\n";
    check(|| vec![Act::End(14)], refused).await;
    check(|| vec![Act::End(7)], refused).await;
}

#[tokio::test]
async fn nonsense_is_a_failure() {
    let nonsense = "abandoned: the service says that it failed\n";
    // A length that nobody has room for, an encoding that nobody offered, and no message at all.
    check(|| vec![Act::Garbage(b"\0\xff\xff\xff\xffx")], nonsense).await;
    check(|| vec![Act::Garbage(b"\x01\0\0\0\x01x")], nonsense).await;
    check(|| vec![Act::Garbage(b"\0\0\0\0\x03\xff\xff\xff")], nonsense).await;
}

#[tokio::test]
async fn an_answer_to_another_question_is_a_failure() {
    let response = Some(Reply::ResponseBody(PhaseResponse::default()));
    for answer in [
        ProcessingResponse { response, ..ProcessingResponse::default() },
        ProcessingResponse::default(),
    ] {
        let service = Service::answering(answer).await;
        let agent = start(ext_proc(&service.address)).await;
        assert_eq!(
            told(&Asked::get().ask(&agent).await),
            "abandoned: an answer to something that was not asked\n"
        );
    }
}

#[tokio::test]
async fn a_service_that_ends_a_conversation_in_order_has_no_more_to_say() {
    let service = Service::start(|number, question| match number {
        0 => vec![Act::say(&answer(&question, CommonResponse::default()))],
        _ => vec![Act::End(0)],
    })
    .await;
    let agent = start(ext_proc(&service.address)).await;
    let (asked, mut exchange) = (Asked::post(), Exchange::default());
    assert_eq!(told(&asked.headers(&agent, &mut exchange).await), "allow\n");
    let verdict = asked.body(&agent, Body::new(b"x", false), &mut exchange).await;
    assert_eq!(told(&verdict), "allow, done\n");
    let verdict = asked.response(&agent, &Responded(200, &[]), &mut exchange).await;
    assert_eq!(told(&verdict), "allow, done\n");
}

#[tokio::test]
async fn a_wish_for_more_time_is_heard_and_not_granted() {
    let wish = || {
        let override_message_timeout = Some(Wish { seconds: 9, nanos: 0 });
        Act::say(&ProcessingResponse { override_message_timeout, ..Default::default() })
    };
    let service = Service::start(move |_, question| {
        vec![wish(), Act::say(&answer(&question, CommonResponse::default()))]
    })
    .await;
    let agent = start(ext_proc(&service.address)).await;
    assert_eq!(told(&Asked::get().ask(&agent).await), "allow\n");
    let service = Service::start(move |_, _| vec![wish()]).await;
    let agent = start(impatient(ext_proc(&service.address))).await;
    let late = "abandoned: the service did not answer in time\n";
    assert_eq!(told(&Asked::get().ask(&agent).await), late);
}

#[tokio::test]
async fn a_stream_that_fails_between_two_questions_fails_the_second() {
    let service = Service::start(|number, question| match number {
        0 => vec![Act::say(&answer(&question, CommonResponse::default()))],
        _ => vec![Act::Reset],
    })
    .await;
    let agent = start(ext_proc(&service.address)).await;
    let (asked, mut exchange) = (Asked::post(), Exchange::default());
    asked.headers(&agent, &mut exchange).await;
    let verdict = asked.body(&agent, Body::new(b"x", false), &mut exchange).await;
    assert_eq!(told(&verdict), "abandoned: the service's answer broke off\n");
}

#[tokio::test]
async fn nobody_there_is_found_out_at_once_and_not_tried_for_each_request() {
    // A port that nobody listens on, until somebody does.
    let place = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let agent = start(ext_authz(&format!("http://{address}"))).await;
    let away = "abandoned: the service cannot be reached\n";
    for _ in 0..50 {
        assert_eq!(told(&Asked::get().ask(&agent).await), away);
    }
    let listener = TcpListener::bind(address).await.unwrap();
    let service = Service::on(listener, |_, _| {
        // A status of zero, and nothing else.
        vec![Act::Say(bytes::Bytes::from_static(b"\x0a\0")), Act::End(0)]
    });
    let back = async {
        while told(&Asked::get().ask(&agent).await) == away {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.unwrap();
    assert_eq!(service.calls.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_was_lost_is_made_anew() {
    let service =
        Service::start(|_, question| vec![Act::say(&answer(&question, CommonResponse::default()))])
            .await;
    let agent = start(ext_proc(&service.address)).await;
    assert_eq!(told(&Asked::get().ask(&agent).await), "allow\n");
    service.hang_up();
    let again = async {
        while told(&Asked::get().ask(&agent).await) != "allow\n" {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
    assert!(service.calls.connections.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn calls_share_a_connection() {
    let service =
        Service::start(|_, question| vec![Act::say(&answer(&question, CommonResponse::default()))])
            .await;
    let agent = Arc::new(start(ext_proc(&service.address)).await);
    let asks = (0..64).map(|_| {
        let agent = agent.clone();
        async move {
            let mut exchange = Exchange::default();
            let verdict = Asked::get().headers(&agent, &mut exchange).await;
            assert_eq!(told(&verdict), "allow\n");
            exchange
        }
    });
    let local = tokio::task::LocalSet::new();
    let tasks: Vec<_> = asks.map(|ask| local.spawn_local(ask)).collect();
    local.await;
    // Each is kept until all have been answered.
    for task in tasks {
        task.await.unwrap();
    }
    let calls = &service.calls;
    assert_eq!(calls.streams.load(Ordering::SeqCst), 64);
    assert_eq!(calls.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_loses_interest_ends_the_conversation() {
    let service = Service::start(|_, _| vec![Act::Hang]).await;
    let agent = start(ext_proc(&service.address)).await;
    let asked = Asked::get();
    {
        let ask = asked.ask(&agent);
        tokio::pin!(ask);
        let seen = async {
            while service.calls.streams.load(Ordering::SeqCst) == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            verdict = &mut ask => panic!("nobody answers: {}", told(&verdict)),
            () = seen => {}
        }
        assert_eq!(service.calls.ended.load(Ordering::SeqCst), 0);
    }
    let ended = async {
        while service.calls.ended.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}
