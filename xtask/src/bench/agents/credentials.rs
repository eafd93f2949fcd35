//! An API key and a token, made by other people's programs, with the files that an agent checks them by.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;

use crate::{Result, process};

/// What the load sends.
#[derive(Debug)]
pub struct Credentials {
    /// In `X-API-Key`.
    pub api_key: String,
    /// In `Authorization`.
    pub token: String,
}

/// How long a token is good for.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);

impl Credentials {
    /// Whose they are.
    pub const USER: &'static str = "bench";
    /// Who made the token.
    pub const ISSUER: &'static str = "bench-issuer";
    /// The file of API keys.
    pub const KEY_FILE: &'static str = "keys.txt";
    /// The file of the issuer's public key.
    pub const JWKS_FILE: &'static str = "jwks.json";

    /// Makes both, with their files in `folder`.
    pub fn make(folder: &Path) -> Result<Self> {
        Ok(Self { api_key: make_api_key(folder)?, token: make_token(folder)? })
    }
}

fn make_api_key(folder: &Path) -> Result<String> {
    let secret = process::output("openssl", &["rand", "-hex", "32"])?;
    let key = format!("slv_benchkey_{}", secret.trim());
    let file = folder.join("key");
    fs::write(&file, &key)?;
    let hash = process::capture(process::command("sha256sum").arg(&file))?;
    let hash = hash.split(' ').next().unwrap_or_default();
    let line = format!("benchkey sha256:{hash} never user={}\n", Credentials::USER);
    fs::write(folder.join(Credentials::KEY_FILE), line)?;
    Ok(key)
}

/// Ed25519, because openssl writes its keys and signatures as JOSE wants them. It is verified once.
fn make_token(folder: &Path) -> Result<String> {
    let (private, public) = (folder.join("ed25519.pem"), folder.join("ed25519.der"));
    openssl(&["genpkey", "-algorithm", "ed25519"], |it| it.arg("-out").arg(&private))?;
    openssl(&["pkey", "-pubout", "-outform", "DER"], |it| {
        it.arg("-in").arg(&private).arg("-out").arg(&public)
    })?;
    // RFC 8410: the key is what a SubjectPublicKeyInfo ends with.
    let der = fs::read(&public)?;
    let raw = der.last_chunk::<32>().ok_or("openssl wrote no Ed25519 key")?;
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": base64url(folder, raw)? });
    fs::write(folder.join(Credentials::JWKS_FILE), json!({ "keys": [key] }).to_string())?;

    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": "k" });
    let claims = json!({
        "iss": Credentials::ISSUER, "aud": "bench", "sub": Credentials::USER,
        "iat": now.as_secs(), "exp": (now + LIFETIME).as_secs(),
    });
    let header = base64url(folder, header.to_string().as_bytes())?;
    let claims = base64url(folder, claims.to_string().as_bytes())?;
    let text = format!("{header}.{claims}");
    let (message, signature) = (folder.join("message"), folder.join("signature"));
    fs::write(&message, &text)?;
    openssl(&["pkeyutl", "-sign", "-rawin"], |it| {
        it.arg("-inkey").arg(&private).arg("-in").arg(&message).arg("-out").arg(&signature)
    })?;
    Ok(format!("{text}.{}", base64url(folder, &fs::read(signature)?)?))
}

fn openssl(words: &[&str], rest: impl FnOnce(&mut Command) -> &mut Command) -> Result {
    let mut command = process::command("openssl");
    process::capture(rest(command.args(words))).map(drop)
}

fn base64url(folder: &Path, bytes: &[u8]) -> Result<String> {
    let file = folder.join("bytes");
    fs::write(&file, bytes)?;
    let text = process::capture(process::command("basenc").args(["--base64url", "-w0"]).arg(file))?;
    Ok(text.trim_end_matches(['=', '\n']).to_owned())
}
