//! What ordinary values look like: which of several texts that a rule cannot match without is the rarest.
//!
//! Nothing of this decides whether a rule matches, only what is looked for beforehand: a gate that opens for every
//! browser's name of itself costs more than it saves.

use std::{collections::HashMap, sync::LazyLock};

/// Values of the kinds that most requests are made of, in lower case.
const SAMPLE: &[u8] = br#"
mozilla/5.0 (windows nt 10.0; win64; x64) applewebkit/537.36 (khtml, like gecko) chrome/137.0.0.0 safari/537.36 edg/137.0
mozilla/5.0 (macintosh; intel mac os x 10_15_7) applewebkit/605.1.15 (khtml, like gecko) version/18.4 safari/605.1.15
mozilla/5.0 (iphone; cpu iphone os 18_4 like mac os x) mobile/15e148 (x11; linux x86_64; rv:140.0) gecko/20100101 firefox/140.0
mozilla/5.0 (linux; android 14; sm-g991b build/up1a; wv) "chromium";v="137", "not/a)brand";v="24", "google chrome";v="137" ?0 ?1
text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,image/svg+xml,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7
application/json, text/plain, */* text/css,*/*;q=0.1 application/x-www-form-urlencoded; charset=utf-8 multipart/form-data; boundary=----webkitformboundary
gzip, deflate, br, zstd en-us,en;q=0.9,de;q=0.8,fr;q=0.5,nl;q=0.3 keep-alive no-cache max-age=0 same-origin same-site cross-site navigate cors no-cors
websocket upgrade document script style image font empty xmlhttprequest content-type content-length user-agent accept-language accept-encoding
upgrade-insecure-requests if-none-match if-modified-since x-requested-with x-forwarded-for authorization: bearer referer origin host cookie connection
sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-mode sec-fetch-site sec-fetch-dest sec-fetch-user priority: u=1, i pragma dnt te trailers
get /static/js/main.3f2a91.js post /api/v1/users/42/events.json head /images/logo.png options /blog/2024/05/index.html put delete http/1.1
https://www.example.com/shop/list?page=2&sort=price&order=desc&id=1234567890&q=red+shoes&utm_source=newsletter&utm_medium=email&ref=home
https://cdn.example.net/assets/app.min.css?v=1.2.3 https%3a%2f%2fwww.example.org%2flogin%3freturn%3d%252faccount http://localhost:8080/
session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; lang=en; _ga=ga1.2.1234567890.1700000000; _gid=ga1.1; __cf_bm=; csrftoken=abc; consent=true
sessionid user_id token=eyjhbgcioijiuzi1niisinr5cci6ikpxvcj9 jwt etag w/"5f3a-18c" mon, 03 jun 2024 12:30:45 gmt 2024-06-03t12:30:45.123z
{"user":{"id":42,"name":"anna","email":"anna@example.com","active":true,"roles":["admin","editor"],"created_at":"2024-01-02t03:04:05z"},
"items":[{"sku":"a100","name":"red shoes","count":2,"price":19.99,"url":"https://example.com/p/1"},{"type":"event","value":null,"data":{}}],
"event":"page_view","properties":{"title":"home","path":"/","width":1920,"height":1080,"timestamp":1700000000000,"version":"1.0"},"error":false}
{"jsonrpc":"2.0","method":"update","params":{"key":"value"},"message":"hello world","list":[1,2,3],"description":"some text","status":"ok","code":200}
{"query":"query users($first: int) { users(first: $first) { edges { node { id name } } } }","variables":{"first":10}} {\"text\":\"a \\\"b\\\"\"}
username=alice&password=secret&email=alice%40example.com&first_name=alice&last_name=o%27brien&comment=this+is+a+comment&submit=save&_method=put
the quick brown fox jumps over the lazy dog. this is what people write: questions, answers, and notes; they ask how to set a table for
you and me, where to find more about it, or when it will be open. i have read your post (the one from last week) and would like to order
three of them. thanks, best regards - "if you like it, let me know", she said. we use it with our team, not only in the office; it is fine.
can we get that into the next version? there are many other things which should have been changed by now, but nobody had time for all of this.
"#;

/// What each occurrence of a text in the sample weighs.
pub(super) const WEIGHT: u64 = 1000;

/// How often a text of some bytes, in lower case, comes in ordinary values, on a scale of its own.
pub(super) fn weight(text: &[u8]) -> u64 {
    match count(text) {
        0 => match text.len() {
            0..=1 => 60,
            2 => 40,
            3 => 8,
            4 => 3,
            _ => 1,
        },
        count => count * WEIGHT,
    }
}

/// How often a text lies in the sample.
fn count(text: &[u8]) -> u64 {
    static BYTES: LazyLock<[u64; 256]> = LazyLock::new(|| {
        SAMPLE.iter().fold([0; 256], |mut counts, byte| {
            counts[usize::from(*byte)] += 1;
            counts
        })
    });
    match text {
        [] => 0,
        [byte] => BYTES[usize::from(byte.to_ascii_lowercase())],
        // Most texts are told by three bytes of theirs, without reading the sample.
        _ if text.windows(3).any(|three| count_of_three([three[0], three[1], three[2]]) == 0) => 0,
        _ => memchr::memmem::find_iter(SAMPLE, text).count() as u64,
    }
}

/// How often three bytes in a row lie in the sample, as [`grams`](super::grams) reads both: without the bit that tells cases apart.
pub(super) fn count_of_three(bytes: [u8; 3]) -> u64 {
    static COUNTS: LazyLock<HashMap<[u8; 3], u64>> = LazyLock::new(counts);
    COUNTS.get(&bytes.map(|byte| byte | 0x20)).copied().unwrap_or(0)
}

/// Likewise four.
pub(super) fn count_of_four(bytes: [u8; 4]) -> u64 {
    static COUNTS: LazyLock<HashMap<[u8; 4], u64>> = LazyLock::new(counts);
    COUNTS.get(&bytes.map(|byte| byte | 0x20)).copied().unwrap_or(0)
}

/// How often each so many bytes in a row lie in the sample.
fn counts<const LEN: usize>() -> HashMap<[u8; LEN], u64> {
    SAMPLE.array_windows().fold(HashMap::new(), |mut counts, window: &[u8; LEN]| {
        *counts.entry(window.map(|byte| byte | 0x20)).or_default() += 1;
        counts
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_requests_are_made_of_weighs_more_than_what_attacks_are() {
        for (ordinary, rare) in
            [(&b"https:"[..], &b"union"[..]), (b"\":", b"`;"), (b"e", b"`"), (b"version", b"/etc/")]
        {
            assert!(weight(ordinary) > weight(rare), "{}", ordinary.escape_ascii());
        }
        assert!(count_of_three(*b"the") > count_of_three(*b"$($"));
    }
}
