//! Whose bucket it is: parts of a request, in bytes that mean one thing only.

use std::{
    fmt,
    hash::Hasher as _,
    net::{IpAddr, Ipv6Addr},
};

use aws_lc_rs::digest::{SHA256, digest};
use selvedge_agent::RequestHead;
use selvedge_config::rate_limit::KeyPart;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::table::Digest;

/// How a policy finds the key of a request.
///
/// A part that a request does not have is replaced by the client's address. So requests without it
/// share no bucket with those that have it, nor with each other, unless they come from one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRule {
    parts: Vec<KeyPart>,
    ipv6_prefix: u8,
}

/// The key was to hold the client's address, and the edge named none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAddress;

/// A key in bytes: for each part what it is, then what it holds, with lengths before all that varies.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Key(Vec<u8>);

impl fmt::Debug for Key {
    /// It may hold a client's secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([redacted])")
    }
}

/// A secret of this process, so that nobody outside can make keys meet.
#[derive(Clone, Copy, Debug)]
pub struct Seed(u64, u64);

/// What follows in a key.
#[repr(u8)]
enum Tag {
    Missing,
    Ipv4,
    Ipv6,
    Text,
    Texts,
}

impl KeyRule {
    /// A rule of these parts. Of an IPv6 address `ipv6_prefix` bits count, for nobody has only one.
    pub fn new(parts: Vec<KeyPart>, ipv6_prefix: u8) -> Self {
        Self { parts, ipv6_prefix: ipv6_prefix.min(128) }
    }

    /// The key of a request.
    pub fn key(&self, request: &RequestHead<'_>) -> Result<Key, NoAddress> {
        let mut key = Key(Vec::with_capacity(64));
        for part in &self.parts {
            self.put(part, request, &mut key)?;
        }
        Ok(key)
    }

    /// What the key is made of, for people: `address`, `header:x-api-key + path`. Never what it holds.
    pub fn kind(&self) -> String {
        self.parts.iter().map(name).collect::<Vec<_>>().join(" + ")
    }

    fn put(
        &self,
        part: &KeyPart,
        request: &RequestHead<'_>,
        key: &mut Key,
    ) -> Result<(), NoAddress> {
        let attributes = request.attributes();
        let found = match part {
            KeyPart::Address => return self.put_address(request, key),
            KeyPart::Header(name) => key.put_all(|| request.fields().all(name)),
            KeyPart::Value(name) => key.put_text(attributes.value(name)),
            KeyPart::Path => key.put_text(Some(request.path())),
            KeyPart::Method => key.put_text(Some(request.method())),
            KeyPart::Host => key.put_text(host(request.authority()).as_deref()),
            KeyPart::Route => key.put_text(attributes.get(selvedge_agent::attributes::ROUTE)),
        };
        if found {
            return Ok(());
        }
        key.0.push(Tag::Missing as u8);
        self.put_address(request, key)
    }

    fn put_address(&self, request: &RequestHead<'_>, key: &mut Key) -> Result<(), NoAddress> {
        match request.attributes().client_address().ok_or(NoAddress)?.to_canonical() {
            IpAddr::V4(address) => {
                key.0.push(Tag::Ipv4 as u8);
                key.0.extend(address.octets());
            }
            IpAddr::V6(address) => {
                key.0.push(Tag::Ipv6 as u8);
                key.0.extend(network(address, self.ipv6_prefix).octets());
            }
        }
        Ok(())
    }
}

/// The part as the config writes it.
fn name(part: &KeyPart) -> String {
    match part {
        KeyPart::Address => "address".to_owned(),
        KeyPart::Header(name) => format!("header:{name}"),
        KeyPart::Value(name) => match name.strip_prefix("claim.") {
            Some(claim) => format!("claim:{claim}"),
            None => format!("value:{name}"),
        },
        KeyPart::Path => "path".to_owned(),
        KeyPart::Method => "method".to_owned(),
        KeyPart::Host => "host".to_owned(),
        KeyPart::Route => "route".to_owned(),
    }
}

fn network(address: Ipv6Addr, prefix: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

/// The host of an authority in lower case, without port and without the dot of a full name: one
/// spelling, lest each spelling have a bucket.
fn host(authority: &str) -> Option<String> {
    let colon = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
    let host = &authority[..colon.unwrap_or(authority.len())];
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

impl Key {
    fn put_text(&mut self, text: Option<&str>) -> bool {
        let Some(text) = text else { return false };
        self.0.push(Tag::Text as u8);
        self.put_bytes(text.as_bytes());
        true
    }

    fn put_all<'v, I: Iterator<Item = &'v [u8]>>(&mut self, values: impl Fn() -> I) -> bool {
        match values().count() {
            0 => return false,
            1 => self.0.push(Tag::Text as u8),
            several => {
                self.0.push(Tag::Texts as u8);
                self.0.extend((several as u64).to_be_bytes());
            }
        }
        values().for_each(|value| self.put_bytes(value));
        true
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.0.extend((bytes.len() as u64).to_be_bytes());
        self.0.extend(bytes);
    }

    /// The key in this process's memory.
    pub fn local(&self, seed: Seed) -> Digest {
        let mut hasher = SipHasher13::new_with_keys(seed.0, seed.1);
        hasher.write(&self.0);
        Digest(hasher.finish128().as_u128())
    }

    /// The key that machines share: half of its SHA-256, in hexadecimal digits. What the request
    /// held does not leave this process.
    pub fn shared(&self) -> String {
        let digest = digest(&SHA256, &self.0);
        let half = digest.as_ref().first_chunk().expect("32 bytes");
        format!("{:032x}", u128::from_be_bytes(*half))
    }
}

impl Seed {
    /// A seed that nobody can guess.
    pub fn random() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes)?;
        let number = u128::from_ne_bytes(bytes);
        Ok(Self((number >> 64) as u64, number as u64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use selvedge_agent::{AttributesBuf, RequestHeadBuf, RequestLine};

    use super::*;

    /// What a key can see of a request.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    struct Seen {
        address: Option<String>,
        authority: String,
        target: String,
        values: Vec<(String, String)>,
        fields: Vec<(String, String)>,
    }

    impl Seen {
        fn from(address: &str) -> Self {
            let authority = "example.com".to_owned();
            Self { address: Some(address.into()), authority, target: "/".into(), ..Self::default() }
        }

        fn field(mut self, name: &str, value: &str) -> Self {
            self.fields.push((name.into(), value.into()));
            self
        }

        fn value(mut self, name: &str, value: &str) -> Self {
            self.values.push((name.into(), value.into()));
            self
        }

        fn at(self, authority: &str, target: &str) -> Self {
            Self { authority: authority.into(), target: target.into(), ..self }
        }

        fn key(&self, rule: &KeyRule) -> Result<Key, NoAddress> {
            let mut attributes = AttributesBuf::default();
            if let Some(address) = &self.address {
                attributes.push("client.address", address);
            }
            for (name, value) in &self.values {
                attributes.push_value(name, value);
            }
            let mut head = RequestHeadBuf::default();
            let fields = head.start(RequestLine {
                method: "GET",
                scheme: "https",
                authority: &self.authority,
                target: &self.target,
                ..RequestLine::default()
            });
            for (name, value) in &self.fields {
                fields.push(name, value.as_bytes());
            }
            let payload = head.payload(&attributes).unwrap();
            rule.key(&RequestHead::parse(&payload, false).unwrap())
        }
    }

    fn rule(parts: &[&str]) -> KeyRule {
        let part = |part: &&str| match part.split_once(':') {
            Some(("header", name)) => KeyPart::Header(name.into()),
            Some(("value", name)) => KeyPart::Value(name.into()),
            Some(("claim", name)) => KeyPart::Value(format!("claim.{name}")),
            _ => [
                ("address", KeyPart::Address),
                ("path", KeyPart::Path),
                ("method", KeyPart::Method),
                ("host", KeyPart::Host),
                ("route", KeyPart::Route),
            ]
            .into_iter()
            .find_map(|(name, found)| (name == *part).then_some(found))
            .unwrap(),
        };
        KeyRule::new(parts.iter().map(part).collect(), 64)
    }

    #[track_caller]
    fn check_same(parts: &[&str], one: &Seen, other: &Seen, same: bool) {
        let rule = rule(parts);
        let [one, other] = [one, other].map(|seen| seen.key(&rule).unwrap());
        assert_eq!(one == other, same);
        assert_eq!(one.shared() == other.shared(), same);
        assert_eq!(one.local(Seed(1, 2)) == other.local(Seed(1, 2)), same);
    }

    #[test]
    fn addresses() {
        let check = |one, other, same| {
            check_same(&["address"], &Seen::from(one), &Seen::from(other), same);
        };
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("2001:db8::1", "2001:db8::ffff:1", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
        check("::", "0.0.0.0", false);
    }

    #[test]
    fn as_much_of_an_address_as_is_said() {
        let address = "2001:db8:1234:5678:9abc:def0:1234:5678".parse().unwrap();
        let masked = |prefix| network(address, prefix).to_string();
        assert_eq!(masked(0), "::");
        assert_eq!(masked(16), "2001::");
        assert_eq!(masked(56), "2001:db8:1234:5600::");
        assert_eq!(masked(128), address.to_string());
    }

    #[test]
    fn fields_and_values() {
        let seen = Seen::from("192.0.2.1");
        let with = |value| seen.clone().field("X-Api-Key", value);
        check_same(&["header:x-api-key"], &with("a"), &with("a"), true);
        check_same(&["header:x-api-key"], &with("a"), &with("b"), false);
        check_same(&["header:x-api-key"], &with("a, b"), &with("a").field("x-api-key", "b"), false);
        check_same(
            &["claim:sub"],
            &seen.clone().value("claim.sub", "a"),
            &seen.clone().value("claim.sub", "b"),
            false,
        );
        // A field is no value and a claim is no other value, whatever they are called.
        check_same(
            &["claim:sub"],
            &seen,
            &seen.clone().field("claim.sub", "b").value("sub", "b"),
            true,
        );
    }

    #[test]
    fn one_host_is_one_host() {
        let at = |authority| Seen::from("192.0.2.1").at(authority, "/a");
        check_same(&["host"], &at("Example.com:443"), &at("example.com."), true);
        check_same(&["host"], &at("[::1]:443"), &at("[::1]"), true);
        check_same(&["host"], &at("a.example.com"), &at("example.com"), false);
        let to = |target| Seen::from("192.0.2.1").at("example.com", target);
        check_same(&["path"], &to("/a?b"), &to("/a?c"), true);
        check_same(&["path"], &to("/a"), &to("/A"), false);
    }

    #[test]
    fn what_is_missing_is_the_address() {
        let parts = ["header:x-api-key"];
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(Seen::from);
        check_same(&parts, &one, &other, false);
        check_same(&parts, &one, &one.clone().field("x-api-key", ""), false);
        // A value that looks like what takes its place is another key.
        let bytes = one.key(&rule(&parts)).unwrap().0;
        let forged = String::from_utf8(bytes[1..].to_vec());
        assert!(
            forged.is_err()
                || forged.is_ok_and(|text| {
                    one.clone().field("x-api-key", &text).key(&rule(&parts))
                        != one.key(&rule(&parts))
                })
        );
        let nobody = Seen { address: None, ..one.clone() };
        assert_eq!(nobody.key(&rule(&parts)), Err(NoAddress), "no bucket for everybody");
        assert!(nobody.field("x-api-key", "a").key(&rule(&parts)).is_ok());
    }

    #[test]
    fn a_kind_names_no_values() {
        let rule = rule(&["address", "header:x-api-key", "claim:sub", "value:plan", "path"]);
        assert_eq!(rule.kind(), "address + header:x-api-key + claim:sub + value:plan + path");
        let key = Seen::from("192.0.2.1").field("x-api-key", "hunter2").key(&rule).unwrap();
        assert_eq!(format!("{key:?}"), "Key([redacted])");
        assert_eq!(key.shared().len(), 32);
    }

    #[test]
    fn the_seed_matters() {
        let key = Seen::from("192.0.2.1").key(&rule(&["address"])).unwrap();
        assert_ne!(key.local(Seed(1, 2)), key.local(Seed(2, 1)));
    }

    fn seen() -> impl Strategy<Value = Seen> {
        let text = || prop_oneof!["[ab]{0,3}", "[ -~]{0,6}"];
        let name = || prop_oneof!["x", "y"];
        let address = prop_oneof![r"192\.0\.2\.[12]", "2001:db8:0:[12]::1"].prop_map(Some);
        let pairs = || prop::collection::vec((name(), text()), 0..4);
        (address, "[ab]{1,2}", "/[ab]{0,2}", pairs(), pairs()).prop_map(
            |(address, authority, target, values, fields)| Seen {
                address,
                authority,
                target,
                values,
                fields,
            },
        )
    }

    proptest! {
        /// Two requests have one key only if every part of it is the same.
        #[test]
        fn keys_mean_one_thing(one in seen(), other in seen(), parts in prop::sample::subsequence(
            vec!["address", "host", "path", "header:x", "header:y", "value:x", "value:y"], 1..=7,
        )) {
            let rule = rule(&parts);
            let seen_by = |seen: &Seen| -> Vec<(Vec<String>, Option<String>)> {
                parts.iter().map(|part| {
                    let (kind, name) = part.split_once(':').unwrap_or((part, ""));
                    let own = |pairs: &[(String, String)]| -> Vec<String> {
                        pairs.iter().filter(|(own, _)| own == name).map(|(_, value)| value.clone()).collect()
                    };
                    let found = match kind {
                        "address" => Vec::new(),
                        "host" => vec![seen.authority.clone()],
                        "path" => vec![seen.target.clone()],
                        "header" => own(&seen.fields),
                        _ => own(&seen.values).into_iter().take(1).collect(),
                    };
                    let missing = found.is_empty().then(|| seen.address.clone().unwrap());
                    (found, missing)
                }).collect()
            };
            let same = seen_by(&one) == seen_by(&other);
            prop_assert_eq!(one.key(&rule) == other.key(&rule), same);
        }
    }
}
