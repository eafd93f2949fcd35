//! What an injection cannot do without, and what prose and program code have by chance only.
//!
//! libinjection judges by five tokens. Program code (`if (a && b) …`), globs and quoted prose have such
//! fingerprints too, so here all tokens are read again, and one of these must be among them: a phrase that
//! begins a query or a statement; a condition that compares; a call of a function of the database where a
//! value was; a comment that cuts off the rest of the query.

use memchr::memmem;

use super::{
    Reading,
    scan::{Dialect, Scanner},
    token::{Kind, Token},
};

/// Words that mean nothing but SQL before one of others.
const PHRASES: &[(&[u8], &[&[u8]])] = &[
    (b"UNION", &[b"SELECT"]),
    (b"INTERSECT", &[b"SELECT"]),
    (b"EXCEPT", &[b"SELECT"]),
    (b"INSERT", &[b"INTO"]),
    (b"REPLACE", &[b"INTO"]),
    (b"DELETE", &[b"FROM"]),
    (b"DROP", OBJECTS),
    (b"ALTER", OBJECTS),
    (b"CREATE", OBJECTS),
    (b"TRUNCATE", &[b"TABLE"]),
    (b"WAITFOR", &[b"DELAY", b"TIME"]),
    (b"INTO", &[b"OUTFILE", b"DUMPFILE"]),
    (b"LOAD", &[b"DATA", b"XML"]),
    (b"CASE", &[b"WHEN"]),
    (b"PROCEDURE", &[b"ANALYSE"]),
    (b"EXEC", PROCEDURES),
    (b"EXECUTE", PROCEDURES),
];

/// What statements make and unmake.
const OBJECTS: &[&[u8]] = &[
    b"TABLE",
    b"DATABASE",
    b"SCHEMA",
    b"USER",
    b"VIEW",
    b"FUNCTION",
    b"PROCEDURE",
    b"TRIGGER",
    b"INDEX",
    b"LOGIN",
    b"ALIAS",
];

/// What is executed; an underscore or a dot at the end: what begins so.
const PROCEDURES: &[&[u8]] = &[b"MASTER.", b"XP_", b"SP_", b"IMMEDIATE"];

/// What compares two values.
const COMPARISONS: &[&[u8]] = &[
    b"=", b"<", b">", b"<=", b">=", b"<>", b"!=", b"<=>", b"LIKE", b"RLIKE", b"REGEXP", b"IS",
    b"IN", b"BETWEEN",
];

/// Functions that are of use to attackers and have no namesakes in programs.
const FUNCTIONS: &[&[u8]] = &[
    b"PG_SLEEP",
    b"BENCHMARK",
    b"EXTRACTVALUE",
    b"UPDATEXML",
    b"LOAD_FILE",
    b"GROUP_CONCAT",
    b"GTID_SUBSET",
    b"RANDOMBLOB",
    b"XMLTYPE",
    b"ROW_COUNT",
    b"NAME_CONST",
    b"UTL_HTTP.REQUEST",
    b"UTL_INADDR.GET_HOST_ADDRESS",
    b"UTL_INADDR.GET_HOST_NAME",
    b"DBMS_LOCK.SLEEP",
    b"DBMS_PIPE.RECEIVE_MESSAGE",
    b"CTXSYS.DRITHSX.SN",
];

/// Those that have, which count where a value is computed with them.
const COMMON_FUNCTIONS: &[&[u8]] = &[
    b"SLEEP",
    b"USER",
    b"VERSION",
    b"DATABASE",
    b"SCHEMA",
    b"ASCII",
    b"ORD",
    b"SUBSTR",
    b"SUBSTRING",
    b"MID",
    b"CHAR",
    b"CHR",
    b"CONCAT",
    b"HEX",
    b"UNHEX",
    b"IF",
    b"IIF",
    b"IFNULL",
    b"CAST",
    b"CONVERT",
    b"EXP",
    b"MD5",
    b"POW",
    b"BIN",
    b"CURRENT_USER",
    b"SYSTEM_USER",
    b"SESSION_USER",
    b"DB_NAME",
    b"HOST_NAME",
];

/// Returns whether more than its fingerprint makes `reading` an injection.
pub fn is_there(input: &[u8], reading: &Reading) -> bool {
    if reading.fingerprint.letters() == b"X" && has_conditional_comment(input) {
        return true;
    }
    let mut scanner = Scanner::new(input, reading.quote, reading.dialect);
    let mut judge = Judge { is_short: is_short(reading), ..Judge::default() };
    while let Some(token) = scanner.next() {
        if judge.is_convinced_by(&token) {
            return true;
        }
    }
    judge.is_convinced_by_end()
}

/// `/*!50000 SELECT`: a version, or a word of SQL, as no licence at the head of a style sheet has it.
fn has_conditional_comment(input: &[u8]) -> bool {
    memmem::find_iter(input, b"/*!").any(|at| {
        let content = &input[at + 3..];
        content.first().is_some_and(u8::is_ascii_digit) || begins_with_word(content)
    })
}

fn begins_with_word(text: &[u8]) -> bool {
    let first = Scanner::new(text, None, Dialect::MySql).next();
    first.is_some_and(|token| {
        matches!(
            token.kind,
            Kind::Union | Kind::Expression | Kind::Keyword | Kind::Statement | Kind::Logic
        )
    })
}

/// Whether the fingerprint is the whole text: `admin' --`, `'='`.
fn is_short(reading: &Reading) -> bool {
    let letters = reading.fingerprint.letters();
    match letters {
        b"sos" => reading
            .folded
            .tokens()
            .iter()
            .all(|token| token.value.len() == 0 || !token.value.has(b' ')),
        [b's', .., b'c'] => letters.len() < 5,
        b"1c" | b"1)c" | b"1;c" | b"f(1)" => true,
        _ => false,
    }
}

/// How much of `AND left = right` was read.
#[derive(Clone, Copy, Default)]
enum Condition {
    #[default]
    None,
    Logic,
    /// What is compared, and whether it is a literal.
    Left {
        is_literal: bool,
    },
    Compared {
        is_literal: bool,
    },
}

#[derive(Default)]
struct Judge {
    condition: Condition,
    /// The last two tokens, the newer one behind.
    before: [Token; 2],
    /// The last two that were not filling.
    words: [Token; 2],
    /// Whether the text ends the value that the query has in this place …
    ends_value: bool,
    /// … by a quote.
    ends_quotes: bool,
    /// Whether `SELECT` was met.
    selects: bool,
    /// Whether there is nothing but what the fingerprint says.
    is_short: bool,
    has_begun: bool,
}

impl Judge {
    fn is_convinced_by(&mut self, token: &Token) -> bool {
        self.begin(token);
        let convinced = self.is_statement(token)
            || self.is_query(token)
            || self.is_call(token)
            || self.is_comparison(token)
            || self.is_ordinal(token)
            || self.is_cut_off(token)
            || self.is_operation(token);
        self.before = [self.before[1], *token];
        if !is_filling(token) {
            self.words = [self.words[1], *token];
        }
        convinced
    }

    /// A text that ends in a condition: `' or 1`.
    fn is_convinced_by_end(&self) -> bool {
        let [logic, value] = &self.words;
        self.ends_quotes && logic.kind == Kind::Logic && is_literal(value)
    }

    fn begin(&mut self, token: &Token) {
        if !self.has_begun {
            self.has_begun = !matches!(token.kind, Kind::Open | Kind::Comment) && !token.is_unary();
            self.ends_quotes = token.kind == Kind::Text && token.open == 0;
            self.ends_value = self.ends_quotes || matches!(token.kind, Kind::Number | Kind::Close);
        }
    }

    /// `DROP TABLE`, `UNION ALL SELECT`, `UPDATE a SET`, `DECLARE @a`.
    fn is_statement(&self, token: &Token) -> bool {
        let [first, second] = self.words.each_ref().map(|word| word.value.as_bytes());
        let next = token.value.as_bytes();
        let is_next = |known: &&[u8]| {
            next == *known || matches!(known.last(), Some(b'_' | b'.')) && next.starts_with(known)
        };
        PHRASES.iter().any(|(word, nexts)| *word == second && nexts.iter().any(is_next))
            || (first, next) == (b"UPDATE", b"SET")
            || second == b"DECLARE" && token.kind == Kind::Variable
            || self.words[1].kind == Kind::Semicolon && next == b"SHUTDOWN"
    }

    /// `(SELECT`, `SELECT 1`, `SELECT a FROM`.
    fn is_query(&mut self, token: &Token) -> bool {
        let (before, word) = (&self.before[1], token.value.as_bytes());
        if token.kind == Kind::Expression && word == b"SELECT" {
            self.selects = true;
            return before.kind == Kind::Open;
        }
        let is_value = is_literal(token) || matches!(token.kind, Kind::Variable | Kind::Function);
        self.selects
            && (word == b"FROM"
                || before.value.as_bytes() == b"SELECT" && (is_value || word == b"*"))
    }

    /// A function of databases alone; or another one that a value is computed with.
    fn is_call(&self, token: &Token) -> bool {
        if token.kind != Kind::Open {
            return false;
        }
        let [behind, function] = &self.before;
        let name = function.value.as_bytes();
        let is_common = COMMON_FUNCTIONS.contains(&name);
        let is_sleep = name == b"SLEEP";
        FUNCTIONS.contains(&name)
            || match behind.kind {
                Kind::None => is_sleep && self.is_short,
                Kind::Logic => is_sleep || self.ends_value && function.kind == Kind::Function,
                Kind::Comma => is_sleep || self.ends_value && is_common,
                Kind::Operator => self.ends_value && is_common,
                _ => false,
            }
    }

    /// `AND 1=1` anywhere; `OR name = 'x'` behind the end of a value.
    fn is_comparison(&mut self, token: &Token) -> bool {
        let is_operand =
            is_literal(token) || matches!(token.kind, Kind::Word | Kind::Variable | Kind::Function);
        let compares = compares(token) || self.ends_quotes && token.is_arithmetic();
        self.condition = match self.condition {
            _ if token.kind == Kind::Logic => Condition::Logic,
            Condition::Left { is_literal } if compares => Condition::Compared { is_literal },
            same if is_filling(token) || token.is_arithmetic() => same,
            Condition::Logic if is_operand => Condition::Left { is_literal: is_literal(token) },
            same @ Condition::Left { .. } if is_literal(token) => same,
            Condition::Compared { is_literal: left } if is_operand => {
                return self.ends_value || left && is_literal(token);
            }
            _ => Condition::None,
        };
        false
    }

    /// `ORDER BY 5` behind the end of a value.
    fn is_ordinal(&self, token: &Token) -> bool {
        let words = self.words.each_ref().map(|word| word.value.as_bytes());
        let groups = matches!(words, [b"ORDER" | b"GROUP", b"BY"] | [_, b"HAVING" | b"LIMIT"]);
        self.ends_value && groups && token.kind == Kind::Number
    }

    /// A comment behind the end of a value, or behind `' or 1`.
    fn is_cut_off(&self, token: &Token) -> bool {
        let comment = token.value.as_bytes();
        let is_rest = comment == b"/*" || !comment.starts_with(b"/*") && comment.len() < 5;
        token.kind == Kind::Comment && is_rest && (self.is_short || self.is_convinced_by_end())
    }

    /// `'='`: the query's own quotes make two values, and that is all.
    fn is_operation(&self, token: &Token) -> bool {
        let [before, operator] = &self.before;
        self.is_short
            && self.ends_quotes
            && before.kind == Kind::Text
            && before.value.len() == 0
            && operator.kind == Kind::Operator
            && token.kind == Kind::Text
    }
}

/// What stands between words without a meaning of its own here.
fn is_filling(token: &Token) -> bool {
    matches!(token.kind, Kind::Open | Kind::Close | Kind::Type | Kind::Comment)
        || token.is_unary()
        || matches!(token.value.as_bytes(), b"ALL" | b"DISTINCT")
}

fn compares(token: &Token) -> bool {
    matches!(token.kind, Kind::Operator | Kind::Keyword)
        && COMPARISONS.contains(&token.value.as_bytes())
}

fn is_literal(token: &Token) -> bool {
    matches!(token.kind, Kind::Number | Kind::Text)
}
