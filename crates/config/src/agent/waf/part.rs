//! The nodes of an agent of type `waf`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use selvedge_base::ByteSize;

use super::{Policy, Profile, Settings, counters::part::CountersPart, policy::PolicyPart};
use crate::{
    Code, Entry, Id,
    address::id,
    cursor::Cursor,
    reading::{Problem, Reading},
    source::{Span, Spanned},
    value::Value,
};

/// Nodes that only agents of this type have.
pub(in crate::agent) const NODES: [&str; 26] = [
    "rules",
    "seclang",
    "profile",
    "excerpts",
    "mode",
    "paranoia",
    "log-at",
    "block-at",
    "block-response-at",
    "status",
    "early",
    "weight",
    "exclude",
    "shadow",
    "content-types",
    "bounds",
    "oversize",
    "undecodable",
    "exhausted",
    "inside-base64",
    "responses",
    "mask",
    "websocket",
    "login",
    "bots",
    "counters",
];

/// The most profiles of one agent: each has tables of its own.
const PROFILES_MAX: usize = 256;

/// The settings as written.
pub(in crate::agent) struct WafPart {
    span: Span,
    rules: Option<RulesPart>,
    seclang: Vec<Spanned<PathBuf>>,
    policy: PolicyPart,
    profiles: Vec<ProfilePart>,
    excerpts: Option<Spanned<bool>>,
    counters: Option<CountersPart>,
}

/// `rules "native" "own.kdl"`
#[derive(Default)]
struct RulesPart {
    native: bool,
    files: Vec<PathBuf>,
}

struct ProfilePart {
    id: Option<Spanned<Id>>,
    policy: PolicyPart,
}

impl WafPart {
    pub(in crate::agent) fn read(cursor: &mut Cursor<'_>) -> Self {
        let seclang = cursor.children(&["seclang"], |cursor| {
            let files = cursor.arguments("files such as \"crs/rules/*.conf\"").into_iter();
            files.filter_map(seclang_files).collect::<Vec<_>>()
        });
        let part = Self {
            span: cursor.span(),
            rules: cursor.child("rules", RulesPart::read),
            seclang: seclang.into_iter().flatten().collect(),
            policy: PolicyPart::read(cursor),
            profiles: cursor.children(&["profile"], ProfilePart::read),
            excerpts: cursor.setting("excerpts", |value| value.boolean()),
            counters: cursor.child("counters", CountersPart::read),
        };
        part.check_profiles(cursor.reading());
        part.check_counters(cursor.reading());
        part
    }

    fn check_profiles(&self, reading: &Reading<'_>) {
        let mut first: BTreeMap<&str, Span> = BTreeMap::new();
        for id in self.profiles.iter().filter_map(|part| part.id.as_ref()) {
            if let Some(first) = first.get(id.value.as_ref()) {
                let message = format!("two profiles have the id `{}`", id.value);
                let problem = Problem::new(Code::DuplicateId, message)
                    .note("first written here", *first)
                    .help("give one of them another id");
                reading.error(id.span, problem);
            }
            first.entry(&id.value).or_insert(id.span);
        }
        if self.profiles.len() > PROFILES_MAX {
            let message = format!("an agent has at most {PROFILES_MAX} profiles");
            let help = "let routes share profiles, or write a second agent";
            reading.error(self.span, Problem::new(Code::TooLarge, message).help(help));
        }
    }

    fn check_counters(&self, reading: &Reading<'_>) {
        let counts = self.policy.counts() || self.profiles.iter().any(|part| part.policy.counts());
        if let Some(counters) = self.counters.as_ref().filter(|_| !counts) {
            let problem = Problem::new(Code::Conflict, "nothing is counted");
            reading.error(counters.span, problem.help("add `login \"/login\"` or `bots`"));
        }
    }

    pub(in crate::agent) fn settle(
        self,
        reading: &Reading<'_>,
        (scope, body_max): (&str, ByteSize),
    ) -> Option<Settings> {
        let Self { span: _, rules, seclang, policy, profiles, excerpts, counters } = self;
        let RulesPart { native, files } =
            rules.unwrap_or_else(|| RulesPart { native: seclang.is_empty(), files: Vec::new() });
        let policy = policy.settle(reading, (scope, body_max), &Policy::new(body_max));
        let profile = |part: ProfilePart| part.settle(reading, (scope, body_max), &policy);
        let profiles: Vec<_> = profiles.into_iter().map(profile).collect();
        Some(Settings {
            native,
            rules: files,
            seclang: seclang.into_iter().map(|file| file.value).collect(),
            profiles: profiles.into_iter().collect::<Option<_>>()?,
            policy,
            excerpts: excerpts.is_none_or(|switch| switch.value),
            counters: CountersPart::settle(counters, reading, scope),
        })
    }
}

impl RulesPart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        let mut part = Self::default();
        for value in cursor.arguments("\"native\" or files of rules") {
            if value.is_text("native") {
                part.native = true;
            } else {
                part.files.extend(value.file().map(|file| file.value));
            }
        }
        part
    }
}

impl ProfilePart {
    fn read(cursor: &mut Cursor<'_>) -> Self {
        Self {
            id: cursor.argument("an id").and_then(|value| value.literal(id)),
            policy: PolicyPart::read(cursor),
        }
    }

    fn settle(
        self,
        reading: &Reading<'_>,
        (scope, body_max): (&str, ByteSize),
        agent: &Policy,
    ) -> Option<Profile> {
        let id = self.id?.value.to_string();
        let scope = format!("{scope} profile {id:?}");
        Some(Profile { policy: self.policy.settle(reading, (&scope, body_max), agent), id })
    }
}

/// A file that is there, or a pattern of names in a folder that is.
fn seclang_files(value: Value<'_>) -> Option<Spanned<PathBuf>> {
    let is_pattern = |text: &str| text.contains(['*', '?', '[']);
    let written = value.path()?;
    let name = written.value.file_name().unwrap_or_default();
    if !is_pattern(&name.to_string_lossy()) {
        return value.file();
    }
    let reading = value.reading();
    let folder = written.value.parent().unwrap_or(Path::new("/"));
    if reading.env.entry(folder) == Some(Entry::Folder) {
        return Some(written);
    }
    let message = format!("{} is not a folder that is there", folder.display());
    let help = "a pattern is for the names in one folder, such as \"crs/rules/*.conf\"";
    reading.error(written.span, Problem::new(Code::FileMissing, message).help(help));
    None
}
