//! Much at once: large bodies, many clients. Each test has a process of its own, whose memory is its
//! own too.

use std::{
    env, fs,
    io::Write,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use crate::{
    client::Client,
    harness::{Bench, HTTP, before},
    peer::{self, connect, request, run},
    upstream::Upstream,
};

/// Names the test that a process was started for.
const ALONE: &str = "SELVEDGE_IT_ALONE";

/// Whether this process runs `test` alone, with at most `files` descriptors. If not, one is started
/// that does, and has to succeed.
#[track_caller]
pub(crate) fn is_alone(test: &str, files: usize) -> bool {
    if env::var(ALONE).is_ok_and(|name| name == test) {
        return true;
    }
    let script = format!("ulimit -n {files} && exec \"$0\" --exact {test} --nocapture");
    let child = Command::new("sh")
        .args(["-c", &script])
        .arg(env::current_exe().unwrap())
        .env(ALONE, test)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    let error = String::from_utf8_lossy(&child.stderr).into_owned();
    assert!(child.status.success() && said.contains("1 passed"), "{said}\n{error}");
    false
}

/// The most memory that this process ever used, in MiB.
fn memory_peak_mib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() >> 10
}

/// Bytes of a large body.
const LARGE: usize = 100 << 20;
/// What the kernel may hold in the buffers of four sockets, with room to spare.
const ON_ITS_WAY_MAX: usize = 64 << 20;
const MEMORY_MAX_MIB: usize = 64;

fn front(upstream: &Upstream) -> Bench {
    Bench::start(&format!(
        "listener \"l\" {{ address \"127.0.0.1:0\"; protocols \"http/1.1\" \"h2\" }}\n\
         upstream \"u\" {{ target \"{}\" }}\n\
         route \"r\" {{ upstream \"u\"; limits {{ body \"200MiB\" }} }}",
        upstream.target()
    ))
}

/// Takes a large request once it is told to, and answers how much came.
fn reluctant() -> (Upstream, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let upstream = Upstream::start(move |mut peer| {
        peer.head().unwrap();
        wait.lock().unwrap().recv().unwrap();
        let mut taken = 0;
        while taken < LARGE {
            let part = (LARGE - taken).min(1 << 20);
            taken += peer.exactly(part).unwrap().len();
        }
        peer.answer(taken.to_string().as_bytes());
    });
    (upstream, go)
}

/// Waits until a counter stands still; returns where.
fn settled(counter: &AtomicUsize) -> usize {
    let mut before = usize::MAX;
    loop {
        thread::sleep(Duration::from_millis(300));
        let now = counter.load(SeqCst);
        if now == before && now > 0 {
            return now;
        }
        before = now;
    }
}

#[test]
fn an_upload_waits_for_the_upstream() {
    if !is_alone("heavy::an_upload_waits_for_the_upstream", 256) {
        return;
    }
    let (upstream, go) = reluctant();
    let bench = front(&upstream);
    let mut client = bench.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {LARGE}\r\n\r\n"));
    let sent = Arc::new(AtomicUsize::new(0));
    let (counter, mut writer) = (sent.clone(), client.writer());
    let sender = thread::spawn(move || {
        let chunk = vec![b'x'; 64 << 10];
        while counter.load(SeqCst) < LARGE {
            writer.write_all(&chunk).unwrap();
            counter.fetch_add(chunk.len(), SeqCst);
        }
    });
    let held = settled(&sent);
    assert!(held < ON_ITS_WAY_MAX, "{held} bytes were taken while nobody read them");
    go.send(()).unwrap();
    assert_eq!(client.response().text(), LARGE.to_string());
    sender.join().unwrap();
    let peak = memory_peak_mib();
    assert!(peak < MEMORY_MAX_MIB, "{peak} MiB");
}

/// Sends a large response; counts what it got rid of.
fn generous(sent: Arc<AtomicUsize>) -> Upstream {
    Upstream::start(move |mut peer| {
        peer.request().unwrap();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"));
        let chunk = vec![b'x'; 64 << 10];
        for _ in 0..LARGE / chunk.len() {
            if !peer.send(&chunk) {
                return;
            }
            sent.fetch_add(chunk.len(), SeqCst);
        }
    })
}

#[test]
fn a_download_waits_for_the_client() {
    if !is_alone("heavy::a_download_waits_for_the_client", 256) {
        return;
    }
    let sent = Arc::new(AtomicUsize::new(0));
    let upstream = generous(sent.clone());
    let bench = front(&upstream);
    let mut client = bench.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.read_head().unwrap().field("content-length"), Some(&*LARGE.to_string()));
    let held = settled(&sent);
    assert!(held < ON_ITS_WAY_MAX, "{held} bytes were taken while nobody read them");
    for _ in 0..LARGE >> 20 {
        assert_eq!(client.exactly(1 << 20), [b'x'; 1 << 20]);
    }
    let peak = memory_peak_mib();
    assert!(peak < MEMORY_MAX_MIB, "{peak} MiB");
}

#[test]
fn http2_streams_wait_as_well() {
    if !is_alone("heavy::http2_streams_wait_as_well", 256) {
        return;
    }
    let (slow, go) = reluctant();
    let bench = front(&slow);
    let address = bench.address();
    run(async {
        let mut send = connect(address).await;
        let mut post = request("POST", "/");
        post.headers_mut().insert("content-length", LARGE.into());
        let (response, mut stream) = send.send_request(post, false).unwrap();
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = sent.clone();
        let sender = tokio::spawn(async move {
            let chunk = bytes::Bytes::from(vec![b'x'; 64 << 10]);
            for _ in 0..LARGE / chunk.len() {
                peer::send(&mut stream, chunk.clone()).await.unwrap();
                counter.fetch_add(chunk.len(), SeqCst);
            }
            stream.send_data(bytes::Bytes::new(), true).unwrap();
        });
        let counter = sent.clone();
        let held = tokio::task::spawn_blocking(move || settled(&counter)).await.unwrap();
        assert!(held < ON_ITS_WAY_MAX, "{held} bytes were taken while nobody read them");
        go.send(()).unwrap();
        let answer = peer::whole(response.await.unwrap()).await.unwrap();
        assert_eq!(answer.text(), LARGE.to_string());
        sender.await.unwrap();
    });
    let sent = Arc::new(AtomicUsize::new(0));
    let fast = generous(sent.clone());
    let bench = front(&fast);
    run(async {
        let mut send = connect(bench.address()).await;
        let (response, _) = send.send_request(request("GET", "/"), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let counter = sent.clone();
        let held = tokio::task::spawn_blocking(move || settled(&counter)).await.unwrap();
        assert!(held < ON_ITS_WAY_MAX, "{held} bytes were taken while nobody read them");
        let mut count = 0;
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            count += data.len();
        }
        assert_eq!(count, LARGE);
    });
    let peak = memory_peak_mib();
    assert!(peak < MEMORY_MAX_MIB, "{peak} MiB");
}

#[test]
fn a_thousand_slow_clients_keep_nobody_waiting() {
    if !is_alone("heavy::a_thousand_slow_clients_keep_nobody_waiting", 8192) {
        return;
    }
    let upstream = Upstream::echo();
    let bench = Bench::start(&format!(
        "{HTTP}{}limits {{ connections-per-address 2000 }}\n",
        before(&upstream.target(), "")
    ));
    let mut slow: Vec<Client> = (0..1000).map(|_| bench.connect()).collect();
    for client in &mut slow {
        client.send("GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ");
    }
    let mut client = bench.connect();
    for round in 0..10 {
        for slow in &mut slow {
            slow.send("x");
        }
        for n in 0..10 {
            let body = format!("{round}-{n}");
            client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n{body}"));
            assert_eq!(client.response().text(), body);
        }
    }
    assert_eq!((bench.connections(), upstream.connections()), (1001, 1));
    for slow in &mut slow {
        slow.send("\r\n\r\n");
    }
    for slow in &mut slow {
        assert_eq!(slow.response().status, 200);
    }
    let peak = memory_peak_mib();
    assert!(peak < 160, "{peak} MiB");
}
