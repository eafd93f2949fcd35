//! What is replayed: recorded traffic, requests of common shapes of which no two are alike, and bodies that cost
//! engines the most.

use std::{fs, io, path::Path};

use fastrand::Rng;

use crate::{
    raw,
    record::{Kind, Request},
};

/// Chance that comes out the same each time.
const SEED: u64 = 0x5e1_7ed6e;

/// The requests under `legit` and `attack` of a folder, in an order of chance.
pub fn traffic(folder: &Path) -> io::Result<Vec<(String, Request)>> {
    let mut all = Vec::new();
    for (name, kind) in [("legit", Kind::Ordinary), ("attack", Kind::Attack)] {
        for entry in fs::read_dir(folder.join(name))? {
            let path = entry?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            all.push((format!("{name}/{file}"), raw::request(&fs::read(&path)?, kind)));
        }
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    Rng::with_seed(SEED).shuffle(&mut all);
    Ok(all)
}

/// A shape that many requests have.
pub struct Shape {
    /// Its name, and that of its file.
    pub name: &'static str,
    make: fn(&mut Maker) -> Request,
}

/// All shapes.
pub const SHAPES: &[Shape] = &[
    Shape { name: "tiny-get", make: Maker::tiny_get },
    Shape { name: "header-get", make: Maker::header_get },
    Shape { name: "json-post", make: Maker::json_post },
    Shape { name: "form-post", make: Maker::form_post },
    Shape { name: "sqli-get", make: Maker::sqli_get },
];

impl Shape {
    /// So many requests of this shape, no two alike.
    pub fn requests(&self, count: usize) -> Vec<Request> {
        let mut maker = Maker(Rng::with_seed(SEED));
        (0..count).map(|_| (self.make)(&mut maker)).collect()
    }
}

/// Words that no rule minds.
const WORDS: &[&str] = &[
    "amber", "apple", "autumn", "basket", "blanket", "bottle", "bridge", "butter", "candle",
    "carpet", "castle", "chair", "cherry", "cloud", "coffee", "copper", "cotton", "curtain",
    "desk", "drawer", "evening", "feather", "forest", "garden", "ginger", "glass", "green",
    "hammer", "harbour", "honey", "island", "jacket", "kitchen", "ladder", "lamp", "lantern",
    "leather", "lemon", "letter", "linen", "marble", "meadow", "mirror", "mountain", "needle",
    "north", "orange", "paper", "pencil", "pepper", "pillow", "pocket", "purple", "rabbit",
    "ribbon", "river", "saddle", "salt", "shelf", "silver", "spring", "stone", "summer", "table",
    "teapot", "thunder", "timber", "valley", "velvet", "violet", "walnut", "water", "window",
    "winter", "wooden", "yellow",
];

/// Browsers as they call themselves.
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
];

/// Makes requests by chance.
struct Maker(Rng);

impl Maker {
    fn tiny_get(&mut self) -> Request {
        let target = format!("/{}", self.slug());
        let fields = self.first_fields("*/*");
        request(Kind::Ordinary, "GET", target, fields, String::new())
    }

    fn header_get(&mut self) -> Request {
        let query = format!("q={}+{}", self.word(), self.slug());
        self.get(Kind::Ordinary, &query)
    }

    fn sqli_get(&mut self) -> Request {
        let (column, table, number) = (self.word(), self.word(), self.0.u32(..));
        let query = match self.0.u8(..3) {
            0 => format!("q={number}%27+UNION+SELECT+{column}%2Cpassword+FROM+{table}--+"),
            1 => format!("q={column}%27+OR+%27{number}%27%3D%27{number}"),
            _ => format!("q={number}%29%3B+DROP+TABLE+{table}%3B--"),
        };
        self.get(Kind::Attack, &query)
    }

    fn json_post(&mut self) -> Request {
        let item = |maker: &mut Self| {
            let (sku, name) = (maker.0.u32(100_000..1_000_000), maker.word());
            let (count, price) = (maker.0.u8(1..10), maker.0.u16(100..9_999));
            format!(r#"{{"sku":"A{sku}","name":"{name}","count":{count},"price":{price}}}"#)
        };
        let items: Vec<String> = (0..12).map(|_| item(self)).collect();
        let (id, name, city) = (self.0.u32(..), self.word(), self.word());
        let (street, number, post) = (self.word(), self.0.u8(1..), self.0.u32(10_000..99_999));
        let (one, two, three, four) = (self.word(), self.word(), self.word(), self.word());
        let body = format!(
            r#"{{"user":{{"id":{id},"name":"{name}","mail":"{name}{post}@example.com","active":true}},"items":[{}],"address":{{"street":"{street} road {number}","city":"{city}","post":"{post}","country":"NL"}},"note":"the {one} {two} goes with the {three}, please, and the {four} one not"}}"#,
            items.join(",")
        );
        self.post("application/json", body)
    }

    fn form_post(&mut self) -> Request {
        let field = |maker: &mut Self, number: usize| {
            let (name, value, more) = (maker.word(), maker.word(), maker.slug());
            format!("{name}{number}={value}+{more}")
        };
        let fields: Vec<String> = (0..35).map(|number| field(self, number)).collect();
        self.post("application/x-www-form-urlencoded", fields.join("&"))
    }

    fn get(&mut self, kind: Kind, query: &str) -> Request {
        let (page, sort) = (self.0.u16(..), self.word());
        let target = format!("/{}/{}?page={page}&sort={sort}&{query}", self.word(), self.slug());
        let fields = self.ten_fields();
        request(kind, "GET", target, fields, String::new())
    }

    fn post(&mut self, media: &str, body: String) -> Request {
        let target = format!("/{}/{}", self.word(), self.slug());
        let mut fields = self.ten_fields();
        fields.truncate(8);
        fields.push(("Content-Type".to_owned(), media.to_owned()));
        fields.push(("Content-Length".to_owned(), body.len().to_string()));
        request(Kind::Ordinary, "POST", target, fields, body)
    }

    fn ten_fields(&mut self) -> Vec<(String, String)> {
        let mut fields =
            self.first_fields("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
        let referrer = format!("https://www.example.com/{}/{}", self.word(), self.slug());
        let cookie = format!("session={:032x}; theme={}", self.0.u128(..), self.word());
        let more = [
            ("Accept-Language", "en-GB,en;q=0.7,nl;q=0.3"),
            ("Accept-Encoding", "gzip, deflate, br"),
            ("Referer", referrer.as_str()),
            ("Cookie", cookie.as_str()),
            ("Connection", "keep-alive"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Upgrade-Insecure-Requests", "1"),
        ];
        fields.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        fields
    }

    fn first_fields(&mut self, accept: &str) -> Vec<(String, String)> {
        let agent = AGENTS[self.0.usize(..AGENTS.len())];
        let fields = [("Host", "www.example.com"), ("User-Agent", agent), ("Accept", accept)];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.0.usize(..WORDS.len())]
    }

    /// A word that is hardly ever the same.
    fn slug(&mut self) -> String {
        format!("{}-{}", self.word(), self.0.u32(..))
    }
}

fn request(
    kind: Kind,
    method: &str,
    target: String,
    fields: Vec<(String, String)>,
    body: String,
) -> Request {
    let fields = fields.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes()));
    Request {
        kind,
        method: method.into(),
        target: target.into_bytes(),
        version: b"HTTP/1.1".to_vec(),
        fields: fields.collect(),
        body: body.into_bytes(),
    }
}

/// A body that somebody shaped to cost a lot.
pub struct Hostile {
    /// Its name.
    pub name: &'static str,
    media: &'static str,
    /// Begins with, repeats, ends with.
    parts: (&'static str, &'static str, &'static str),
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// All hostile bodies.
pub const HOSTILE: &[Hostile] = &[
    Hostile { name: "letters", media: FORM, parts: ("a=", "a", "") },
    Hostile { name: "quotes", media: FORM, parts: ("a=", "'\"`;|(){}<>\\", "") },
    Hostile { name: "angles", media: FORM, parts: ("a=", "<", "") },
    Hostile { name: "tags", media: FORM, parts: ("a=", "<script ", "") },
    Hostile { name: "comments", media: FORM, parts: ("a=", "/**/", "") },
    Hostile { name: "open comments", media: FORM, parts: ("a=", "/*", "") },
    Hostile { name: "words of SQL", media: FORM, parts: ("a=", "select 1 from ", "") },
    Hostile { name: "encoded twice", media: FORM, parts: ("a=", "%2527%253C", "") },
    Hostile { name: "entities", media: FORM, parts: ("a=", "%26lt%3B%26%2339%3B", "") },
    Hostile { name: "spaces", media: FORM, parts: ("a=", "+", "x") },
    Hostile { name: "path steps", media: FORM, parts: ("a=", "../", "etc/passwd") },
    Hostile { name: "shell", media: FORM, parts: ("a=", ";cat $IFS", "") },
    Hostile { name: "arguments", media: FORM, parts: ("", "a=1&", "a=1") },
    Hostile { name: "names", media: FORM, parts: ("", "a", "=1") },
    Hostile { name: "nested JSON", media: JSON, parts: ("", "[", "") },
    Hostile { name: "JSON leaves", media: JSON, parts: ("[0", ",\"a b\"", "]") },
    Hostile { name: "JSON escapes", media: JSON, parts: ("[\"", "\\u0027", "\"]") },
    Hostile { name: "nested XML", media: "text/xml", parts: ("", "<a>", "") },
    Hostile {
        name: "parts",
        media: "multipart/form-data; boundary=b",
        parts: ("", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n", "--b--\r\n"),
    },
];

impl Hostile {
    /// A request with a body of about so many bytes.
    pub fn request(&self, bytes: usize) -> Request {
        let (begin, again, end) = self.parts;
        let body = [begin, &again.repeat(bytes / again.len()), end].concat();
        let mut maker = Maker(Rng::with_seed(SEED));
        Request { kind: Kind::Attack, ..maker.post(self.media, body) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_requests_of_a_shape_are_alike() {
        for shape in SHAPES {
            let requests = shape.requests(1000);
            let different: HashSet<_> =
                requests.iter().map(|request| (&request.target, &request.body)).collect();
            assert_eq!(different.len(), requests.len(), "{}", shape.name);
        }
    }

    #[test]
    fn bodies_have_the_size_that_their_name_promises() {
        let json: serde_json::Value =
            serde_json::from_slice(&SHAPES[2].requests(1)[0].body).unwrap();
        assert_eq!(leaves(&json), 57);
        let posts = [&SHAPES[2], &SHAPES[3]].map(|shape| shape.requests(100));
        for request in posts.iter().flatten() {
            assert!((900..1250).contains(&request.body.len()), "{}", request.body.len());
        }
        assert_eq!(SHAPES[3].requests(1)[0].body.split(|byte| *byte == b'&').count(), 35);
    }

    fn leaves(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(list) => list.iter().map(leaves).sum(),
            serde_json::Value::Object(map) => map.values().map(leaves).sum(),
            _ => 1,
        }
    }
}
