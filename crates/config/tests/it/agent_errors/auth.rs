//! Mistakes in agents of type `auth`.

use super::*;

#[test]
fn auth() {
    check_nodes(
        "type \"auth\"",
        expect![[r#"
        E0106 1:1 agent
            this agent knows nobody, and refuses everybody
            add `issuer "https://…" { … }`, `api-keys` or `client-certificate`
    "#]],
    );
    check_nodes(
        "type \"auth\"\nissuer\nissuer \"x\" { audience \"a\" }\nissuer \"x\" { jwks }",
        expect![[r#"
            E0106 3:1 issuer
                `issuer` needs the `iss` of tokens, such as "https://id.example.com"
                write the `iss` of tokens, such as "https://id.example.com" behind `issuer`
            E0106 4:8 "x"
                this issuer is no URL, and nothing else says where its keys are
                add `jwks url="https://…"` or `jwks file="keys.json"`
            E0110 5:8 "x"
                this issuer is written twice (first written here: 4:8 "x")
                merge the two blocks; a block takes several audiences and algorithms
            E0106 5:14 jwks
                `jwks` does not say where it is
                write `jwks url="https://…"` or `jwks file="keys.json"`; without `jwks`, discovery finds the keys
        "#]],
    );
    check_nodes(
        "type \"auth\"\nissuer \"https://x\" {
            jwks url=\"x\" file=\"y\"
            audience
            algorithms \"HS256\" \"none\" \"RS265\" \"ES256\" \"ES256\"
            type \"a b\"
            leeway \"1h\"; refresh \"1s\"; refetch-interval 5; timeout \"1ms\"
            ca \"nowhere.pem\"
            cache 1
        }",
        expect![[r#"
            E0127 4:13 jwks
                keys come from one place
                keep `url=` or `file=`
            E0106 5:13 audience
                `audience` needs audiences
                write audiences behind `audience`
            E0127 6:24 "HS256"
                "HS256" proves nothing: whoever can verify can sign
                have the issuer sign with a private key, such as "ES256" or "RS256", or add the `secret` that you share with it
            E0120 6:32 "none"
                "none" proves nothing: whoever can write can sign
                have the issuer sign with a private key, such as "ES256" or "RS256"
            E0120 6:39 "RS265"
                "RS265" is none of the choices
                did you mean `RS256`?
            E0111 6:55 "ES256"
                this algorithm is there already
                remove it
            E0131 7:18 "a b"
                this cannot be the type of a token
                one word, such as "at+jwt"
            E0109 8:20 "1h"
                "1h" is out of range
                allowed: 0s to 10m
            E0109 8:34 "1s"
                "1s" is out of range
                allowed: 10s to 7d
            E0107 8:57 5
                a whole number stands where a duration belongs
                write it in quotes and with its unit, such as "10s"
            E0109 8:68 "1ms"
                "1ms" is out of range
                allowed: 100ms to 1m
            E0125 9:16 "nowhere.pem"
                "nowhere.pem" is not there
                looked for /etc/nowhere.pem; relative paths start at the folder of this file
            E0102 10:13 cache
                unknown node `cache` in `issuer`
                known here: `jwks`, `secret`, `audience`, `algorithms`, `type`, `leeway`, `refresh`, `refetch-interval`, `timeout` or `ca`
        "#]],
    );
    check_nodes(
        "type \"auth\"; issuer \"http://id.internal\"",
        expect![[r#"
            W0211 2:14 issuer
                whoever is on the way to these keys can replace them, and sign tokens
                use `https://`, or `jwks file="…"`
            W0210 2:14 issuer
                tokens that this issuer made for somebody else are accepted
                add `audience "…"`: the name that the issuer knows this service by
        "#]],
    );
    check_nodes(
        "type \"auth\"; issuer \"x\" { jwks url=\"http://10.0.0.1/keys\"; audience \"a\" }",
        expect![[r#"
            W0211 2:14 issuer
                whoever is on the way to these keys can replace them, and sign tokens
                use `https://`, or `jwks file="…"`
        "#]],
    );
    check_nodes(
        "type \"auth\"; issuer \"x\" { jwks url=\"http://[::1]:1/keys\"; audience \"a\" }",
        expect![""],
    );
    check_nodes(
        &format!(
            "{OWN_AUTH}
            token
            api-keys {{ header \"a b\"; cookie \"a;b\"; query \"\" }}
            claims {{ \"sub\" \"X-User-Id\"; \"sub\" \"X-User-Id\"; \"roles\" }}
            values {{ \"a\"; \"b\" \"a\"; \"https://x\"; \"c\" \"d e\" }}
            realm \"a\\\"b\"
            anonymous \"yes\"
            cache -1"
        ),
        expect![[r#"
            E0106 3:13 token
                `token` does not say where a token is
                add `header`, `cookie` or `query`, or leave `token` out
            E0106 4:13 api-keys
                `api-keys` has no `file`
                add `file "keys.txt"`
            E0116 4:31 "a b"
                "a b" is not the name of a header
                letters, digits and `-`, such as "X-Request-Id"
            E0116 4:45 "a;b"
                "a;b" is not the name of a cookie
                letters, digits, `-` and `_`
            E0131 4:58 ""
                this cannot be the name of a query parameter
                1 to 256 bytes without control characters, and no blanks at the ends
            E0111 5:41 "sub"
                this claim fills this header already
                remove it
            E0106 5:60 "roles"
                `roles` needs the name of a header
                write the name of a header behind `roles`
            E0111 6:27 "b"
                two claims set the value `a`
                give one of them another name: `"claim" "name"`
            E0129 6:36 "https://x"
                "https://x" cannot be the name of a value
                write a name behind the claim: `"claim" "name"`
            E0129 6:53 "d e"
                "d e" cannot be an id
                1 to 64 letters, digits, `-`, `_` or `.`
            E0131 7:19 "a\"b"
                this cannot be a realm
                1 to 256 ASCII characters without quotes and backslashes
            E0107 8:23 "yes"
                text stands where a switch belongs
                write #true or #false
            E0109 9:19 -1
                -1 is out of range
                allowed: 0 to 10000000
        "#]],
    );
    check_nodes(
        "type \"auth\"; client-certificate { identity \"san-url\"; allow \"a*b\"; roles \"a,b\"; scopes \"a b\" }",
        expect![[r#"
            E0120 2:44 "san-url"
                "san-url" is none of the choices
                did you mean `san-uri`?
            E0131 2:61 "a*b"
                `*` stands for the rest, at the end only
                such as "spiffe://example.org/*"
            E0131 2:74 "a,b"
                a role cannot hold a comma
                write each role in quotes of its own
            E0131 2:88 "a b"
                a scope cannot hold a blank
                write each scope in quotes of its own
        "#]],
    );
    check_nodes(
        &format!("{OWN_AUTH}; failure-mode \"open\""),
        expect![[r#"
            W0209 2:47 "open"
                while this agent does not answer, everybody passes
                write "closed", or leave it out
        "#]],
    );
}

#[test]
fn secrets_are_somewhere_else_and_long_enough() {
    check_nodes(
        "type \"auth\"
        issuer \"a\" { secret \"in the open, however long it may be\"; audience \"x\" }
        issuer \"b\" { secret (env)\"OTLP_KEY\"; audience \"x\"; algorithms \"HS512\" \"ES256\" }
        issuer \"c\" { secret (env)\"TOKEN_SECRET\"; jwks file=\"keys.json\"; audience \"x\" }
        issuer \"d\" { secret (env)\"NONE\"; audience \"x\" }
        issuer \"e\" { secret (env)\"TOKEN_SECRET\"; audience \"x\"; algorithms \"HS384\" }
        issuer \"f\" { secret (env)\"TOKEN_SECRET\"; audience \"x\" }",
        expect![[r#"
            E0131 3:29 "in the open, however long it may be"
                a secret is not written into a config
                write (env)"NAME" or (file)"path"
            E0109 4:29 (env)"OTLP_KEY"
                this secret is shorter than the 64 bytes that HS512 asks for
                such as `openssl rand -base64 64` makes; the issuer must have the same
            E0127 4:79 "ES256"
                "ES256" needs a public key, and this issuer has a secret
                write "HS256", "HS384" or "HS512", or `jwks` instead of `secret`
            E0127 5:29 (env)"TOKEN_SECRET"
                keys come from one place
                keep `jwks` or `secret`
            E0125 5:55 file="keys.json"
                "keys.json" is not there
                looked for /etc/keys.json; relative paths start at the folder of this file
            E0124 6:29 (env)"NONE"
                the environment has no variable `NONE`
                set `NONE` before the start, or use (file)"path"
            E0109 7:29 (env)"TOKEN_SECRET"
                this secret is shorter than the 48 bytes that HS384 asks for
                such as `openssl rand -base64 64` makes; the issuer must have the same
        "#]],
    );
}
