//! Expressions as rules write them (PCRE) → expressions whose time is linear.

use std::{fmt::Write as _, iter::Peekable, str::Chars};

use regex_automata::{
    Input, MatchKind,
    hybrid::dfa::{Cache, DFA},
    meta::{BuildError, Config, Regex},
    nfa::thompson::{self, WhichCaptures},
};
use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind, Repetition},
};

use super::gate::restricted;
use crate::transform::ByteSet;

/// Memory that a sketch may take before it forgets its states and starts anew.
const SKETCH_STATES_BYTES: usize = 1024 * 1024;
/// An expression of fewer parts than this is quick as it is.
const SIZE_MIN: usize = 200;
/// A sketch counts up to this, what may occur more often it takes any number of times …
const COUNT_MAX: u32 = 8;
/// … but no fewer than so many times, if it must occur that often.
const COUNT_MIN: u32 = 4;
/// An expression larger than this is refused.
const PROGRAM_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An automaton that says quickly that an expression finds nothing. What it does not say so of, the expression is asked about.
pub(super) struct Sketch(DFA);

impl Sketch {
    fn new(hir: &Hir) -> Option<Self> {
        let config = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(PROGRAM_BYTES_MAX));
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(hir).ok()?;
        let config = DFA::config()
            .cache_capacity(SKETCH_STATES_BYTES)
            .skip_cache_capacity_check(true)
            .match_kind(MatchKind::LeftmostFirst);
        DFA::builder().configure(config).build_from_nfa(nfa).ok().map(Self)
    }

    /// Room for the states that it comes by.
    pub fn cache(&self) -> Cache {
        self.0.create_cache()
    }

    /// Whether the expression may find something.
    pub fn may_match(&self, cache: &mut Cache, text: &[u8]) -> bool {
        let input = Input::new(text).earliest(true);
        // It never gives up; if it did, it would not know.
        self.0.try_search_fwd(cache, &input).map_or(true, |found| found.is_some())
    }
}

/// For each alphabet which of the sketches, if any, is asked before the expression: one is made where it is much smaller than
/// what would be asked otherwise.
pub(super) fn sketches<const LEN: usize>(
    hir: &Hir,
    alphabets: &[ByteSet; LEN],
) -> (Vec<Sketch>, [Option<usize>; LEN]) {
    let (mut sketches, mut chosen) = (Vec::new(), [None; LEN]);
    let (mut smallest, mut last) = (size(hir), None);
    // Each alphabet is part of the next: what holds for the next holds for it.
    for (at, alphabet) in alphabets.iter().enumerate().rev() {
        let hir = restricted(hir, alphabet).map(|hir| relaxed(&hir));
        let quicker = |hir: &Hir| smallest >= SIZE_MIN && size(hir) * 4 < smallest * 3;
        if let Some((hir, sketch)) =
            hir.filter(quicker).and_then(|hir| Sketch::new(&hir).map(|sketch| (hir, sketch)))
        {
            (smallest, last) = (size(&hir), Some(sketches.len()));
            sketches.push(sketch);
        }
        chosen[at] = last;
    }
    (sketches, chosen)
}

/// An expression that matches whatever this one does, and more: what may occur so many times may occur any number of
/// times. An automaton that counts has a state for each count of each place where counting may have begun; most texts of
/// a few dozen bytes lead it to states that it never saw before, and to make one takes longer than to read a kilobyte.
fn relaxed(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(relaxed(&repetition.sub));
            let counts = repetition.max.unwrap_or(repetition.min) > COUNT_MAX;
            let (min, max) = match counts {
                true => (repetition.min.min(COUNT_MIN), None),
                false => (repetition.min, repetition.max),
            };
            Hir::repetition(Repetition { min, max, greedy: repetition.greedy, sub })
        }
        HirKind::Capture(capture) => relaxed(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(relaxed).collect()),
        HirKind::Alternation(branches) => Hir::alternation(branches.iter().map(relaxed).collect()),
    }
}

/// How many parts an expression has, one that is repeated counting as often as it may be.
fn size(hir: &Hir) -> usize {
    weight(hir, |_| 1)
}

/// About so much memory the program of an expression takes.
pub(super) fn program_bytes(hir: &Hir) -> usize {
    const STATE_BYTES: usize = 64;
    let states = weight(hir, |kind| match kind {
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Bytes(class)) => 1 + class.ranges().len() / 4,
        HirKind::Class(Class::Unicode(class)) => 1 + class.ranges().len(),
        _ => 1,
    });
    states.saturating_mul(STATE_BYTES)
}

/// The sum of what the parts of an expression weigh, one that is repeated counting as often as it may be.
fn weight(hir: &Hir, of: fn(&HirKind) -> usize) -> usize {
    let below = match hir.kind() {
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => 0,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            weight(&repetition.sub, of).saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => weight(&capture.sub, of),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(|part| weight(part, of)).fold(0, usize::saturating_add)
        }
    };
    of(hir.kind()).saturating_add(below)
}

/// An expression that knows its groups.
pub(super) fn build(hir: &Hir) -> Result<Regex, Box<BuildError>> {
    let config = Config::new().utf8_empty(false).nfa_size_limit(Some(PROGRAM_BYTES_MAX));
    Regex::builder().configure(config).build_from_hir(hir).map_err(Box::new)
}

/// The structure of an expression for bytes: `.` is any byte, `^` and `$` are at lines, as in ModSecurity 3.
pub(super) fn parse(pcre: &str) -> Result<Hir, String> {
    let text = translate(pcre)?;
    let mut parser = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
        .multi_line(true)
        .nest_limit(200)
        .build();
    parser.parse(&text).map_err(|error| match error {
        regex_syntax::Error::Parse(error) => format!("the expression: {}", error.kind()),
        regex_syntax::Error::Translate(error) => format!("the expression: {}", error.kind()),
        _ => "the expression cannot be read".to_owned(),
    })
}

/// Writes an expression anew in the syntax of `regex_syntax`, without Unicode.
fn translate(pcre: &str) -> Result<String, String> {
    let mut translation = Translation { rest: pcre.chars().peekable(), out: String::new() };
    translation.run()?;
    Ok(translation.out)
}

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
}

/// What stands in a class.
enum Item {
    /// One byte.
    Byte(u8),
    /// Several, as the target writes them.
    Set(&'static str),
}

impl Translation<'_> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                '{' if !self.quantifier() => self.out.push_str(r"\{"),
                '{' => self.repeat('{'),
                '*' | '+' | '?' => self.repeat(c),
                '}' | ']' => self.byte(c as u8),
                _ => self.literal(c),
            }
        }
        Ok(())
    }

    /// `*`, `+`, `?`, `{m,n}`, lazy or not. A possessive one only saves PCRE from going back: it is a greedy one here.
    fn repeat(&mut self, first: char) {
        self.out.push(first);
        if first == '{' {
            for c in self.rest.by_ref() {
                self.out.push(c);
                if c == '}' {
                    break;
                }
            }
        }
        match self.rest.peek() {
            Some('+') => _ = self.rest.next(),
            Some('?') => {
                self.rest.next();
                self.out.push('?');
            }
            _ => {}
        }
    }

    /// Whether what follows a brace makes it a quantifier: `m}`, `m,}`, `m,n}`. Otherwise it is itself.
    fn quantifier(&self) -> bool {
        let ahead: String = self.rest.clone().take(12).take_while(|&c| c != '}').collect();
        let closed = self.rest.clone().nth(ahead.chars().count()) == Some('}');
        let (least, most) = ahead.split_once(',').unwrap_or((&ahead, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        closed && !least.is_empty() && digits(least) && digits(most)
    }

    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        if self.rest.peek() != Some(&'?') {
            return Ok(());
        }
        let ahead: String = self.rest.clone().take(3).collect();
        let refused = match ahead.as_str() {
            _ if ahead.starts_with("?=") || ahead.starts_with("?!") => "looks ahead",
            "?<=" | "?<!" => "looks behind",
            _ if ahead.starts_with("?(") => "has conditional groups",
            _ if ahead.starts_with("?R") || ahead.starts_with("?&") => "calls itself",
            _ => {
                self.prefix();
                return Ok(());
            }
        };
        Err(format!(
            "the expression {refused}, which no engine can do in linear time: write it without, or as a chain of rules"
        ))
    }

    /// `?:`, `?i)`, `?<name>` and the like, up to their end.
    fn prefix(&mut self) {
        for c in self.rest.by_ref() {
            match c {
                // Atomic: it only saves PCRE from going back.
                '>' if self.out.ends_with("(?") => {
                    self.out.push(':');
                    return;
                }
                _ => self.out.push(c),
            }
            if matches!(c, ':' | ')' | '>') {
                return;
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        let Some(c) = self.rest.next() else {
            return Err("the expression ends in a backslash".to_owned());
        };
        match c {
            'A' | 'b' | 'B' | 'd' | 'D' | 's' | 'S' | 'w' | 'W' | 'z' => {
                self.out.push('\\');
                self.out.push(c);
            }
            'Z' => self.out.push_str(r"(?:\n?\z)"),
            'h' => self.out.push_str(r"[\t\x20\xA0]"),
            'H' => self.out.push_str(r"[^\t\x20\xA0]"),
            'v' => self.out.push_str(r"[\n\x0B\x0C\r\x85]"),
            'V' => self.out.push_str(r"[^\n\x0B\x0C\r\x85]"),
            'R' => self.out.push_str(r"(?:\r\n|[\n\x0B\x0C\r\x85])"),
            'N' => self.out.push_str(r"[^\n]"),
            'Q' => self.quoted(),
            'E' => {}
            '1'..='9' => {
                return Err(
                    "the expression refers back to a group, which no engine can do in linear time"
                        .to_owned(),
                );
            }
            _ => {
                let byte = self.escaped_byte(c)?;
                self.byte(byte);
            }
        }
        Ok(())
    }

    /// `\Q … \E`.
    fn quoted(&mut self) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.peek() == Some(&'E') {
                self.rest.next();
                return;
            }
            self.verbatim(c);
        }
    }

    /// The byte that an escape outside or inside of a class stands for.
    fn escaped_byte(&mut self, c: char) -> Result<u8, String> {
        Ok(match c {
            'a' => 7,
            'e' => 0x1B,
            'f' => 0x0C,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'x' => self.hex()?,
            '0'..='7' => self.octal(c)?,
            'c' => self.rest.next().map_or(0, |c| (c as u8).to_ascii_uppercase() ^ 0x40),
            _ if c.is_ascii_alphabetic() => {
                return Err(format!(r"the expression has an unknown escape \{c}"));
            }
            _ if c.is_ascii() => c as u8,
            _ => return Err(format!("the expression escapes `{c}`, which needs no escape")),
        })
    }

    /// `\xH`, `\xHH`, `\x{H…}`.
    fn hex(&mut self) -> Result<u8, String> {
        let braced = self.rest.next_if_eq(&'{').is_some();
        let mut value: u32 = 0;
        let mut digits = 0;
        while let Some(digit) =
            self.rest.peek().and_then(|c| c.to_digit(16)).filter(|_| braced || digits < 2)
        {
            self.rest.next();
            value = value.saturating_mul(16).saturating_add(digit);
            digits += 1;
        }
        if braced && self.rest.next() != Some('}') {
            return Err(r"the expression has a \x{ without its end".to_owned());
        }
        u8::try_from(value)
            .map_err(|_| format!(r"the expression has \x{{{value:x}}}: values are bytes, write the bytes of its UTF-8"))
    }

    fn octal(&mut self, first: char) -> Result<u8, String> {
        let mut value = first.to_digit(8).expect("the caller saw an octal digit");
        for _ in 0..2 {
            let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(8)) else { break };
            self.rest.next();
            value = value * 8 + digit;
        }
        u8::try_from(value).map_err(|_| "the expression has an octal escape above 377".to_owned())
    }

    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let Some(c) = self.rest.next() else {
                return Err("the expression has a `[` without its `]`".to_owned());
            };
            if c == ']' && !first {
                self.out.push(']');
                return Ok(());
            }
            first = false;
            self.class_item(c)?;
        }
    }

    fn class_item(&mut self, c: char) -> Result<(), String> {
        if c == '[' && self.rest.peek() == Some(&':') {
            return self.posix();
        }
        if !c.is_ascii() {
            self.verbatim(c);
            return Ok(());
        }
        match self.item(c)? {
            Item::Set(set) => self.out.push_str(set),
            Item::Byte(low) => {
                self.byte(low);
                self.range(low)?;
            }
        }
        Ok(())
    }

    /// The rest of `a-z`, if one follows.
    fn range(&mut self, low: u8) -> Result<(), String> {
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || matches!(ahead.next(), None | Some(']')) {
            return Ok(());
        }
        self.rest.next();
        let c = self.rest.next().expect("it was seen ahead");
        if c == '[' && self.rest.peek() == Some(&':') {
            self.byte(b'-');
            return self.posix();
        }
        match self.item(c)? {
            Item::Byte(high) if high >= low => {
                self.out.push('-');
                self.byte(high);
            }
            Item::Byte(_) => {
                return Err("the expression has a range that ends before it begins".to_owned());
            }
            Item::Set(set) => {
                self.byte(b'-');
                self.out.push_str(set);
            }
        }
        Ok(())
    }

    fn item(&mut self, c: char) -> Result<Item, String> {
        if c != '\\' {
            return Ok(Item::Byte(c as u8));
        }
        let Some(c) = self.rest.next() else {
            return Err("the expression ends in a backslash".to_owned());
        };
        Ok(match c {
            'd' => Item::Set(r"\d"),
            'D' => Item::Set(r"\D"),
            's' => Item::Set(r"\s"),
            'S' => Item::Set(r"\S"),
            'w' => Item::Set(r"\w"),
            'W' => Item::Set(r"\W"),
            'h' => Item::Set(r"\t\x20\xA0"),
            'v' => Item::Set(r"\n\x0B\x0C\r\x85"),
            'b' => Item::Byte(8),
            _ => Item::Byte(self.escaped_byte(c)?),
        })
    }

    /// `[:alpha:]` and the like, of which the second bracket and all else is still to come.
    fn posix(&mut self) -> Result<(), String> {
        self.out.push('[');
        for c in self.rest.by_ref().take(12) {
            self.out.push(c);
            if c == ']' {
                return Ok(());
            }
        }
        Err("the expression has a `[:` without its `:]`".to_owned())
    }

    /// A character that stands for itself.
    fn literal(&mut self, c: char) {
        match c {
            '.' | '^' | '$' | '|' | ')' => self.out.push(c),
            _ => self.verbatim(c),
        }
    }

    /// A character that is never syntax. PCRE without UTF sees its bytes one by one.
    fn verbatim(&mut self, c: char) {
        let mut buffer = [0; 4];
        c.encode_utf8(&mut buffer).bytes().for_each(|byte| self.byte(byte));
    }

    fn byte(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            self.out.push(char::from(byte));
        } else {
            write!(self.out, r"\x{byte:02X}").expect("a string takes everything");
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(pcre: &str, expect: Expect) {
        expect.assert_eq(&translate(pcre).unwrap_or_else(|error| format!("ERROR: {error}")));
        if translate(pcre).is_ok() {
            parse(pcre).expect("what is translated can be read");
        }
    }

    #[test]
    fn what_pcre_and_rust_read_alike_stays() {
        check(r"(?i)\bunion\s+select\b", expect![[r"(?i)\bunion\s+select\b"]]);
        check(r"a{2,3}b{4}c{5,}?", expect!["a{2,3}b{4}c{5,}?"]);
        check(r"[a-z0-9_]+", expect![[r"[a-z0-9\x5F]+"]]);
        check(r"[[:alpha:]_]", expect![[r"[[:alpha:]\x5F]"]]);
    }

    #[test]
    fn what_they_read_differently_is_written_anew() {
        check(r"a{b", expect![[r"a\{b"]]);
        check(r"${a}{,3}", expect![[r"$\{a\x7D\{\x2C3\x7D"]]);
        check(r"\<x\>", expect![[r"\x3Cx\x3E"]]);
        check(r"[[&&~~]", expect![[r"[\x5B\x26\x26\x7E\x7E]"]]);
        check(r"[]a]", expect![[r"[\x5Da]"]]);
        check(r"[+--/]", expect![[r"[\x2B-\x2D\x2F]"]]);
        check(r"[\w-.]", expect![[r"[\w\x2D\x2E]"]]);
        check(r"[é]", expect![[r"[\xC3\xA9]"]]);
        check(r"\v\h\x3c\x{2f}\07", expect![[r"[\n\x0B\x0C\r\x85][\t\x20\xA0]\x3C\x2F\x07"]]);
        check(r"\Qa-b\E.", expect![[r"a\x2Db."]]);
        check(r"(?>a+)b++", expect!["(?:a+)b+"]);
    }

    #[test]
    fn what_needs_going_back_is_refused() {
        check(
            r"a(?=b)",
            expect![
                "ERROR: the expression looks ahead, which no engine can do in linear time: write it without, or as a chain of rules"
            ],
        );
        check(
            r"(a)\1",
            expect![
                "ERROR: the expression refers back to a group, which no engine can do in linear time"
            ],
        );
        check(r"[a", expect!["ERROR: the expression has a `[` without its `]`"]);
        check(
            r"\x{fffd}",
            expect![[
                r"ERROR: the expression has \x{fffd}: values are bytes, write the bytes of its UTF-8"
            ]],
        );
    }
}
