//! The pages about routes that cannot do what they seem to say.

const PAGES: &str = include_str!("../../../../docs/reference/lints.md");

/// The section called `name`, with its heading and without what is around it.
pub(super) fn page(name: &str) -> Option<&'static str> {
    let (start, heading) = PAGES.match_indices("## ").find(|(at, heading)| {
        PAGES[..*at].ends_with('\n') && PAGES[at + heading.len()..].lines().next() == Some(name)
    })?;
    let section = &PAGES[start..];
    let end = section[heading.len()..].find("\n## ").map(|at| at + heading.len());
    Some(&section[..end.unwrap_or(section.len())])
}

#[cfg(test)]
mod tests {
    use selvedge_routing::LintCode;

    use super::*;

    #[test]
    fn every_lint_has_a_page() {
        let codes = [
            LintCode::UnreachableRoute,
            LintCode::DuplicateRoute,
            LintCode::UnreachableAlternative,
            LintCode::ShadowedRoute,
            LintCode::PathNeverMatches,
            LintCode::OpenRedirect,
            LintCode::IdentityCondition,
        ];
        for code in codes {
            let page = page(code.name()).unwrap();
            assert!(page.contains("\nRemedy: "), "{}", code.name());
        }
        assert_eq!(page(""), None);
        assert_eq!(page("unreachable"), None);
    }
}
