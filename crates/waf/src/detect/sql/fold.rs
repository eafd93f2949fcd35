//! From tokens to the few that tell an injection: what is equivalent in SQL becomes the same.

use super::{
    scan::Scanner,
    token::{Kind, Token},
    words,
};

/// How many tokens a fingerprint has at most.
pub const TOKENS_MAX: usize = 5;

/// One more than a fingerprint has is read, since it can change the one before; the rest is always empty.
const PLACES: usize = 8;

/// Words that are functions before a parenthesis, and names of columns elsewhere.
const FUNCTIONS: &[&[u8]] = &[
    b"USER_ID",
    b"USER_NAME",
    b"DATABASE",
    b"PASSWORD",
    b"USER",
    b"CURRENT_USER",
    b"CURRENT_DATE",
    b"CURRENT_TIME",
    b"CURRENT_TIMESTAMP",
    b"LOCALTIME",
    b"LOCALTIMESTAMP",
];

/// Reads a whole text and returns the tokens that are left of it, at most [`TOKENS_MAX`].
pub fn fold(scanner: &mut Scanner<'_>) -> Folded {
    let mut folder = Folder {
        scanner,
        tokens: Default::default(),
        read: 0,
        settled: 0,
        more: true,
        last_comment: None,
    };
    let length = folder.run();
    Folded { tokens: folder.tokens, length }
}

/// The tokens that are left.
pub struct Folded {
    tokens: [Token; PLACES],
    length: usize,
}

impl Folded {
    pub fn tokens(&self) -> &[Token] {
        &self.tokens[..self.length]
    }

    pub fn tokens_mut(&mut self) -> &mut [Token] {
        &mut self.tokens[..self.length]
    }
}

struct Folder<'s, 'a> {
    scanner: &'s mut Scanner<'a>,
    tokens: [Token; PLACES],
    /// How many tokens are there; never less than `settled`.
    read: usize,
    /// How many of them no rule wants to see again.
    settled: usize,
    /// Whether the text goes on.
    more: bool,
    /// The comment that nothing has followed yet.
    last_comment: Option<Token>,
}

/// What a look at some tokens led to.
enum Step {
    /// They changed: look again.
    Again,
    /// They stand.
    Stands,
    /// Nothing else matters: this is evil.
    Evil,
}

impl Folder<'_, '_> {
    fn run(&mut self) -> usize {
        if !self.skip_beginning() {
            return 0;
        }
        loop {
            if self.read >= TOKENS_MAX {
                self.shorten_five();
            }
            if !self.more || self.settled >= TOKENS_MAX {
                self.settled = self.read;
                break;
            }
            if !self.fill(2) {
                self.settled = self.read;
                continue;
            }
            match self.fold_two() {
                Step::Again => continue,
                Step::Evil => return self.settled + 2,
                Step::Stands => (),
            }
            if !self.fill(3) {
                self.settled = self.read;
                continue;
            }
            if let Step::Stands = self.fold_three() {
                self.settled += 1;
            }
        }
        self.settle_comment();
        self.settled.min(TOKENS_MAX)
    }

    /// Skips comments, parentheses, types and unary operators; returns whether something follows.
    fn skip_beginning(&mut self) -> bool {
        while let Some(token) = self.scanner.next() {
            let skipped = matches!(token.kind, Kind::Comment | Kind::Open | Kind::Type);
            if !skipped && !token.is_unary() {
                self.tokens[0] = token;
                self.read = 1;
                return true;
            }
        }
        false
    }

    /// Reads until `wanted` tokens are not settled; returns whether there are so many.
    fn fill(&mut self, wanted: usize) -> bool {
        while self.more && self.read <= TOKENS_MAX && self.read - self.settled < wanted {
            let next = self.scanner.next();
            self.more = next.is_some();
            self.tokens[self.read] = next.unwrap_or_default();
            match next {
                None => (),
                Some(token) if token.kind == Kind::Comment => self.last_comment = Some(token),
                Some(_) => {
                    self.last_comment = None;
                    self.read += 1;
                }
            }
        }
        self.read - self.settled >= wanted
    }

    /// A comment at the end belongs to the fingerprint if there is room.
    fn settle_comment(&mut self) {
        if let Some(comment) = self.last_comment.filter(|_| self.settled < TOKENS_MAX) {
            self.tokens[self.settled] = comment;
            self.settled += 1;
        }
    }

    /// Arithmetic of five tokens is one.
    fn shorten_five(&mut self) {
        use Kind::{Close, Comma, Number, Open, Operator, Word};
        let kinds: [Kind; TOKENS_MAX] = std::array::from_fn(|i| self.tokens[i].kind);
        if !matches!(
            kinds,
            [Number, Operator | Comma, Open, Number, Close]
                | [Word, Operator, Open, Word | Number, Close]
                | [Number, Close, Comma, Open, Number]
                | [Word, Close, Operator, Open, Word]
        ) {
            return;
        }
        self.settled = 0;
        if self.read > TOKENS_MAX {
            self.tokens[1] = self.tokens[TOKENS_MAX];
            self.read = 2;
        } else {
            self.read = 1;
        }
    }

    fn fold_two(&mut self) -> Step {
        use Kind::{
            Backslash, Close, CloseBrace, Collate, Function, Keyword, Logic, Number, Open,
            OpenBrace, Operator, Semicolon, Statement, Text, Type, Variable, Word,
        };
        let (here, next) = (self.settled, self.settled + 1);
        let [first, second] = [self.tokens[here], self.tokens[next]];
        let word = first.value.as_bytes();
        match (first.kind, second.kind) {
            (Text, Text) | (Semicolon, Semicolon) => self.forget(1),
            (Operator | Logic, kind) if kind == Type || second.is_unary() => {
                self.forget_and_restart(1)
            }
            (Open, _) if second.is_unary() => self.forget_and_step_back(),
            _ if self.merge(here, next) => self.forget_and_step_back(),
            (Semicolon, Function) if second.value.as_bytes().starts_with(b"IF") => {
                self.turn(next, Statement)
            }
            (Word | Variable, Open) if FUNCTIONS.contains(&word) => self.turn(here, Function),
            (Keyword, kind) if matches!(word, b"IN" | b"NOT IN") => {
                self.turn(here, if kind == Open { Operator } else { Word })
            }
            (Operator, kind) if matches!(word, b"LIKE" | b"NOT LIKE") => {
                if kind == Open {
                    self.tokens[here].kind = Function;
                }
                Step::Stands
            }
            (Type, Word | Number | Type | Open | Function | Variable | Text) => {
                self.tokens[here] = second;
                self.forget_and_restart(1)
            }
            (Collate, Word) => {
                if second.value.has(b'_') {
                    self.tokens[next].kind = Type;
                    self.settled = 0;
                }
                Step::Stands
            }
            (Backslash, _) if second.is_arithmetic() => {
                self.tokens[here].kind = Number;
                self.forget_and_restart(0)
            }
            (Backslash, _) => {
                self.tokens[here] = second;
                self.forget_and_restart(1)
            }
            (Open, Open) | (Close, Close) => self.forget_and_restart(1),
            // MySQL takes {``.``.id} for a column; nobody else writes such a thing.
            (OpenBrace, Word) if second.value.len() == 0 => {
                self.tokens[next].kind = Kind::Evil;
                Step::Evil
            }
            (OpenBrace, Word) => self.forget_and_restart(2),
            (_, CloseBrace) => self.forget_and_restart(1),
            _ => Step::Stands,
        }
    }

    fn fold_three(&mut self) -> Step {
        use Kind::{
            Close, Comma, Dot, Expression, Function, Group, Keyword, Logic, Number, Open, Operator,
            Text, Type, Variable, Word,
        };
        let here = self.settled;
        let [first, second, third] = [here, here + 1, here + 2].map(|place| self.tokens[place]);
        match (first.kind, second.kind, third.kind) {
            (Number, Operator, Number)
            | (Logic, _, Logic)
            | (Variable, Operator, Variable | Number | Word)
            | (Word | Number, Operator, Number | Word)
            | (Word | Number | Text | Variable, Comma, Number | Word | Text | Variable)
            | (Word, Dot, Word) => self.forget_and_restart(2),
            (Operator, kind, Operator) if kind != Open => self.forget_and_restart(2),
            (Word | Number | Variable | Text, Operator, Type)
                if second.value.as_bytes() == b"::" =>
            {
                self.forget_and_restart(2)
            }
            (Expression | Group | Comma, _, Open)
            | (Keyword | Expression | Group, _, Number | Word | Variable | Text | Function)
            | (Comma, _, Function)
                if second.is_unary() =>
            {
                self.tokens[here + 1] = third;
                self.forget_and_restart(1)
            }
            // `1,-1` becomes `1` and is looked at anew.
            (Comma, _, Number | Word | Variable | Text) if second.is_unary() => {
                self.tokens[here + 1] = third;
                self.forget_and_restart(3)
            }
            (Expression, Dot, Word) => {
                self.tokens[here + 1] = third;
                self.forget_and_restart(1)
            }
            (Function, Open, kind) if kind != Close && first.value.as_bytes() == b"USER" => {
                self.tokens[here].kind = Word;
                Step::Stands
            }
            _ => Step::Stands,
        }
    }

    fn forget(&mut self, count: usize) -> Step {
        self.read -= count;
        Step::Again
    }

    fn forget_and_restart(&mut self, count: usize) -> Step {
        self.settled = 0;
        self.forget(count)
    }

    fn forget_and_step_back(&mut self) -> Step {
        self.settled = self.settled.saturating_sub(1);
        self.forget(1)
    }

    fn turn(&mut self, place: usize, kind: Kind) -> Step {
        self.tokens[place].kind = kind;
        Step::Again
    }

    /// Makes one of two words that mean something together: `UNION ALL`.
    fn merge(&mut self, here: usize, next: usize) -> bool {
        let (first, second) = (&self.tokens[here], &self.tokens[next]);
        if !can_merge(first.kind) || !(can_merge(second.kind) || second.kind == Kind::Logic) {
            return false;
        }
        let Some(value) = first.value.joined(&second.value) else { return false };
        let Some(kind) = words::kind_of(&value) else { return false };
        let token = &mut self.tokens[here];
        (token.kind, token.value) = (kind, value);
        true
    }
}

fn can_merge(kind: Kind) -> bool {
    use Kind::{Expression, Function, Keyword, Operator, Statement, Type, Union, Word};
    matches!(kind, Keyword | Word | Operator | Union | Function | Expression | Statement | Type)
}
