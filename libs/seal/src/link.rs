//! Links: whoever opens one is a member.

use std::{error::Error, fmt};

use data_encoding::BASE64URL_NOPAD;
use hkdf::Hkdf;
use selvedge_crdt::{
    Malformed, Reader, put_varint,
    session::{DocumentId, TOKEN_BYTES_MAX},
};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{SECRET_BYTES, device::Device, epoch::expand, roster::RosterHash};

/// Letters of a link's text, at most.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// The only version there is.
const VERSION: u8 = 1;

/// What a document without members has for a roster: no text has this hash.
const NOBODY: RosterHash = RosterHash([0; 32]);

/// What a link says, in the fragment of an address, which no browser sends to a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// Which document it opens.
    pub document: DocumentId,
    /// A roster in which the link's device is a member; all zero where the document is not encrypted.
    pub anchor: RosterHash,
    /// The capability of the link's device, if it is to be had here.
    pub token: Option<String>,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

/// Why a text is no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// Not base64url, or too long.
    Text,
    /// Cut off, or changed.
    Malformed(Malformed),
}

impl Device {
    /// The device of a link to `document`; `secret` is random.
    pub fn of_link(document: &DocumentId, secret: &[u8; SECRET_BYTES]) -> Self {
        let root = Hkdf::<Sha256>::new(Some(b"selvedge-seal.1 link"), secret);
        let mut info = Vec::new();
        document.write(&mut info);
        Device::from_seed(expand(&root, &info))
    }
}

impl Link {
    /// A link whose device, [`Device::of_link`], is a member in the roster `anchor`.
    pub fn new(
        document: &DocumentId,
        secret: [u8; SECRET_BYTES],
        anchor: RosterHash,
        token: Option<String>,
    ) -> Self {
        Link { document: document.clone(), anchor, token, secret: Zeroizing::new(secret) }
    }

    /// A link to a document that is not encrypted: all that it has to give is `token`, which is its device's.
    pub fn plain(document: &DocumentId, secret: [u8; SECRET_BYTES], token: String) -> Self {
        Link::new(document, secret, NOBODY, Some(token))
    }

    /// Whether its document is not encrypted.
    pub fn is_plain(&self) -> bool {
        self.anchor == NOBODY
    }

    /// Its device.
    pub fn device(&self) -> Device {
        Device::of_link(&self.document, &self.secret)
    }

    /// Its text: whoever has this is a member.
    pub fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(vec![VERSION]);
        bytes.extend(&*self.secret);
        bytes.extend(self.anchor.0);
        self.document.write(&mut bytes);
        let token = self.token.as_deref().unwrap_or_default();
        put_varint(&mut bytes, token.len() as u64);
        bytes.extend(token.as_bytes());
        Zeroizing::new(BASE64URL_NOPAD.encode(&bytes))
    }

    /// Reads a link's text.
    ///
    /// # Errors
    /// What is none.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(LinkError::Text);
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| LinkError::Text)?;
        Link::read(&Zeroizing::new(bytes)).map_err(LinkError::Malformed)
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(Malformed::Version(version.into()));
        }
        let secret = Zeroizing::new(reader.array()?);
        let (anchor, document) = (RosterHash(reader.array()?), DocumentId::read(&mut reader)?);
        let len = reader.count(TOKEN_BYTES_MAX, "bytes of a token")?;
        let token = str::from_utf8(reader.take(len)?);
        let token = token.map_err(|_| Malformed::Invalid("a token that is no UTF-8"))?;
        reader.finish()?;
        let token = Some(token.to_owned()).filter(|token| !token.is_empty());
        Ok(Link { document, anchor, token, secret })
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.document)
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Text => f.write_str("this is no link"),
            LinkError::Malformed(why) => write!(f, "this link is damaged: {why}"),
        }
    }
}

impl Error for LinkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(token: Option<&str>) -> Link {
        let document = DocumentId::new("acme", "vault/1").expect("a name");
        Link::new(&document, [7; 32], RosterHash([8; 32]), token.map(str::to_owned))
    }

    #[test]
    fn a_link_comes_back() {
        let plain = Link::plain(&link(None).document, [9; 32], "a.b.c".to_owned());
        assert!(plain.is_plain() && !link(None).is_plain());
        for link in [link(None), link(Some("a.b.c")), plain] {
            let again = Link::parse(&link.text()).expect("it was written here");
            assert_eq!(again, link);
            assert_eq!(again.device().id(), link.device().id());
        }
    }

    #[test]
    fn a_links_device_is_for_one_document() {
        let other = DocumentId::new("acme", "vault/2").expect("a name");
        assert_ne!(Device::of_link(&other, &[7; 32]).id(), link(None).device().id());
        assert_ne!(Device::from_seed([7; 32]).id(), link(None).device().id());
    }

    #[test]
    fn a_link_that_was_cut_is_told() {
        let text = link(Some("a.b.c")).text();
        for cut in (0..text.len()).step_by(4) {
            assert!(matches!(Link::parse(&text[..cut]), Err(LinkError::Malformed(_))), "{cut}");
        }
        assert_eq!(Link::parse("not a link!"), Err(LinkError::Text));
        assert_eq!(Link::parse(&"A".repeat(8200)), Err(LinkError::Text));
        assert_eq!(format!("{:?}", link(Some("t"))), "Link(acme/vault/1)");
    }
}
