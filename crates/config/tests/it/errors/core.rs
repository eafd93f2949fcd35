//! Mistakes in the core: where it is, who may do what, streams, views.

use super::*;

#[track_caller]
fn inside(nodes: &str, expected: Expect) {
    check(&format!("core {{\n    data-dir \"data\"\n    {nodes}\n}}\n"), expected);
}

#[test]
fn the_core_itself() {
    check(
        "core { path \"/\"; socket \"x\"; limits { body \"2GiB\"; in-flight 0 } }\n",
        expect![[""]],
    );
    inside(
        "path \"_selvedge\"; host \"a b\"; timeouts { connect \"0s\" }; stream \"x\"",
        expect![[""]],
    );
    inside(&format!("socket \"/{}\"", "x".repeat(120)), expect![[""]]);
}

#[test]
fn edges_elsewhere() {
    inside("listen \"10.0.0.5\" { cert \"a.pem\"; key \"a.key\"; edges \"a b\" }", expect![[""]]);
    inside("listen \"10.0.0.5:8444\"", expect![[""]]);
    check(
        "core {\n    data-dir \"data\"\n    limits { in-flight 5 }\n    grant \"a:b\"\n    remote \"unix:/x\" { cert \"a.pem\"; key \"nowhere.key\" }\n}\n",
        expect![[""]],
    );
}

#[test]
fn tokens() {
    inside("token \"ci\"", expect![[""]]);
    inside(
        "token \"ci\" { secret \"short\"; scopes \"Streams:read\"; tenant \"a b\"; role \"x\" }",
        expect![[""]],
    );
    let secret = "0123456789abcdef0123456789abcdef";
    inside(
        &format!(
            "token \"ci\" {{ secret \"{secret}\" }}\n    token \"ci\" {{ secret \"{secret}\" }}"
        ),
        expect![[""]],
    );
}

#[test]
fn grants() {
    inside("grant", expect![[""]]);
    inside("grant \"streams:read\" \"streams:**\" roles=\"editor\"", expect![[""]]);
}

#[test]
fn streams() {
    inside(
        "streams { append \"8MiB\"; page \"1KiB\"; long-poll \"2h\"; followers 0; age \"1s\"; origins \"https://App.example.com/x\"; ttl \"1d\" }",
        expect![[""]],
    );
}

#[test]
fn what_a_view_is() {
    inside("view", expect![[""]]);
    inside("view \"v\" { stream \"s\" }", expect![[""]]);
    inside(
        "view \"v\" { stream \"s\"; sql \"SELECT 1\"; count \"n\"; group-by \"a\" }",
        expect![[""]],
    );
    inside(
        "view \"v\" { stream \"s\"; latest-by \"id\"; sum \"n\" of=\"a\" }\n    view \"v\" { stream \"t\"; count \"n\"; deleted \"gone\" }",
        expect![[""]],
    );
}

#[test]
fn what_a_view_computes() {
    inside(
        "view \"v\" { stream \"\"; rows 0; where \"a\" \"~\" 1; where \"b\" \"=\"; group-by \"c\" bucket=\"week\"; count \"c\"; sum \"n\"; top \"t\" of=\"x\" most=1000; median \"m\" of=\"y\" }",
        expect![[""]],
    );
}
