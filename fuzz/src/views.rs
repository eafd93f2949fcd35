use selvedge_config::{VIEW_ROWS, View, ViewShape};
use selvedge_jobs::refused;

/// A text is a query that can be kept up, or there is one reason why not, the same whenever it is asked, fit for a
/// terminal.
pub fn views(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let view = View {
        name: "v".to_owned(),
        tenant: None,
        stream: "s".to_owned(),
        rows_max: VIEW_ROWS,
        shape: ViewShape::Sql(text.to_owned()),
    };
    let reason = refused(&view);
    assert_eq!(reason, refused(&view), "asked twice");
    if let Some(reason) = reason {
        assert!(!reason.is_empty());
        assert!(!reason.contains(char::is_control), "{reason:?}");
        assert!(reason.len() <= 4 * text.len() + 512, "{} bytes of reason", reason.len());
    }
}
