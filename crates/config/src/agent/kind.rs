//! The settings of each kind, and whose they are.

use selvedge_base::{ByteSize, Secret};

use super::{
    auth::part::AuthPart,
    program::{ProgramPart, Way},
    rate_limit::part::RateLimitPart,
    schema::part::SchemaPart,
    settings::read_settings,
    waf::part::WafPart,
};
use crate::{
    AgentSettings, Code, Id, OwnKind,
    agent::{auth, rate_limit, schema, waf},
    cursor::Cursor,
    reading::{Problem, Reading, did_you_mean, one_of},
    source::Spanned,
};

/// Words of `type` for agents of Selvedge's own.
pub(super) const OWN_KINDS: [(&str, OwnKind); 4] = [
    ("auth", OwnKind::Auth),
    ("rate-limit", OwnKind::RateLimit),
    ("schema", OwnKind::Schema),
    ("waf", OwnKind::Waf),
];

/// The settings of one kind.
pub(super) enum SettingsPart {
    Auth(Box<AuthPart>),
    RateLimit(RateLimitPart),
    Schema(Box<SchemaPart>),
    Waf(Box<WafPart>),
    /// Outer: written at all; inner: understood.
    Foreign(Option<Option<Secret>>),
}

impl SettingsPart {
    pub(super) fn read(
        cursor: &mut Cursor<'_>,
        (kind, programs): (Option<&Spanned<Id>>, &[ProgramPart]),
    ) -> Option<Self> {
        let own = match programs.is_empty() {
            true => kind.and_then(|kind| own_kind(cursor.reading(), kind)),
            false => None,
        };
        let part = match own {
            Some(OwnKind::Auth) => Some(Self::Auth(Box::new(AuthPart::read(cursor)))),
            Some(OwnKind::RateLimit) => Some(Self::RateLimit(RateLimitPart::read(cursor))),
            Some(OwnKind::Schema) => Some(Self::Schema(Box::new(SchemaPart::read(cursor)))),
            Some(OwnKind::Waf) => Some(Self::Waf(Box::new(WafPart::read(cursor)))),
            Some(OwnKind::Bridge) | None if programs.is_empty() => None,
            Some(OwnKind::Bridge) | None => Some(Self::Foreign(read_foreign(cursor, programs))),
        };
        refuse_nodes_of_others(cursor, part.as_ref());
        part
    }

    pub(super) fn settle(
        self,
        reading: &Reading<'_>,
        (scope, id, body_max): (&str, &Id, ByteSize),
    ) -> Option<AgentSettings> {
        Some(match self {
            Self::Auth(part) => AgentSettings::Auth(part.settle(reading, (scope, id))?),
            Self::RateLimit(part) => AgentSettings::RateLimit(part.settle(reading, scope)?),
            Self::Schema(part) => AgentSettings::Schema(part.settle(reading, (scope, body_max))?),
            Self::Waf(part) => AgentSettings::Waf(part.settle(reading, (scope, body_max))?),
            Self::Foreign(None) => AgentSettings::Foreign(Secret::new("{}")),
            Self::Foreign(Some(settings)) => AgentSettings::Foreign(settings?),
        })
    }
}

fn own_kind(reading: &Reading<'_>, kind: &Spanned<Id>) -> Option<OwnKind> {
    let found = OWN_KINDS.iter().find(|(word, _)| *word == kind.value.as_ref());
    if found.is_none() {
        let message = format!("Selvedge has no agent of type `{}`", kind.value);
        let words = || OWN_KINDS.iter().map(|(word, _)| *word);
        let help = did_you_mean(&kind.value, words()).unwrap_or_else(|| {
            format!(
                "it is one of {}; one of somebody else's says where it runs by `command`, \
                 `address`, `grpc` or `http`",
                one_of(words())
            )
        });
        reading.error(kind.span, Problem::new(Code::UnknownWord, message).help(help));
    }
    found.map(|(_, kind)| *kind)
}

/// `settings { … }`, which programs have and services do not.
fn read_foreign(cursor: &mut Cursor<'_>, programs: &[ProgramPart]) -> Option<Option<Secret>> {
    let is_service = programs.iter().any(|program| matches!(program.way, Some(Way::Service(_))));
    if !is_service {
        return cursor.child("settings", read_settings);
    }
    if let Some(span) = cursor.skip("settings") {
        let message =
            "`settings` cannot be told to this service: its protocol has no place for them";
        let help = "remove them; `metadata \"name\" \"value\"` in `grpc { }` goes with each call";
        cursor.reading().error(span, Problem::new(Code::Conflict, message).help(help));
    }
    None
}

/// An error for each node that belongs to agents of another kind.
fn refuse_nodes_of_others(cursor: &mut Cursor<'_>, part: Option<&SettingsPart>) {
    let own = match part {
        Some(SettingsPart::Auth(_)) => "auth",
        Some(SettingsPart::RateLimit(_)) => "rate-limit",
        Some(SettingsPart::Schema(_)) => "schema",
        Some(SettingsPart::Waf(_)) => "waf",
        Some(SettingsPart::Foreign(_)) | None => "",
    };
    let kinds: [(&str, &[&str]); 4] = [
        ("auth", &auth::part::NODES),
        ("rate-limit", &rate_limit::part::NODES),
        ("schema", &schema::part::NODES),
        ("waf", &waf::part::NODES),
    ];
    // Some kinds share names.
    let mut known: Vec<&str> =
        kinds.iter().find(|(kind, _)| *kind == own).map_or(&[][..], |own| own.1).to_vec();
    for (kind, nodes) in kinds.into_iter().filter(|(kind, _)| *kind != own) {
        for node in nodes {
            if known.contains(node) {
                continue;
            }
            known.push(node);
            let span = cursor.skip(node);
            // Of a kind that is none, nothing more can be said.
            let Some(span) = span.filter(|_| part.is_some()) else { continue };
            let message = format!("`{node}` is for Selvedge's own agents of type `{kind}`");
            let help = match part {
                Some(SettingsPart::Foreign(_)) => "remove it; this agent runs elsewhere",
                _ => "remove it, or write it into an agent of that type",
            };
            cursor.reading().error(span, Problem::new(Code::Conflict, message).help(help));
        }
    }
    if !matches!(part, Some(SettingsPart::Foreign(_))) {
        refuse_settings(cursor, part);
    }
}

fn refuse_settings(cursor: &mut Cursor<'_>, part: Option<&SettingsPart>) {
    let span = cursor.skip("settings");
    let Some(span) = span.filter(|_| part.is_some()) else { return };
    let message = "`settings` are for agents of others; this one has nodes of its own";
    let help = "write them into the agent's block itself";
    cursor.reading().error(span, Problem::new(Code::Conflict, message).help(help));
}
