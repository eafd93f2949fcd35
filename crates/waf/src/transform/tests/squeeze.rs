use super::Transformation;

#[track_caller]
fn check(input: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
    super::check(Transformation::Squeeze, input.as_ref(), expected.as_ref());
}

#[track_caller]
fn stays(input: &str) {
    check(input, input);
}

#[test]
fn white_space() {
    check("a  b\tc\r\n\x0b\x0cd", "a b c d");
    check("\u{a0}a\u{2003}\u{3000}b\u{85}", " a b ");
    check(b"union\xa0\xa0select\x01\x1f1", "union select 1");
    check("  ", " ");
    stays("one two three ");
}

#[test]
fn characters_with_the_byte_of_a_space_stay() {
    stays("\u{e0} la carte \u{4f60} \u{2810} \u{e2}");
    check("\u{e0}  \u{4f60}", "\u{e0} \u{4f60}");
}

#[test]
fn comments_are_space() {
    check("un/**/ion/**//**/select", "un ion select");
    check("a /* x */ b", "a b x");
    check("select--\n1", "select 1");
    check("select#\r\n1", "select 1");
    check("union-- foo\nselect", "union select foo");
}

#[test]
fn executed_comments_are_text() {
    check("/*!50000union*/ select", " union select");
    check("/*!union*/+/*M!100100 select*/", " union + select ");
    check("/*!1 union*/", " 1 union ");
    check("/*!50000 select/* x */ 1 */ a", " select 1 a x");
}

#[test]
fn what_comments_hide_is_seen() {
    check("/*' or 1=1 or '*/", "  ' or 1=1 or '");
    check("ls --color; cat /etc/passwd\nx", "ls x color; cat /etc/passwd");
    check("# 1\n2", " 2 1");
}

#[test]
fn what_ends_nowhere_stays() {
    stays("text/html, */*;q=0.8 /* a");
    stays("' or 1=1-- -");
    stays("admin'#");
    stays("a/b*c/ 1-2 */");
    stays("/*/");
}

#[test]
fn time_is_linear() {
    let len = 1 << 17;
    for piece in ["/*", "*/", "/*/", "--", "#", "-#", " ", "/*!", "\u{a0}", "a "] {
        let value = piece.repeat(len / piece.len());
        super::apply(Transformation::Squeeze, value.as_bytes());
    }
}
