//! Who is measured.

use super::super::waf::contestant::Rules;

/// A proxy with its firewall.
#[derive(Debug, PartialEq, Eq)]
pub struct Contestant {
    /// Its name on the command line.
    pub slug: &'static str,
    /// What its row is called.
    pub label: &'static str,
    /// Whose proxy it is.
    pub proxy: Proxy,
    /// What its firewall goes by, if it has one.
    pub rules: Option<Rules>,
}

/// Whose proxy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// As Debian ships it, with its module of libmodsecurity.
    Nginx,
    /// This repository's.
    Selvedge,
}

/// All of them, in the order in which they take turns.
pub const ALL: &[Contestant] = &[
    Contestant { slug: "nginx", label: "nginx", proxy: Proxy::Nginx, rules: None },
    Contestant {
        slug: "nginx-core",
        label: "nginx and libmodsecurity, Core Rule Set",
        proxy: Proxy::Nginx,
        rules: Some(Rules::Core),
    },
    Contestant { slug: "selvedge", label: "Selvedge", proxy: Proxy::Selvedge, rules: None },
    Contestant {
        slug: "selvedge-core",
        label: "Selvedge, Core Rule Set",
        proxy: Proxy::Selvedge,
        rules: Some(Rules::Core),
    },
    Contestant {
        slug: "selvedge-native",
        label: "Selvedge, rules of its own",
        proxy: Proxy::Selvedge,
        rules: Some(Rules::Native),
    },
];

impl Contestant {
    /// The same proxy without rules.
    pub fn bare(&self) -> &'static Self {
        let bare = ALL.iter().find(|it| it.proxy == self.proxy && it.rules.is_none());
        bare.expect("each proxy has a row without rules")
    }
}
