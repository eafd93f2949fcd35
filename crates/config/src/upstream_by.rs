//! `upstream-by "value" { "gold" "backend-gold" }` of a route.

use std::collections::BTreeMap;

use crate::{
    Code, Id, UpstreamBy,
    address::id,
    cursor::Cursor,
    reading::Problem,
    source::{Span, Spanned},
};

/// The choice as written.
pub(crate) struct UpstreamByPart {
    pub(crate) span: Span,
    pub(crate) value: Option<Spanned<Id>>,
    choices: Vec<Choice>,
}

struct Choice {
    text: String,
    span: Span,
    upstream: Option<Spanned<Id>>,
}

impl UpstreamByPart {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Self {
        let part = Self {
            span: cursor.span(),
            value: cursor.argument("the name of a value").and_then(|value| value.literal(id)),
            choices: cursor.rest(|cursor| Choice {
                text: cursor.name().to_owned(),
                span: cursor.span(),
                upstream: cursor
                    .argument("the id of an upstream")
                    .and_then(|value| value.literal(id)),
            }),
        };
        part.check(cursor);
        part
    }

    fn check(&self, cursor: &Cursor<'_>) {
        if self.choices.is_empty() {
            let problem = Problem::new(Code::Missing, "`upstream-by` chooses among nothing");
            cursor
                .error(problem.help("write `upstream-by \"plan\" { \"gold\" \"backend-gold\" }`"));
        }
        for (at, choice) in self.choices.iter().enumerate() {
            let same = self.choices[..at].iter().find(|other| other.text == choice.text);
            if let Some(first) = same {
                let problem =
                    Problem::new(Code::Repeated, format!("{:?} is there twice", choice.text))
                        .note("first written here", first.span)
                        .help("keep one of them");
                cursor.reading().error(choice.span, problem);
            }
        }
    }

    /// The upstreams that it names, and where.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Spanned<Id>> {
        self.choices.iter().filter_map(|choice| choice.upstream.as_ref())
    }

    pub(crate) fn settle(self) -> Option<UpstreamBy> {
        let Self { span: _, value, choices } = self;
        let choices = choices.into_iter().map(|Choice { text, span: _, upstream }| {
            upstream.map(|upstream| (text, upstream.value))
        });
        let choices = choices.collect::<Option<BTreeMap<_, _>>>()?;
        Some(UpstreamBy { value: value?.value.to_string(), choices })
    }
}
