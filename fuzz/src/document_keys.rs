//! Everything of documents' keys that comes from outside: tokens, keys of issuers, rosters, sealed bytes, links, codes.

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signer, SigningKey};
use selvedge_crdt::session::{DeviceId, DocumentId, KEYS_BYTES_MAX, Record, Signature};
use selvedge_seal::{
    Anchor, Device, Draft, DraftError, Epoch, EpochKey, Keyring, Link, Recovery, RecoveryCode,
    Roster, RosterError, SnapshotOpener, Unlock,
    token::{Issuer, IssuerKey, Issuers},
};

/// Seconds since 1970 at which tokens are judged.
const NOW: u64 = 1_800_000_000;

/// Nothing is believed that was not sealed or signed; what was signed is refused, or read to the one meaning that it has.
///
/// The first byte says what the rest is.
pub fn document_keys(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind {
        0 => claims(bytes),
        1 => header(bytes),
        2 => roster(bytes),
        3 => sealed(bytes),
        _ => {
            if let Ok(text) = str::from_utf8(bytes) {
                texts(text);
            }
        }
    }
}

fn issuer() -> IssuerKey {
    IssuerKey::from_seed([1; 32])
}

fn issuers() -> Issuers {
    let mut issuers = Issuers::default();
    issuers.add(issuer().public()).expect("the first");
    issuers
}

/// A token as the issuer would sign it.
fn signed(header: &[u8], claims: &[u8]) -> String {
    let signed = format!("{}.{}", BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(claims));
    let signature = SigningKey::from_bytes(&[1; 32]).sign(signed.as_bytes()).to_bytes();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn claims(bytes: &[u8]) {
    let token = signed(br#"{"alg":"EdDSA"}"#, bytes);
    let Ok(capability) = issuers().verify(&token, NOW) else { return };
    let again = issuer().mint(&capability).expect("what is taken can be signed");
    assert_eq!(issuers().verify(&again, NOW), Ok(capability), "it is the same again");
}

fn header(bytes: &[u8]) {
    let verdict = issuers().verify(&signed(bytes, b"{}"), NOW);
    assert!(verdict.is_err(), "without claims it says nothing");
}

fn roster(members: &[u8]) {
    if members.len() > KEYS_BYTES_MAX {
        return;
    }
    let document = DocumentId::new("acme", "notes").expect("a name");
    let signing = SigningKey::from_bytes(&[2; 32]);
    let device = DeviceId(signing.verifying_key().to_bytes());
    let unsigned = Record::Keys { device, epoch: 1, members, signature: Signature([0; 64]) };
    let signature = Signature(signing.sign(&unsigned.signed_bytes(&document)).to_bytes());
    let record = Record::Keys { device, epoch: 1, members, signature };
    let Ok(roster) = Roster::first(&document, &record, &Anchor::Founder(device)) else { return };
    let again = Roster::first(&document, &record, &Anchor::Roster(roster.hash()));
    assert_eq!(again.as_ref(), Ok(&roster), "its hash is an anchor");
    assert_eq!(roster.follow(&record), Err(RosterError::Past), "nothing follows itself");
    for member in roster.members() {
        assert_eq!(roster.member(&member.device), Some(member), "members are found");
    }
    let mut keyring = Keyring::new(&document);
    let unlocked = roster.unlock(&Device::from_seed([3; 32]), &mut keyring);
    let stranger = roster.member(&Device::from_seed([3; 32]).id()).is_none();
    assert!(!stranger || unlocked == Err(Unlock::NotMember), "strangers get nothing");
    assert_eq!(Draft::after(&roster, &keyring).err(), Some(DraftError::NoKey));
}

fn sealed(bytes: &[u8]) {
    let document = DocumentId::new("acme", "notes").expect("a name");
    let key = EpochKey::new(&document, Epoch::MIN, [4; 32]);
    assert!(key.open_batch(bytes).is_err(), "nobody sealed this");
    assert!(key.open_presence(bytes).is_err(), "nobody sealed this");
    let mut opener = SnapshotOpener::new(&key);
    let pushed = bytes.chunks(1000).try_for_each(|piece| opener.push(piece));
    assert!(pushed.is_err() || opener.finish().is_err(), "nobody sealed this");
    assert!(Recovery::open(&RecoveryCode::new([5; 32]), bytes).is_err(), "nobody sealed this");
}

fn texts(text: &str) {
    if let Ok(link) = Link::parse(text) {
        assert_eq!(*link.text(), text, "a link has one spelling");
    }
    if let Ok(code) = RecoveryCode::parse(text) {
        assert_eq!(RecoveryCode::parse(&code.text()), Ok(code), "a code comes back");
    }
    if let Ok(key) = Issuer::parse(text) {
        assert_eq!(Issuer::parse(&key.to_jwk()).as_ref(), Ok(&key), "a key comes back");
    }
    if let Ok(key) = IssuerKey::parse(text) {
        let again = IssuerKey::parse(&key.to_jwk()).expect("it was written here");
        assert_eq!(again.public(), key.public(), "a key comes back");
    }
    assert!(Issuers::parse(text).is_err() || text.contains("keys"));
    assert!(issuers().verify(text, NOW).is_err(), "nobody signed this");
}
