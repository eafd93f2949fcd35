//! What paths have in front of the description's, as its servers say.

use super::schemas::Desk;
use crate::schema::document::Part;

/// Base paths that variables of servers can make.
const BASES: usize = 64;

/// The base paths of an operation: `base` if the operator gave one, else those of the first of `parts`
/// that has servers. They begin with a slash or are empty, and do not end with one.
pub(super) fn bases(parts: &[&Part], base: Option<&str>, desk: &mut Desk<'_>) -> Vec<String> {
    if let Some(base) = base {
        return vec![base.trim_end_matches('/').to_owned()];
    }
    let servers = parts.iter().find_map(|part| part.member("servers"));
    let servers = servers.map(|servers| servers.items()).unwrap_or_default();
    let mut bases: Vec<String> = Vec::new();
    for server in &servers {
        for base in bases_of(server, desk) {
            if !bases.contains(&base) {
                bases.push(base);
            }
        }
    }
    if bases.is_empty() {
        bases.push(String::new());
    }
    bases
}

fn bases_of(server: &Part, desk: &mut Desk<'_>) -> Vec<String> {
    let Some(url) = server.text("url") else {
        desk.report.fault(&server.place, "has no `url`");
        return Vec::new();
    };
    let after_scheme =
        url.split_once("://").map(|(_, rest)| rest).or_else(|| url.strip_prefix("//"));
    let path = match after_scheme {
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
        None => url,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let mut bases = vec![if path.is_empty() { String::new() } else { format!("/{path}") }];
    for (name, variable) in server.member("variables").map(|all| all.members()).unwrap_or_default()
    {
        let slot = format!("{{{name}}}");
        if !bases.iter().any(|base| base.contains(&slot)) {
            continue;
        }
        let mut values: Vec<String> = variable.member("enum").map_or_else(Vec::new, |all| {
            all.items().iter().filter_map(|item| item.value().as_str().map(str::to_owned)).collect()
        });
        if values.is_empty() {
            values.extend(variable.text("default").map(str::to_owned));
            let what = "has no `enum`; only its default is a base path";
            desk.report.note(&variable.place, what);
        }
        bases = bases
            .iter()
            .flat_map(|base| {
                values.iter().map(|value| base.replace(&slot, value.trim_matches('/')))
            })
            .collect();
        if bases.len() > BASES {
            desk.report.fault(&server.place, format!("makes more than {BASES} base paths"));
            return Vec::new();
        }
    }
    if bases.iter().any(|base| base.contains(['{', '}'])) {
        desk.report.fault(&server.place.join("url"), "has a variable that is not described");
        return Vec::new();
    }
    bases
}
