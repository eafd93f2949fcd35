//! A push service on loopback, and a browser that opens what it delivers, by the receiving side of RFC 8291.

use std::{convert::Infallible, sync::Arc, time::Duration};

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
    hkdf::{HKDF_SHA256, KeyType, Salt},
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use selvedge_crdt::session::WakeUp;
use selvedge_sync::Push;
use selvedge_webpush::{Sender, Settings, VapidKey};
use tokio::{net::TcpListener, sync::mpsc};

/// What the service was told to deliver.
pub struct Delivery {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub struct PushService {
    port: u16,
    key: Vec<u8>,
    told: mpsc::Receiver<Delivery>,
}

impl PushService {
    /// A service that answers each question with the next of these, and with the last of them from then on.
    pub async fn start(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, told) = mpsc::channel(64);
        let answers: Vec<u16> = answers.iter().rev().copied().collect();
        tokio::spawn(serve(listener, Arc::new(std::sync::Mutex::new(answers)), tell));
        Self { port, key: VapidKey::generate(), told }
    }

    /// Relays that ask it: at once, and as often as they like.
    pub fn push(&self) -> Push {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let trust = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let settings = Settings {
            contact: "mailto:ops@example.org".to_owned(),
            services: vec![format!("http://127.0.0.1:{}", self.port).parse().unwrap()],
            is_private_allowed: false,
            timeout: Duration::from_secs(30),
        };
        let key = VapidKey::from_pkcs8(&self.key).unwrap();
        Push {
            sender: Arc::new(Sender::new(key, settings, trust)),
            after: Duration::ZERO,
            every: Duration::ZERO,
            subscriptions_max: 100,
            renew: Duration::ZERO,
        }
    }

    /// The next message that it is to deliver.
    pub async fn next(&mut self) -> Delivery {
        self.told.recv().await.expect("it listens")
    }

    /// Whether nothing came so far.
    pub fn is_idle(&mut self) -> bool {
        self.told.try_recv().is_err()
    }
}

async fn serve(
    listener: TcpListener,
    answers: Arc<std::sync::Mutex<Vec<u16>>>,
    tell: mpsc::Sender<Delivery>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tell, answers) = (tell.clone(), answers.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (tell, answers) = (tell.clone(), answers.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let told = Delivery { path: head.uri.path().into(), headers: head.headers, body };
                tell.send(told).await.unwrap();
                let status = {
                    let mut answers = answers.lock().unwrap();
                    if answers.len() > 1 { answers.pop().unwrap() } else { answers[0] }
                };
                let answer = Response::builder().status(StatusCode::from_u16(status).unwrap());
                Ok::<_, Infallible>(answer.body(Empty::<Bytes>::new()).unwrap())
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// A browser that subscribed.
pub struct Browser {
    key: PrivateKey,
    pub wake_up: WakeUp,
}

impl Browser {
    pub fn new(service: &PushService, name: &str) -> Self {
        let key = PrivateKey::generate(&ECDH_P256).unwrap();
        let public = key.compute_public_key().unwrap().as_ref().try_into().unwrap();
        let endpoint = format!("http://127.0.0.1:{}/{name}", service.port);
        Self { key, wake_up: WakeUp { endpoint, key: public, secret: [5; 16] } }
    }

    /// What a message says (RFC 8188, section 2; RFC 8291, section 3).
    pub fn open(&self, body: &[u8]) -> String {
        let (salt, rest) = body.split_at(16);
        let (size, rest) = rest.split_at(4);
        assert!(size == 4096_u32.to_be_bytes() && body.len() <= 4096);
        assert_eq!(rest[0], 65);
        let (sender, sealed) = rest[1..].split_at(65);
        let secret = agree(&self.key, UnparsedPublicKey::new(&ECDH_P256, sender), (), |shared| {
            let info = [&b"WebPush: info\0"[..], &self.wake_up.key, sender].concat();
            Ok(derive::<32>(&self.wake_up.secret, shared, &info))
        });
        let secret = secret.unwrap();
        let key = derive::<16>(salt, &secret, b"Content-Encoding: aes128gcm\0");
        let nonce = derive::<12>(salt, &secret, b"Content-Encoding: nonce\0");
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let padded = cipher.open_in_place(nonce, Aad::empty(), &mut sealed).unwrap();
        let end = padded.iter().rposition(|byte| *byte != 0).unwrap();
        assert_eq!(padded[end], 2, "the last record");
        String::from_utf8(padded[..end].to_vec()).unwrap()
    }
}

fn derive<const N: usize>(salt: &[u8], secret: &[u8], info: &[u8]) -> [u8; N] {
    struct Len(usize);
    impl KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let prk = Salt::new(HKDF_SHA256, salt).extract(secret);
    let mut out = [0; N];
    prk.expand(&[info], Len(N)).unwrap().fill(&mut out).unwrap();
    out
}
