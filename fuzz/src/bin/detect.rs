//! Reads lines of hexadecimal bytes; prints for each, as JSON, `[fingerprint or null, is XSS, may be SQL, may be XSS]`.
#![expect(clippy::print_stdout, reason = "a filter between two pipes")]

use std::io::{self, BufRead as _};

use selvedge_fuzz::from_hex;
use selvedge_waf::{
    detect::{may_be_sqli, may_be_xss, sqli, xss},
    transform::ByteSet,
};
use serde_json::json;

fn main() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "not hexadecimal");
        let text = from_hex(&line?).ok_or_else(invalid)?;
        let bytes = ByteSet::from_bytes(&text);
        let fingerprint = sqli(&text).map(|fingerprint| fingerprint.to_string());
        println!("{}", json!([fingerprint, xss(&text), may_be_sqli(&bytes), may_be_xss(&bytes)]));
    }
    Ok(())
}
