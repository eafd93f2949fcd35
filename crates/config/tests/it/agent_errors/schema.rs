//! Mistakes in agents of type `schema`.

use super::*;

#[test]
fn schema() {
    check_nodes(
        "type \"schema\"",
        expect![[r#"
        E0106 1:1 agent
            this agent has nothing to check by
            add `document "api" { openapi "openapi.yaml" }` or `schema "order" { … }`
    "#]],
    );
    check_nodes(
        "type \"schema\"
        document \"d\"
        document \"d\" { openapi \"nowhere.yaml\"; base-path \"api\"; undocumented \"allow\" }
        schema \"s\"
        schema \"s\" { file \"ca.pem\"; on \"both\"; path \"x\"; path-regex \"(\"; method \"post\"; content-type \"json\" \"application/json; charset=utf-8\" }
        bounds { depth 0; size \"1MiB\" }; status 410; patterns \"fast\"",
        expect![[r##"
            E0106 3:9 document
                `document` has no `openapi`
                add `openapi "openapi.yaml"`
            E0110 4:18 "d"
                two documents have the id `d` (first written here: 3:18 "d")
                give one of them another id
            E0125 4:32 "nowhere.yaml"
                "nowhere.yaml" is not there
                looked for /etc/nowhere.yaml; relative paths start at the folder of this file
            E0119 4:58 "api"
                "api" is not a path
                it begins with `/`: "/api"
            E0120 4:78 "allow"
                "allow" is none of the choices
                it is one of `refuse` or `pass`
            E0106 5:9 schema
                `schema` has no `file`
                add `file "order.json"`
            E0110 6:16 "s"
                two schemas have the id `s` (first written here: 5:16 "s")
                give one of them another id
            E0120 6:40 "both"
                "both" is none of the choices
                it is one of `request` or `response`
            E0119 6:53 "x"
                "x" is not a path
                it begins with `/`: "/x"
            E0115 6:69 "("
                regex parse error:
                (
                ^
            error: unclosed group
                mend it where the caret points; raw text saves backslashes: #"\d+"#
            E0120 6:81 "post"
                "post" is not a method
                methods are in capitals: "POST"
            E0116 6:102 "json"
                "json" is not a media type
                such as "application/json" or "application/*+json", without parameters
            E0116 6:109 "application/json; charset=utf-8"
                "application/json; charset=utf-8" is not a media type
                such as "application/json" or "application/*+json", without parameters
            E0109 7:24 0
                0 is out of range
                allowed: 1 to 127
            E0109 7:49 410
                410 does not say that a request is invalid
                write 400 or 422
            E0120 7:63 "fast"
                "fast" is none of the choices
                it is one of `linear` or `backtracking`
        "##]],
    );
    check_nodes(
        "type \"schema\"; schema \"s\" { file \"ca.pem\" }; response #true",
        expect![[r#"
        E0127 2:55 #true
            `response` concerns documents, and there is none
            write `on "response"` into a `schema`
    "#]],
    );
}
