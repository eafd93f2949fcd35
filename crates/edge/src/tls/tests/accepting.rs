//! How a connection begins.

use super::*;

#[test]
fn plain_http_is_told_from_tls() {
    for first in [b"GET / HTTP/1.1".as_slice(), b"PRI * HTTP/2.0", b"options *"] {
        assert!(looks_like_http(first));
    }
    for first in [b"".as_slice(), &[22, 3, 1], &[0x80, 0x2e], b"\r\nGET", b"\0"] {
        assert!(!looks_like_http(first));
    }
}

#[tokio::test]
async fn accept_gives_plain_http_back() {
    let authority = Authority::new();
    let settings = authority.settings(vec![authority.issue("a", &["a.test"])]);
    let config = ServerTls::load(&settings, true, true).unwrap().server_config();
    let (mut client, server) = duplex(4096);
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let outcome = accept(server, Vec::new(), config, soon()).await;
    let Err(AcceptError::PlainHttp { mut stream }) = outcome else { panic!("{outcome:?}") };
    stream.write_all(b"clear text").await.unwrap();
    drop(stream);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "clear text", "no alert in front of it");
}

#[tokio::test]
async fn accept_ends_by_itself() {
    let authority = Authority::new();
    let settings = authority.settings(vec![authority.issue("a", &["a.test"])]);
    let config = ServerTls::load(&settings, true, true).unwrap().server_config();

    let (_client, server) = duplex(4096);
    let now = tokio::time::Instant::now();
    let late = accept(server, Vec::new(), config.clone(), now).await.unwrap_err();
    assert_eq!(late.reason(), "timeout");

    let (client, server) = duplex(4096);
    drop(client);
    let closed = accept(server, Vec::new(), config.clone(), soon()).await.unwrap_err();
    assert_eq!(closed.reason(), "closed");

    // A record of alert type where a ClientHello belongs, wholly read before rustls sees it.
    let (mut client, server) = duplex(4096);
    let garbage = vec![22, 3, 1, 0, 4, 99, 0, 0, 0];
    let failed = accept(server, garbage, config, soon()).await.unwrap_err();
    assert_eq!(failed.reason(), "tls");
    let mut alert = Vec::new();
    client.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert[..3], [21, 3, 3], "the client is told");
}
