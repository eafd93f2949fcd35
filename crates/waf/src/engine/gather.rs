//! What a variable stands for right now.

use std::{io::Write as _, time::UNIX_EPOCH};

use super::{
    Rules, Transaction,
    arena::Span,
    compile::{CompiledSelector, CompiledTarget},
    interest::classes,
    state::{Held, Hit},
    template::{Part, Slot, Template},
    walk::Caches,
};
use crate::{
    body::Unmatched,
    rule::{Processor, Variable},
};

/// An entry of a variable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub name: Span,
    pub value: Span,
}

impl CompiledTarget {
    /// Whether it chooses an entry of this class (or, where it is state, of this variable) and name.
    pub fn covers(&self, rules: &Rules, caches: &mut Caches, class: Variable, name: &[u8]) -> bool {
        self.classes >> class as u32 & 1 == 1 && self.selector.chooses(rules, caches, name)
    }
}

impl CompiledSelector {
    fn chooses(&self, rules: &Rules, caches: &mut Caches, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Key(_, key) => key.eq_ignore_ascii_case(name),
            Self::Prefix(prefix) => name.split(|&byte| byte == b'\n').any(|line| {
                line.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
            }),
            Self::Pattern(regex) => caches.is_match(rules, *regex, name),
        }
    }
}

impl Transaction {
    /// Collects the entries of a variable that a selector chooses into `self.gathered`.
    pub(super) fn gather(
        &mut self,
        rules: &Rules,
        variable: Variable,
        selector: &CompiledSelector,
    ) {
        self.gathered.clear();
        match classes(variable) {
            [] if variable.is_collection() => self.gather_state(rules, variable, selector),
            [] => self.gather_scalar(variable),
            classes => self.gather_values(rules, classes, selector),
        }
    }

    fn gather_values(&mut self, rules: &Rules, classes: &[Variable], selector: &CompiledSelector) {
        for &class in classes {
            for &at in self.data.of_class(class) {
                let value = self.data.values[at as usize];
                if selector.chooses(rules, &mut self.bench.caches, self.data.arena.get(value.name))
                {
                    self.gathered.push(Entry { name: value.name, value: value.value });
                }
            }
        }
    }

    fn gather_state(&mut self, rules: &Rules, variable: Variable, selector: &CompiledSelector) {
        match variable {
            Variable::MatchedVars => {
                (0..self.state.matched.len()).for_each(|at| self.gather_hit(at, false))
            }
            Variable::MatchedVarsNames => {
                (0..self.state.matched.len()).for_each(|at| self.gather_hit(at, true))
            }
            Variable::FilesSizes => self.gather_sizes(),
            _ => self.gather_set(rules, variable, selector),
        }
    }

    /// Variables that rules set.
    fn gather_set(&mut self, rules: &Rules, variable: Variable, selector: &CompiledSelector) {
        if let CompiledSelector::Key(_, name) = selector {
            let held = self.state.get(&self.data.arena, &rules.slots, variable, name);
            self.gather_held(name, held);
            return;
        }
        if variable == Variable::Tx {
            for slot in 0..rules.slots.len() as u16 {
                let name = rules.slots.name(slot);
                if self.state.slot(Slot(slot)) != Held::Nothing
                    && selector.chooses(rules, &mut self.bench.caches, name)
                {
                    self.gather_held(name, self.state.slot(Slot(slot)));
                }
            }
        }
        for at in 0..self.state.named.len() {
            let named = self.state.named[at];
            if named.collection == variable
                && selector.chooses(rules, &mut self.bench.caches, self.data.arena.get(named.name))
            {
                let value = self.held(named.held);
                value
                    .into_iter()
                    .for_each(|value| self.gathered.push(Entry { name: named.name, value }));
            }
        }
    }

    fn gather_held(&mut self, name: &[u8], held: Held) {
        if let Some(value) = self.held(held) {
            let name = self.data.arena.derive(name);
            self.gathered.push(Entry { name, value });
        }
    }

    /// The text of what a variable holds.
    fn held(&mut self, held: Held) -> Option<Span> {
        match held {
            Held::Nothing => None,
            Held::Number(number) => Some(self.number(number)),
            Held::Text(text) => Some(text),
        }
    }

    pub(super) fn number(&mut self, number: i64) -> Span {
        let start = self.data.arena.derived.len();
        write!(self.data.arena.derived, "{number}").expect("memory takes everything");
        super::arena::derived(start, self.data.arena.derived.len() - start)
    }

    fn gather_hit(&mut self, at: usize, name: bool) {
        let hit = self.state.matched[at];
        let value = if name { self.hit_name(&hit) } else { hit.text };
        self.gathered.push(Entry { name: hit.name, value });
    }

    /// `ARGS:name`.
    pub(super) fn hit_name(&mut self, hit: &Hit) -> Span {
        let arena = &mut self.data.arena;
        let start = arena.derived.len();
        arena.derived.extend_from_slice(hit.variable.name().as_bytes());
        if hit.name.len() > 0 {
            arena.derived.push(b':');
            let name = arena.get(hit.name).to_vec();
            arena.derived.extend_from_slice(&name);
        }
        super::arena::derived(start, arena.derived.len() - start)
    }

    fn gather_sizes(&mut self) {
        for at in 0..self.data.of_class(Variable::FilesTmpContent).len() {
            let file = self.data.values[self.data.of_class(Variable::FilesTmpContent)[at] as usize];
            let value = self.number(file.value.len() as i64);
            self.gathered.push(Entry { name: file.name, value });
        }
    }

    fn gather_scalar(&mut self, variable: Variable) {
        if let Some(value) = self.scalar(variable) {
            self.gathered.push(Entry { name: Span::default(), value });
        }
    }

    /// A variable without entries. `None`: there is no such thing in this exchange.
    fn scalar(&mut self, variable: Variable) -> Option<Span> {
        use Variable as V;
        let flags = self.multipart.as_ref();
        let number = match variable {
            V::MatchedVar => return self.state.matched.last().map(|hit| hit.text),
            V::MatchedVarName => {
                let hit = *self.state.matched.last()?;
                return Some(self.hit_name(&hit));
            }
            V::ArgsCombinedSize => self.combined(&[V::ArgsGet, V::ArgsPost], true),
            V::FilesCombinedSize => self.combined(&[V::FilesTmpContent], false),
            V::RequestBodyLength => self.request_body.len() as i64,
            V::FullRequestLength => (self.head_bytes + self.request_body.len()) as i64,
            V::RemotePort => i64::from(self.connection.client_port),
            V::ServerPort => i64::from(self.connection.server_port),
            V::ResponseStatus => i64::from(self.response_status?),
            V::ReqbodyError | V::ReqbodyProcessorError => i64::from(self.body_problem.is_some()),
            V::MultipartStrictError => {
                i64::from(flags.is_some_and(|flags| flags.is_strict_error()))
            }
            V::MultipartUnmatchedBoundary => match flags?.unmatched_boundary {
                Unmatched::No => 0,
                Unmatched::Open => 1,
                Unmatched::Closed => 2,
            },
            V::MultipartBoundaryQuoted => i64::from(flags?.boundary_quoted),
            V::MultipartBoundaryWhitespace => i64::from(flags?.boundary_whitespace),
            V::MultipartDataBefore => i64::from(flags?.data_before),
            V::MultipartDataAfter => i64::from(flags?.data_after),
            V::MultipartHeaderFolding => i64::from(flags?.header_folding),
            V::MultipartInvalidHeaderFolding => i64::from(flags?.invalid_header_folding),
            V::MultipartLfLine => i64::from(flags?.lf_line),
            V::MultipartCrlfLfLines => i64::from(flags?.crlf_line && flags?.lf_line),
            V::MultipartMissingSemicolon => i64::from(flags?.missing_semicolon),
            V::MultipartInvalidQuoting => i64::from(flags?.invalid_quoting),
            V::MultipartInvalidPart => i64::from(flags?.invalid_part),
            V::MultipartFileLimitExceeded => i64::from(flags?.file_limit_exceeded),
            V::GraphqlDepth => self.graphql?.total.depth as i64,
            V::GraphqlAliases => self.graphql?.total.aliases as i64,
            V::GraphqlDirectives => self.graphql?.total.directives as i64,
            V::GraphqlRootFields => self.graphql?.total.root_fields as i64,
            V::GraphqlIntrospection => i64::from(self.graphql?.total.introspection),
            V::GraphqlBatch => self.graphql?.documents as i64,
            V::InboundDataError => i64::from(self.oversize),
            V::OutboundDataError => i64::from(self.response_oversize),
            V::HighestSeverity => self.severity.map_or(255, |severity| severity as i64),
            V::TimeEpoch => self.seconds(),
            V::TimeSec => self.seconds() % 60,
            V::TimeMin => self.seconds() / 60 % 60,
            V::TimeHour => self.seconds() / 3600 % 24,
            V::TimeWday => (self.seconds() / 86_400 + 4) % 7,
            V::TimeYear => date(self.seconds()).0,
            V::TimeMon => date(self.seconds()).1 - 1,
            V::TimeDay => date(self.seconds()).2,
            _ => return self.text_scalar(variable),
        };
        Some(self.number(number))
    }

    fn text_scalar(&mut self, variable: Variable) -> Option<Span> {
        use Variable as V;
        Some(match variable {
            V::RemoteAddr | V::RemoteHost => {
                let client = self.connection.client.to_canonical();
                self.data.arena.write(format_args!("{client}"))
            }
            V::ServerAddr => {
                let server = self.connection.server.to_canonical();
                self.data.arena.write(format_args!("{server}"))
            }
            V::UniqueId => {
                let unique = self.unique();
                self.data.arena.derive(unique.as_bytes())
            }
            V::ReqbodyErrorMsg | V::ReqbodyProcessorErrorMsg => {
                self.data.arena.derive(self.body_problem.as_ref()?.as_bytes())
            }
            V::ReqbodyProcessor => {
                let name = processor_name(self.state.processor.or(self.processor)?);
                self.data.arena.derive(name.as_bytes())
            }
            V::ServerName => return self.host(),
            V::ResponseProtocol => return self.response_protocol,
            V::ResponseContentType => return self.response_field(b"content-type"),
            V::ResponseContentLength => return self.response_field(b"content-length"),
            V::StatusLine => return self.status_line(),
            V::Time => {
                let now = self.seconds();
                let (hour, minute, second) = (now / 3600 % 24, now / 60 % 60, now % 60);
                self.data.arena.write(format_args!("{hour:02}:{minute:02}:{second:02}"))
            }
            V::ModsecBuild => self.data.arena.derive(b"030000000"),
            _ => return None,
        })
    }

    fn combined(&self, classes: &[Variable], names: bool) -> i64 {
        let of = |class: &Variable| {
            self.data.of_class(*class).iter().map(|&at| self.data.values[at as usize])
        };
        let len = classes
            .iter()
            .flat_map(of)
            .map(|value| value.value.len() + if names { value.name.len() } else { 0 });
        len.sum::<usize>() as i64
    }

    /// A name of the exchange that no other has, on this machine: when, by which transaction, and its how-manieth.
    fn unique(&self) -> String {
        let now = self.now.duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_nanos());
        format!("{now:x}-{:x}-{:x}", self.number, self.exchange)
    }

    fn seconds(&self) -> i64 {
        self.now.duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs() as i64)
    }

    /// The host of the request, without its port.
    fn host(&mut self) -> Option<Span> {
        let host = self.data.named(Variable::RequestHeaders, b"host")?;
        let name = match host {
            [b'[', ..] => host.split_inclusive(|&byte| byte == b']').next().unwrap_or(host),
            _ => host.split(|&byte| byte == b':').next().unwrap_or(host),
        };
        let name = name.to_vec();
        Some(self.data.arena.derive(&name))
    }

    fn response_field(&mut self, name: &[u8]) -> Option<Span> {
        let values = self
            .data
            .of_class(Variable::ResponseHeaders)
            .iter()
            .map(|&at| self.data.values[at as usize]);
        let mut found =
            values.filter(|value| self.data.arena.get(value.name).eq_ignore_ascii_case(name));
        found.next().map(|value| value.value)
    }

    fn status_line(&mut self) -> Option<Span> {
        let protocol = self.data.arena.get(self.response_protocol?).to_vec();
        let line =
            [&protocol, b" ".as_slice(), self.response_status?.to_string().as_bytes()].concat();
        Some(self.data.arena.derive(&line))
    }

    /// Writes a text with its variables filled in at the end of the derived bytes. A variable that is not there is empty.
    pub(super) fn expand(&mut self, rules: &Rules, template: &Template) -> Span {
        if let [Part::Literal(text)] = &*template.0 {
            return self.data.arena.derive(text);
        }
        let mut text = std::mem::take(&mut self.expanded);
        text.clear();
        for part in &template.0 {
            match part {
                Part::Literal(literal) => text.extend_from_slice(literal),
                Part::Slot(slot) => match self.state.slot(*slot) {
                    Held::Nothing => {}
                    Held::Number(number) => {
                        write!(text, "{number}").expect("memory takes everything")
                    }
                    Held::Text(span) => text.extend_from_slice(self.data.arena.get(span)),
                },
                Part::Variable(variable, name) => {
                    self.expand_variable(rules, *variable, name.as_deref(), &mut text)
                }
            }
        }
        let span = self.data.arena.derive(&text);
        self.expanded = text;
        span
    }

    fn expand_variable(
        &mut self,
        rules: &Rules,
        variable: Variable,
        name: Option<&[u8]>,
        text: &mut Vec<u8>,
    ) {
        if variable == Variable::Rule {
            self.expand_rule(rules, name, text);
            return;
        }
        let gathered = std::mem::take(&mut self.gathered);
        let selector = name.map_or(CompiledSelector::All, |name| {
            CompiledSelector::Key(super::template::Key::NONE, name.into())
        });
        self.gather(rules, variable, &selector);
        if let Some(entry) = self.gathered.first() {
            text.extend_from_slice(self.data.arena.get(entry.value));
        }
        self.gathered = gathered;
    }

    fn expand_rule(&self, rules: &Rules, name: Option<&[u8]>, text: &mut Vec<u8>) {
        let Some(rule) = self.asked.map(|at| &rules.rules[usize::from(at)].rule) else { return };
        match name {
            Some(b"id") => text.extend_from_slice(rule.id.to_string().as_bytes()),
            Some(b"severity") => {
                text.extend_from_slice(
                    rule.severity
                        .map_or(String::new(), |severity| (severity as u8).to_string())
                        .as_bytes(),
                );
            }
            _ => {}
        }
    }
}

fn processor_name(processor: Processor) -> &'static str {
    match processor {
        Processor::UrlEncoded => "URLENCODED",
        Processor::Multipart => "MULTIPART",
        Processor::Json => "JSON",
        Processor::Xml => "XML",
        Processor::GraphQl => "GRAPHQL",
    }
}

/// Year, month from 1 and day of a time in seconds since 1970, in UTC (Howard Hinnant, `civil_from_days`).
fn date(seconds: i64) -> (i64, i64, i64) {
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(951_782_400), (2000, 2, 29));
        assert_eq!(date(1_798_761_599), (2026, 12, 31));
    }
}
