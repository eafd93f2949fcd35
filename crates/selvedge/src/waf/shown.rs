//! Matches for people and programs. Whatever bytes a request has, a terminal obeys none of them.

use selvedge_waf::{
    engine::{EXCERPT_BYTES_MAX, Evidence, Match},
    native,
};
use serde_json::{Value, json};

use crate::terminal::Paint;

/// `sql/union-select (2000003)`, or the number alone.
pub(super) fn rule(found: &Match) -> String {
    match &found.name {
        Some(name) => format!("{name} ({})", found.id),
        None => found.id.to_string(),
    }
}

/// A match with what it fired on, each on a line of its own.
pub(super) fn explained(found: &Match, paint: Paint) -> String {
    let Match { points, shadow, message, log_data, evidence, .. } = found;
    let name = paint.bold(&rule(found));
    let watched = if *shadow { " (only watched)" } else { "" };
    let mut text = format!("  {points:>3} {name}{watched}  {}\n", plain(message.as_bytes()));
    for one in evidence {
        let how = if one.received { "as received" } else { "decoded" };
        let target = plain(target(found, one).as_bytes());
        text.push_str(&format!("        {target}, {how}: {}\n", excerpt(one, paint)));
    }
    if !log_data.is_empty() {
        text.push_str(&format!("        {}\n", plain(log_data.as_bytes())));
    }
    text
}

/// What was looked at, in the words of the rule's language: `args:id` or `ARGS:id`.
fn target(found: &Match, evidence: &Evidence) -> String {
    let key = String::from_utf8_lossy(&evidence.key);
    let key = (!key.is_empty()).then_some(&*key);
    let native = found.name.as_ref().and_then(|_| native::target_word(evidence.variable, key));
    native.unwrap_or_else(|| match key {
        Some(key) => format!("{}:{key}", evidence.variable.name()),
        None => evidence.variable.name().to_owned(),
    })
}

/// The bytes around a match, and the match marked: in colour, or by `>>` and `<<`.
fn excerpt(evidence: &Evidence, paint: Paint) -> String {
    let Evidence { excerpt, span, offset, .. } = evidence;
    let end = span.end.min(excerpt.len());
    let start = span.start.min(end);
    let matched = plain(&excerpt[start..end]);
    let marked = match paint.on {
        true => paint.with("1;31", &matched),
        false => format!(">>{matched}<<"),
    };
    let before = if *offset > 0 { "…" } else { "" };
    let after = if excerpt.len() >= EXCERPT_BYTES_MAX { "…" } else { "" };
    format!("{before}{}{marked}{}{after}", plain(&excerpt[..start]), plain(&excerpt[end..]))
}

/// Text as it is, but for what a terminal would obey or a reader would not see: that is escaped.
pub(super) fn plain(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\\' => text.push_str("\\\\"),
                '\0'..='\x1f' | '\x7f'..='\u{9f}' if !matches!(char, '\n' | '\r' | '\t') => {
                    text.push_str(&format!("\\x{:02x}", u32::from(char)));
                }
                char if char.is_control() || is_hidden(char) => text.extend(char.escape_default()),
                char => text.push(char),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// Characters that turn or hide the text around them.
fn is_hidden(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A match for programs.
pub(super) fn to_json(found: &Match) -> Value {
    let Match {
        id,
        name,
        message,
        log_data,
        severity,
        category: _,
        tags,
        points,
        shadow,
        evidence,
    } = found;
    json!({
        "rule": id,
        "name": name.as_deref(),
        "message": message,
        "log_data": log_data,
        "severity": severity.map(|severity| format!("{severity:?}").to_lowercase()),
        "tags": tags.iter().map(|tag| &**tag).collect::<Vec<_>>(),
        "points": points,
        "shadow": shadow,
        "evidence": evidence.iter().map(|one| evidence_json(found, one)).collect::<Value>(),
    })
}

fn evidence_json(found: &Match, evidence: &Evidence) -> Value {
    let Evidence { variable: _, key: _, excerpt, span, offset, received } = evidence;
    let end = span.end.min(excerpt.len());
    json!({
        "target": target(found, evidence),
        "excerpt": plain(excerpt),
        "matched": plain(&excerpt[span.start.min(end)..end]),
        "offset": offset + span.start,
        "received": received,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (bytes, expected) in [
            (b"a b".as_slice(), "a b"),
            (b"\x1b[31m\n\t\0", "\\x1b[31m\\n\\t\\x00"),
            ("Grüße\u{202e}".as_bytes(), "Grüße\\u{202e}"),
            (b"\xff\xc3", "\\xff\\xc3"),
            (b"C:\\x", "C:\\\\x"),
            ("\u{9b}1m".as_bytes(), "\\x9b1m"),
        ] {
            assert_eq!(plain(bytes), expected);
        }
    }
}
