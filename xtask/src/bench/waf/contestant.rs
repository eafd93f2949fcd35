//! Who is measured.

use std::{path::PathBuf, time::Duration};

use super::super::pinned::{self, Core};
use crate::{
    Result,
    waf::{self, Engine, Place},
};

/// An engine with its rules.
#[derive(Debug, PartialEq, Eq)]
pub struct Contestant {
    /// Its name on the command line.
    pub slug: &'static str,
    /// What its row is called.
    pub label: &'static str,
    /// Whose it is.
    pub whose: Whose,
    /// Its rules.
    pub rules: Rules,
    /// Whether it is slow enough that hostile bodies of a megabyte are not for it.
    pub is_peer: bool,
}

/// Whose engine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Debian's libmodsecurity.
    ModSecurity,
    /// `zentinel-modsec` of crates.io.
    Zentinel,
    /// Ours.
    Selvedge,
}

/// Rules that requests are judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// The Core Rule Set as it comes, at level 1.
    Core,
    /// Those that come with Selvedge.
    Native,
}

/// All of them, in the order in which they take turns.
pub const ALL: &[Contestant] = &[
    Contestant {
        slug: "modsecurity",
        label: "libmodsecurity, Core Rule Set",
        whose: Whose::ModSecurity,
        rules: Rules::Core,
        is_peer: true,
    },
    Contestant {
        slug: "zentinel",
        label: "zentinel-modsec, Core Rule Set",
        whose: Whose::Zentinel,
        rules: Rules::Core,
        is_peer: true,
    },
    Contestant {
        slug: "core",
        label: "Selvedge, Core Rule Set",
        whose: Whose::Selvedge,
        rules: Rules::Core,
        is_peer: false,
    },
    Contestant {
        slug: "native",
        label: "Selvedge, rules of its own",
        whose: Whose::Selvedge,
        rules: Rules::Native,
        is_peer: false,
    },
];

impl Contestant {
    /// Starts it with these files of records, stopped after so long if it is given only so long.
    pub fn start_with(
        &self,
        place: &Place,
        records: &[PathBuf],
        options: &[&str],
        patience: Option<Duration>,
    ) -> Result<Engine> {
        let program = match self.whose {
            Whose::ModSecurity => place.modsecurity()?,
            Whose::Zentinel => place.zentinel()?,
            Whose::Selvedge => place.path("waf_engine"),
        };
        let mut command = match patience {
            Some(patience) => {
                let mut command = pinned::command(Core::Proxy, "timeout");
                command.arg("--signal=KILL").arg(patience.as_secs().to_string()).arg(program);
                command
            }
            None => pinned::command(Core::Proxy, program),
        };
        command.args(options);
        let rules = match self.rules {
            Rules::Core => waf::core_rule_set(&[])?,
            Rules::Native => {
                command.arg("--native");
                Vec::new()
            }
        };
        Engine::start(&mut command, &rules, records)
    }
}
