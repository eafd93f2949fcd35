//! What makes the engine fast must not change what it finds: everything here is judged twice, once without.

use std::{
    env, fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{
    Connection, Decision, Profile, RequestHead, ResponseHead, Rules, Score, Transaction, gate,
    pattern,
};
use crate::{
    native::{self, Case, Exchange},
    policy::{Limits, Policy},
    rule::{Mode, RuleSet},
    seclang::{self, Files, glob},
};

mod expressions;
mod folding;
mod gating;

/// What was found in an exchange, and what became of it.
#[derive(Debug, PartialEq, Eq)]
struct Judgement {
    /// Numbers and points, in order.
    matches: Vec<(u64, u32)>,
    score: Score,
    /// The status and the rule of the first refusal.
    refusal: Option<(u16, Option<u64>)>,
}

/// Rules that report all they find, however much work that is.
fn watching() -> Policy {
    Policy {
        mode: Some(Mode::DetectionOnly),
        limits: Limits { work: u64::MAX, ..Limits::default() },
        ..Policy::default()
    }
}

fn judge(transaction: &mut Transaction, profile: &Arc<Profile>, exchange: &Exchange) -> Judgement {
    let local = Ipv4Addr::LOCALHOST.into();
    let connection = Connection { client: local, client_port: 1, server: local, server_port: 80 };
    transaction.begin(profile, &connection, SystemTime::UNIX_EPOCH);
    match &exchange.frame {
        Some(frame) => {
            transaction.frame(frame.as_bytes());
        }
        None => pass_through(transaction, exchange),
    }
    transaction.log();
    Judgement {
        matches: transaction.matches().iter().map(|found| (found.id, found.points)).collect(),
        score: transaction.score(),
        refusal: transaction.refusal().map(|refusal| (refusal.status, refusal.rule)),
    }
}

fn pass_through(transaction: &mut Transaction, exchange: &Exchange) {
    let fields = |fields: &'_ [(String, String)]| -> Vec<(Vec<u8>, Vec<u8>)> {
        fields.iter().map(|(name, value)| (name.clone().into(), value.clone().into())).collect()
    };
    let owned = fields(&exchange.fields);
    let decision = transaction.request_head(&RequestHead {
        method: exchange.method.as_bytes(),
        target: exchange.target.as_bytes(),
        version: "HTTP/1.1",
        fields: &borrowed(&owned),
    });
    if decision != Decision::Pass {
        return;
    }
    transaction.request_body(exchange.body.as_bytes());
    let decision = transaction.request();
    let Some(response) = exchange.response.as_ref().filter(|_| decision == Decision::Pass) else {
        return;
    };
    let owned = fields(&response.fields);
    transaction.response_head(&ResponseHead {
        status: response.status,
        version: "HTTP/1.1",
        fields: &borrowed(&owned),
    });
    transaction.response_body(response.body.as_bytes());
    transaction.response();
}

fn borrowed(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<(&[u8], &[u8])> {
    fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
}

/// Every `stride`th of the native rules' cases, some of them changed as those change them who try to slip through.
fn exchanges(stride: usize, changes: usize) -> Vec<Exchange> {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut found = Vec::new();
    for case in native::cases().iter().step_by(stride) {
        found.push(case.exchange());
        for _ in 0..changes {
            let text = dice.change(&case.text).into();
            found.push(Case { text, ..case.clone() }.exchange());
        }
    }
    found
}

/// Chance that is the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn change(&mut self, text: &str) -> String {
        const JUNK: &[&str] =
            &["'", "\"", "\\", "(", ")", "$", "`", "$@", "/**/", "\0", "%00", "+", "\t"];
        match self.roll(5) {
            0 => self.each(text, |dice, char| match dice.roll(2) {
                0 => char.to_uppercase().collect(),
                _ => char.to_lowercase().collect(),
            }),
            1 => self.each(text, |dice, char| match dice.roll(4) {
                0 => format!("{}{char}", JUNK[dice.roll(JUNK.len())]),
                _ => char.to_string(),
            }),
            2 => self.each(text, |dice, char| match (dice.roll(3), char.is_ascii()) {
                (0, true) => format!("%{:02x}", char as u32),
                (1, true) => format!("&#x{:x};", char as u32),
                _ => char.to_string(),
            }),
            3 => self.each(text, |dice, char| char.to_string().repeat(1 + dice.roll(8) / 7)),
            _ => format!("{text}{}{text}", JUNK[self.roll(JUNK.len())]),
        }
    }

    fn each(&mut self, text: &str, change: impl Fn(&mut Self, char) -> String) -> String {
        text.chars().map(|char| change(self, char)).collect()
    }
}

/// Rules of a text in ModSecurity's language.
#[track_caller]
fn seclang(text: &str) -> RuleSet {
    let mut files = std::collections::BTreeMap::from([("main.conf".to_owned(), text.into())]);
    seclang::load(&mut files, &["main.conf"]).expect("the text is right").rules
}

/// The Core Rule Set at a level, where there is one.
fn core_rule_set(paranoia: u8) -> Option<RuleSet> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = env::var_os("SELVEDGE_VECTORS").map_or("../shared/data".into(), PathBuf::from);
    let folder = root.join(data).join("crs");
    if !folder.exists() {
        println!("skipped: {} is missing", folder.display());
        return None;
    }
    let level = format!(
        "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level={paranoia},\
         setvar:tx.detection_paranoia_level={paranoia}\""
    );
    let entry = ["level.conf", "crs-setup.conf.example", "rules/*.conf"];
    Some(seclang::load(&mut Disk { folder, level }, &entry).expect("the rules are right").rules)
}

/// The files of a rule set, and one that sets its level.
struct Disk {
    folder: PathBuf,
    level: String,
}

impl Files for Disk {
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        if name == "level.conf" {
            return Ok(self.level.clone().into());
        }
        fs::read(self.folder.join(name))
    }

    fn list(&mut self, pattern: &str) -> io::Result<Vec<String>> {
        let part = Path::new(pattern).parent().unwrap_or(Path::new(""));
        let mut names = Vec::new();
        for entry in fs::read_dir(self.folder.join(part))? {
            let name = part.join(entry?.file_name()).to_string_lossy().into_owned();
            names.extend(glob(pattern, &name).then_some(name));
        }
        names.sort();
        Ok(names)
    }
}
