use super::Transformation;

#[track_caller]
fn check(input: impl AsRef<[u8]>, expected: &str) {
    super::check(Transformation::Decode, input.as_ref(), expected.as_bytes());
}

#[track_caller]
fn stays(input: &str) {
    check(input, input);
}

#[test]
fn percent() {
    check("%3Cscript%3E", "<script>");
    check("%253Cscript", "<script");
    check("%25253C", "<");
    check("%2525253C", "%3c");
    check("%u003c%U003E%uff07%u02bc", "<>''");
    check("a+b%2Bc", "a+b+c");
}

#[test]
fn malformed_percent_stays() {
    stays("100% sure, 5 %, %zz %u12 %");
    stays("like '%term%'");
}

#[test]
fn overlong_and_full_width_forms() {
    check(b"\xc0\xaf..\xe0\x80\xaf\xf0\x80\x80\xaf", "/..//");
    check("%c0%ae%c0%ae%c0%af", "../");
    check("\u{ff1c}script\u{ff1e}", "<script>");
    check("%ef%bc%87 or", "' or");
    stays("caf\u{e9} \u{4f60}\u{597d} \u{e01}\u{e02} \u{1f600}");
}

#[test]
fn nulls() {
    check("a\0b%00c\\u0000d&#0;e", "abcde");
    check(b"\xc0\x80a", "a");
    check("%2\x0527", "%2\x0527");
    check("%2\x00527", "'");
}

#[test]
fn entities() {
    check("&#x3c;&#60;&#x3C&#60 &LT;&lt;", "<<<< <<");
    check("java&Tab;script&colon;alert&lpar;1&rpar;", "java\tscript:alert(1)");
    check("&#0000106&#97;v&NewLine;", "jav\n");
    check("&amp;lt;b", "<b");
    check("&lt &gt\" &amp&quot", "< >\" &\"");
    check("&nbsp;&shy;&#128512;", "\u{a0}\u{ad}\u{1f600}");
    check("&DiacriticalGrave;&NonBreakingSpace;&VerticalLine;", "`\u{a0}|");
}

#[test]
fn what_is_no_entity_stays() {
    stays("?a=1&lt=2&copy=3&colon");
    stays("tom & jerry &; &# &#x; &#xg; &ltscript &unknown; &#1114112;");
    stays("&#99999999999999999999999999; &#xd800;");
}

#[test]
fn scripts() {
    check(r"\x3cscript\u003E\u{3c}\u{00003c}", "<script><<");
    check(r"\141\154\145\162\164 \047", "alert '");
    check(r"\\x41", r"\a");
    check(r"%5cu0027 &bsol;x27", "' '");
}

#[test]
fn what_looks_like_a_script_stays() {
    stays(r"c:\users\xavier\umbrella\new\temp");
    stays(r"c:\2024\1\reports \1001");
    stays(r"^\d+(\w)\1\10\s*$ \u{a} \u{c}");
    stays(r"\u12 \x4 \u{} \u{zz} \u{27 \u{110000} \ud83d\ude00 \");
}

#[test]
fn nested_and_mixed() {
    check("%26lt%3Bscript%26gt%3B", "<script>");
    check(r"&#92;u003c", "<");
    check("%5Cu0025%35%43", r"\");
    check("SELECT%0A1", "select\n1");
}

#[test]
fn case_tells_escapes_apart() {
    check(r"\X41 \U0041", r"\x41 \u0041");
}
