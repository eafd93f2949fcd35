use selvedge_config::{Diagnostic, MemoryEnvironment, Severity, parse_str};

/// A text is a config or it is a list of errors, each at a place that exists.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let environment = MemoryEnvironment::default();
    match parse_str("selvedge.kdl", text, &environment) {
        Ok(loaded) => {
            assert!(loaded.warnings.iter().all(|found| found.severity == Severity::Warning));
            let again = parse_str("selvedge.kdl", text, &environment);
            assert_eq!(again.map(|again| again.config), Ok(loaded.config));
        }
        Err(report) => {
            let found = report.diagnostics();
            assert!(found.iter().any(|found| found.severity == Severity::Error));
            found.iter().for_each(|found| is_in(text, found));
        }
    }
}

fn is_in(text: &str, found: &Diagnostic) {
    assert!(!found.message.is_empty() && !found.render(true).is_empty());
    if let Some(place) = &found.place {
        let lines = text.split('\n').count();
        assert!((1..=lines).contains(&place.line), "line {} of {lines}", place.line);
        assert!(place.column >= 1, "column {}", place.column);
    }
}
