//! What stands about the codes of answers that the edge, and agents of its own, give by
//! themselves, and the core with them.

use std::fmt::Write;

const PAGES: [&str; 6] = [
    include_str!("../../../../docs/errors/http.md"),
    include_str!("../../../../docs/errors/agents.md"),
    include_str!("../../../../docs/errors/core.md"),
    include_str!("../../../../docs/errors/streams.md"),
    include_str!("../../../../docs/errors/sync.md"),
    include_str!("../../../../docs/errors/audit.md"),
];

/// The rows about `code`, each with the headings of its table: a code of the head gate may stand in
/// both.
pub(super) fn page(code: &str) -> Option<String> {
    let mut headings: Vec<&str> = Vec::new();
    let mut out = String::new();
    for line in PAGES.iter().flat_map(|page| page.lines()) {
        match cells(line) {
            Some(cells) if cells[0] == "Status" => headings = cells,
            Some(cells) if cells.get(1) == Some(&&*format!("`{code}`")) => {
                for (heading, cell) in headings.iter().zip(cells) {
                    writeln!(out, "{heading}: {cell}").expect("a String takes every write");
                }
                out.push('\n');
            }
            _ => {}
        }
    }
    (!out.is_empty()).then(|| format!("# {code}\n\n{}", out.trim_end()))
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
    Some(row.split(" | ").collect())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use selvedge_agents::Problem;
    use selvedge_http1::RULES;

    use super::*;

    #[track_caller]
    fn check(code: &str, expected: Expect) {
        expected.assert_eq(&page(code).unwrap_or_default());
    }

    #[test]
    fn codes_of_answers_have_their_rows() {
        check(
            "route/none",
            expect![[r#"
            # route/none

            Status: 404
            Code: `route/none`
            Title: Not found
            What to do as the operator: `selvedge explain URL` shows which routes were passed over, and why."#]],
        );
        check(
            "head-gate/tab",
            expect![[r#"
            # head-gate/tab

            Status: 400
            Code: `head-gate/tab`
            What breaks the rule: a tab behind `Content-Length` or `Transfer-Encoding`"#]],
        );
        check(
            "limit/head",
            expect![[r#"
            # limit/head

            Status: 431
            Code: `limit/head`
            Title: Request head too large
            What to do as the operator: Often too many cookies; else raise `head` or `head-fields` in the limits.

            Status: 431
            Code: `limit/head`
            What breaks the rule: more bytes than `limits { head }`"#]],
        );
        check(
            "auth/rights",
            expect![[r#"
            # auth/rights

            Status: 403
            Code: `auth/rights`
            Title: Not permitted
            What to do as the operator: Give the user the route's roles and scopes, or look at which claims they are read from."#]],
        );
        check(
            "waf/password-guessing",
            expect![[r#"
            # waf/password-guessing

            Status: 429
            Code: `waf/password-guessing`
            Setting: `address-failures`
            What it says: One address failed often."#]],
        );
        check("head-gate", expect![[r#""#]]);
        check("", expect![[r#""#]]);
        assert!(RULES.iter().all(|rule| page(rule.code).is_some()));
        assert!(Problem::ALL.iter().all(|problem| page(problem.code).is_some()));
    }
}
