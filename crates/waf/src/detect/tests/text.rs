//! Real text that libinjection takes for attacks, and attacks that more evidence must not lose.

use super::*;

const INJECTIONS: &[&str] = &[
    "1' or '1'='1' --",
    "') or ('1'='1",
    "1 or 1=1",
    r#"" or 1=1--"#,
    "' or 2 > 1--",
    "' or 1 in (1)--",
    "' or id is not null--",
    "' or username like '%admin%",
    "' or 3*2*1=6 and 0=0--",
    "1 or(1)=(1)",
    "' or 1#",
    "admin' --",
    "admin') --",
    "admin'/*",
    "'='",
    "'<>'a",
    "' union all select null,null--",
    "1 union (select 1)",
    "1/**/union/*x*/select 1",
    "1; drop table users",
    "'; exec master..xp_cmdshell 'dir'--",
    "'; execute immediate 'sel'||'ect'--",
    "'; declare @a varchar(10)--",
    "'; update users set a=1--",
    "1 and sleep(5)",
    "1'-sleep(5)-'",
    "'||pg_sleep(5)||'",
    "1+(select 1)",
    "1' and ascii(substr(user(),1,1))>64--",
    "1' and extractvalue(1,concat(0x7e,version()))--",
    "1 and user()='a'",
    "1' order by 10#",
    "' into outfile '/tmp/a'--",
    "if(now()=sysdate(),sleep(5),0)",
    "1 /*!50000union select*/ 1",
    "1 /*!union*/ select 1",
    "1 and case when 1=1 then 1 else 0 end",
];

/// [`sqli`] finds each of these.
const CODE_AND_PROSE: &[&str] = &[
    "if (data === 'false') { return false; }",
    "if (a && b.c) { a(b.c); }",
    "const { spawn } = require('node:process');",
    r#"operator === "*=""#,
    r#"switch (key) { case "/": if (shift) return; }"#,
    r#"println!("{x} and {y}");"#,
    "while (1) { size_t count; }",
    "/*! theme.css v2 | MIT */",
    "src/*.c src/*/*.c src/*/*/*.c",
    r#"the "group by" clause, "limit" and "having""#,
];

const SCRIPTS: &[&str] = &[
    "<script>alert(1)</script>",
    "<script>alert`1`</script>",
    "<script src=//a.b",
    r#"<x:script xmlns:x="http://www.w3.org/1999/xhtml">alert(1)</x:script>"#,
    "<img src=x onerror=location=name>",
    r#"<img src=x onerror="alert (1)">"#,
    "<img src=x onerror=alert&lpar;1&rpar;>",
    "<svg/onload=alert(1)//",
    r#"" onmouseover=alert(1) x=""#,
    "x onmouseover=alert(1)",
    "<a href=\"java\tscript:alert(1)\">",
    r#"<a href="jav&#x09;ascript:alert(1)">"#,
    r#"<a href="javascript&colon;alert(1)">"#,
    r#"<a href="data:text/html,<b>">"#,
    r#"<svg><use href="data:image/svg+xml,<svg onload=alert(1)>">"#,
    "<svg><set attributeName=onload to=alert(1)>",
    "<object data=javascript:alert(1)>",
    r#"<iframe srcdoc="<b>">"#,
    "<base href=//a.b>",
    "<meta http-equiv=refresh content=0>",
    "<style>@import '//a.b'</style>",
    r#"<p style="width:expression(alert(1))">"#,
    r#"<p style="x:\65xpression(alert(1))">"#,
    "<!--[if gte IE 4]><script>alert(1)</script><![endif]-->",
    r#"<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]>"#,
];

const PAGES_AND_PROSE: &[&str] = &[
    "<!DOCTYPE html>",
    r#"<?xml version="1.0"?><a/>"#,
    r#"<svg viewBox="0 0 9 9" xmlns="http://www.w3.org/2000/svg"><path d="M0 0h9"/></svg>"#,
    r#"<p style="color: #333; font-family: &quot;Arial&quot;">text</p>"#,
    r#"<img src="data:image/png;base64,iVBORw0KGgo=">"#,
    "power, binary<script is wrong",
    "the `<script>` tag of HTML",
    "<IFRAME",
    "oneway-trip?adult=1&child=0",
    "onZ3JlZW4gZWdncw==",
    "only=true",
    "<button onClick={() => setOpen(true)}>",
    "const onError = (err) => { stop }",
    "<!-- a `tick` in a comment -->",
    r#"<meta http-equiv="content-type" content="text/html">"#,
    "filter=all&style=compact",
    "Map<Object, String> base = x<link",
];

#[test]
fn injections_have_evidence() {
    for text in INJECTIONS {
        assert_eq!(sqli_text(text.as_bytes()), sqli(text.as_bytes()), "{text}");
        assert!(sqli_text(text.as_bytes()).is_some(), "{text}");
    }
}

#[test]
fn code_and_prose_have_fingerprints_alone() {
    for text in CODE_AND_PROSE {
        assert!(sqli(text.as_bytes()).is_some(), "{text}");
        assert_eq!(sqli_text(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn scripts_have_evidence() {
    for text in SCRIPTS {
        assert!(xss_text(text.as_bytes()), "{text}");
        assert!(may_be_xss(&ByteSet::from_bytes(text.as_bytes())), "{text}");
    }
}

#[test]
fn pages_and_prose_run_nothing() {
    for text in PAGES_AND_PROSE {
        assert!(!xss_text(text.as_bytes()), "{text}");
    }
}
