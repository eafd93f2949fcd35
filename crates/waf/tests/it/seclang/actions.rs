//! What rules do.

use std::sync::Arc;

use selvedge_waf::rule::{Category, Link, Phase, Rule, Severity};

use super::{errors, notes, right, rule, rules};

fn with(actions: &str) -> String {
    format!("SecRule ARGS \"a\" \"id:1,{actions}\"")
}

#[track_caller]
fn check(actions: &str, part: impl Fn(&Rule) -> String, expected: &str) {
    assert_eq!(part(&rule(&with(actions))), expected, "{actions}");
}

fn effects(rule: &Rule) -> String {
    format!("{:?}", rule.links[0].effects)
}

#[test]
fn phases() {
    for (written, phase) in [
        ("phase:1", Phase::RequestHead),
        ("phase:'2'", Phase::Request),
        ("phase:request", Phase::Request),
        ("phase:3", Phase::ResponseHead),
        ("PHASE:Response", Phase::Response),
        ("phase:4", Phase::Response),
        ("phase:5", Phase::Log),
        ("phase:logging", Phase::Log),
        ("t:none", Phase::Request),
    ] {
        assert_eq!(rule(&with(written)).phase, phase, "{written}");
    }
}

#[test]
fn disruptive_actions() {
    let disruptive = |rule: &Rule| format!("{:?} {:?}", rule.disruptive, rule.status);
    check("pass", disruptive, "Pass None");
    check("t:none", disruptive, "Pass None");
    check("block", disruptive, "Pass None");
    check("deny,status:406", disruptive, "Deny Some(406)");
    check("drop", disruptive, "Deny None");
    check("deny,pass", disruptive, "Pass None");
    check("allow", disruptive, "Allow(Exchange) None");
    check("allow:phase", disruptive, "Allow(Phase) None");
    check("allow:REQUEST", disruptive, "Allow(Request) None");
    check("proxy:http://a", disruptive, "Deny None");
    check(
        "redirect:'https://a/?b=1,2&h=%{request_headers.host}'",
        disruptive,
        "Redirect(Text([Literal(\"https://a/?b=1,2&h=\"), Variable(RequestHeaders, Some(\"host\"))])) None",
    );
}

#[test]
fn defaults_say_what_block_does() {
    let found = |text: &str| {
        let rules = rules(text);
        let one = |rule: &Rule| format!("{:?} {:?} {}", rule.disruptive, rule.status, rule.log);
        rules.iter().map(one).collect::<Vec<_>>()
    };
    let of_phase_2 = "SecDefaultAction \"phase:2,nolog,deny,status:418\"\n";
    let block = with("block");
    assert_eq!(found(&format!("{of_phase_2}{block}")), ["Deny Some(418) false"]);
    assert_eq!(found(&format!("{block}\n{of_phase_2}")), ["Deny Some(418) false"]);
    assert_eq!(found(&format!("{of_phase_2}{}", with("pass,log"))), ["Pass Some(418) true"]);
    assert_eq!(
        found(&format!("{of_phase_2}{}", with("deny,status:400"))),
        ["Deny Some(400) false"]
    );
    assert_eq!(found(&format!("{of_phase_2}{}", with("phase:1,block"))), ["Pass None true"]);
    let again = "SecDefaultAction \"phase:2,log,pass\"\n";
    let second = block.replace("id:1", "id:2");
    assert_eq!(
        found(&format!("{of_phase_2}{block}\n{again}{second}")),
        ["Deny Some(418) false", "Pass None true"]
    );
}

#[test]
fn transformations() {
    let chain = |rule: &Rule| format!("{:?}", rule.links[0].transformations);
    check("t:lowercase,t:urlDecodeUni", chain, "[Lowercase, UrlDecodeUni]");
    check("t:trim,t:none,t:LENGTH", chain, "[Length]");
    check("t:normalisePathWin,t:utf8toUnicode", chain, "[NormalizePathWin, Utf8ToUnicode]");
    let default = "SecDefaultAction \"phase:2,pass,t:trim\"\n";
    let found = |actions| chain(&rule(&format!("{default}{}", with(actions))));
    assert_eq!(found("t:md5"), "[Trim, Md5]");
    assert_eq!(found("t:md5,t:none,t:sha1"), "[Sha1]");
    assert_eq!(found("phase:1"), "[]");
}

#[test]
fn what_a_rule_says_of_itself() {
    let rule = rule(&with(
        "msg:'It\\'s %{tx.0}, twice',logdata:%{MATCHED_VAR},tag:a,tag:'b, c',severity:CRITICAL,\
         ver:'OWASP_CRS/4',multiMatch,capture,nolog",
    ));
    let message = rule.message.map(|text| format!("{:?}", text.0)).unwrap();
    assert_eq!(message, "[Literal(\"It's \"), Variable(Tx, Some(\"0\")), Literal(\", twice\")]");
    assert_eq!(format!("{:?}", rule.log_data.unwrap().0), "[Variable(MatchedVar, None)]");
    assert_eq!(rule.tags, [Arc::from("a"), Arc::from("b, c")]);
    assert_eq!(
        (rule.severity, rule.version.as_deref()),
        (Some(Severity::Critical), Some("OWASP_CRS/4"))
    );
    assert!(rule.links[0].multi_match && rule.links[0].capture && !rule.log);
    for (number, name) in
        ["EMERGENCY", "alert", "Critical", "error", "warning", "notice", "info", "debug"]
            .iter()
            .enumerate()
    {
        let severity = |written: &str| super::rule(&with(&format!("severity:{written}"))).severity;
        assert_eq!(severity(name), severity(&format!("'{number}'")), "{name}");
        assert!(severity(name).is_some());
    }
}

#[test]
fn tags_of_the_core_rule_set() {
    for (tags, category, paranoia) in [
        ("tag:attack-sqli,tag:paranoia-level/3", Some(Category::Sql), 3),
        ("tag:attack-xss", Some(Category::Xss), 1),
        ("tag:attack-rce", Some(Category::Command), 1),
        ("tag:attack-lfi", Some(Category::Traversal), 1),
        ("tag:attack-injection-php", Some(Category::Code), 1),
        ("tag:attack-injection-generic,tag:attack-ssti", Some(Category::Template), 1),
        ("tag:attack-ssrf", Some(Category::Ssrf), 1),
        ("tag:attack-protocol", Some(Category::Protocol), 1),
        ("tag:attack-reputation-scanner", Some(Category::Scanner), 1),
        ("tag:attack-fixation", Some(Category::SessionFixation), 1),
        ("tag:attack-disclosure", Some(Category::Leak), 1),
        ("tag:attack-rce,tag:OWASP_CRS/WEB-SHELLS", Some(Category::WebShell), 1),
        ("tag:other,tag:paranoia-level/5", None, 1),
    ] {
        let rule = rule(&with(tags));
        assert_eq!((rule.category, rule.paranoia), (category, paranoia), "{tags}");
    }
}

#[test]
fn variables() {
    let check = |written: &str, expected: &str| {
        let expected = format!("[SetVar {{ {expected} }}]");
        check(written, effects, &expected);
        check(&format!("{}'", written.replacen(':', ":'", 1)), effects, &expected);
    };
    let five = "change: Set(Text([Literal(\"5\")]))";
    check("setvar:tx.a=5", &format!("collection: Tx, key: Text([Literal(\"a\")]), {five}"));
    check("setvar:TX:a=5", &format!("collection: Tx, key: Text([Literal(\"a\")]), {five}"));
    check(
        "setvar:tx.a=+5",
        "collection: Tx, key: Text([Literal(\"a\")]), change: Add(Text([Literal(\"5\")]))",
    );
    check(
        "setvar:ip.a=-%{tx.b}",
        "collection: Ip, key: Text([Literal(\"a\")]), change: Subtract(Text([Variable(Tx, Some(\"b\"))]))",
    );
    check("setvar:!session.a", "collection: Session, key: Text([Literal(\"a\")]), change: Remove");
    check(
        "setvar:tx.a",
        "collection: Tx, key: Text([Literal(\"a\")]), change: Set(Text([Literal(\"1\")]))",
    );
    check(
        "setvar:tx.a_%{MATCHED_VAR_NAME}=%{tx.1}=b",
        "collection: Tx, key: Text([Literal(\"a_\"), Variable(MatchedVarName, None)]), \
         change: Set(Text([Variable(Tx, Some(\"1\")), Literal(\"=b\")]))",
    );
    check("setvar:tx.a=", "collection: Tx, key: Text([Literal(\"a\")]), change: Set(Text([]))");
    check("setenv:a=5", &format!("collection: Env, key: Text([Literal(\"a\")]), {five}"));
    check("setvar:env.a=5", &format!("collection: Env, key: Text([Literal(\"a\")]), {five}"));
    check("setenv:!a", "collection: Env, key: Text([Literal(\"a\")]), change: Remove");
}

#[test]
fn collections() {
    let address = "key: Text([Variable(RemoteAddr, None)])";
    check(
        "initcol:ip=%{REMOTE_ADDR}",
        effects,
        &format!("[InitCollection {{ collection: Ip, {address} }}]"),
    );
    check(
        "initcol:global=a",
        effects,
        "[InitCollection { collection: Global, key: Text([Literal(\"a\")]) }]",
    );
    check(
        "setsid:%{REMOTE_ADDR}",
        effects,
        &format!("[InitCollection {{ collection: Session, {address} }}]"),
    );
    check(
        "setuid:%{REMOTE_ADDR}",
        effects,
        &format!("[InitCollection {{ collection: User, {address} }}]"),
    );
    check(
        "setrsc:'%{REMOTE_ADDR}'",
        effects,
        &format!("[InitCollection {{ collection: Resource, {address} }}]"),
    );
    check(
        "expirevar:'ip.a=60'",
        effects,
        "[ExpireVar { collection: Ip, key: Text([Literal(\"a\")]), seconds: Text([Literal(\"60\")]) }]",
    );
    check(
        "deprecatevar:session.a=1/2",
        effects,
        "[DeprecateVar { collection: Session, key: Text([Literal(\"a\")]), decay: Text([Literal(\"1/2\")]) }]",
    );
}

#[test]
fn controls() {
    let check = |written: &str, expected: &str| {
        check(&format!("ctl:{written}"), effects, &format!("[Control({expected})]"));
    };
    check("ruleEngine=off", "Mode(Off)");
    check("ruleEngine=DetectionOnly", "Mode(DetectionOnly)");
    check("requestBodyAccess=On", "RequestBody(true)");
    check("responseBodyAccess=Off", "ResponseBody(false)");
    check("forceRequestBodyVariable=On", "ForceRequestBody(true)");
    for (written, processor) in [
        ("URLENCODED", "UrlEncoded"),
        ("multipart", "Multipart"),
        ("JSON", "Json"),
        ("XML", "Xml"),
        ("GRAPHQL", "GraphQl"),
    ] {
        check(&format!("requestBodyProcessor={written}"), &format!("Processor({processor})"));
    }
    check("ruleRemoveById=9", "RemoveRules(Ids([9..=9]))");
    check("ruleRemoveById=9-12", "RemoveRules(Ids([9..=12]))");
    super::actions::check(
        "ctl:'ruleRemoveById=9, 10-12'",
        effects,
        "[Control(RemoveRules(Ids([9..=9, 10..=12])))]",
    );
    check("ruleRemoveByTag=attack-sqli", "RemoveRules(Tag(\"^attack\\\\-sqli$\"))");
    check(
        "ruleRemoveByTag=attack-.*",
        "RemoveRules(Tag(\"^attack\\\\-\\\\.\\\\*$|(?:attack-.*)\"))",
    );
    check("ruleRemoveByMsg=SQL", "RemoveRules(Message(\"^SQL$\"))");
    let target = |target: &str| {
        format!("Target {{ variable: Args, {target}, count: false, exclude: false }}")
    };
    let key = target("selector: Key(\"a\")");
    check("ruleRemoveTargetById=9-10;ARGS:a", &format!("RemoveTarget(Ids([9..=10]), {key})"));
    check("ruleRemoveTargetById=9;!ARGS:a", &format!("RemoveTarget(Ids([9..=9]), {key})"));
    check(
        "ruleRemoveTargetByTag=a;ARGS:/^b/",
        &format!("RemoveTarget(Tag(\"^a$\"), {})", target("selector: Pattern(\"^b\")")),
    );
    check(
        "ruleRemoveTargetByMsg=a;ARGS",
        &format!("RemoveTarget(Message(\"^a$\"), {})", target("selector: All")),
    );
}

#[test]
fn jumps() {
    let text = format!("{}\nSecMarker END\nSecMarker 'a b'", with("skipAfter:'END'"));
    let loaded = right(&text);
    assert_eq!(loaded.report.counts.markers, 2);
    let skip =
        |actions: &str| format!("{:?}", rule(&format!("{}\nSecMarker END", with(actions))).skip);
    assert_eq!(skip("skip:2"), "Some(Rules(2))");
    assert_eq!(skip("skipAfter:END"), "Some(After(\"END\"))");
    let to_rule = format!("{}\nSecAction id:2", with("skipAfter:2"));
    assert_eq!(rules(&to_rule).len(), 2);
}

#[test]
fn chains() {
    let text = "SecRule ARGS a \"id:1,phase:1,deny,msg:m,chain,setvar:tx.a=1,ctl:ruleEngine=Off\"\n\
                SecRule TX:a b \"t:none,setenv:x=1,chain,logdata:%{tx.0}\"\n\
                SecAction \"setvar:tx.b=2,tag:t\"\n\
                SecAction id:2";
    let [chain, after] = <[Rule; 2]>::try_from(rules(text)).unwrap();
    let summary = |link: &Link| {
        let names: Vec<String> = link.effects.iter().map(|effect| format!("{effect:?}")).collect();
        let short = names.iter().map(|name| name.chars().take(24).collect::<String>());
        (link.place.line, short.collect::<Vec<_>>())
    };
    let set = "SetVar { collection: Tx,";
    let links: Vec<_> = chain.links.iter().map(summary).collect();
    assert_eq!(links[0], (1, vec![set.to_owned()]));
    assert_eq!(links[1], (2, vec![]));
    let late = ["Control(Mode(Off))", "SetVar { collection: Env"];
    assert_eq!(links[2], (3, [set, late[0], late[1]].map(str::to_owned).to_vec()));
    assert!(chain.links[2].targets.is_empty() && chain.log_data.is_some());
    assert_eq!((chain.phase, chain.tags.len(), after.id), (Phase::RequestHead, 1, 2));
}

#[test]
fn what_has_no_effect_is_noted() {
    for name in [
        "accuracy:8",
        "auditlog",
        "maturity:9",
        "noauditlog",
        "pause:9",
        "rev:'2'",
        "sanitiseArg:a",
        "sanitiseMatched",
        "sanitiseMatchedBytes:1/4",
        "sanitiseRequestHeader:a",
        "sanitiseResponseHeader:a",
        "xmlns:a='b'",
        "ctl:auditEngine=Off",
        "ctl:auditLogParts=+E",
        "ctl:debugLogLevel=9",
        "ctl:hashEngine=On",
    ] {
        let found = notes(&with(name));
        let construct = name.split(if name.starts_with("ctl") { '=' } else { ':' }).next().unwrap();
        assert!(found.starts_with(&format!("1: inert {construct} in rule 1: ")), "{found}");
    }
    for name in ["exec:/a.lua", "append:'a'", "prepend:'a'", "proxy:http://a"] {
        let found = notes(&with(name));
        let construct = name.split(':').next().unwrap();
        assert!(found.starts_with(&format!("1: unsupported {construct} in rule 1: ")), "{found}");
    }
    assert_eq!(
        notes(&with("msg:'%{nothing.a} %{tx}'")),
        "1: unknown %{nothing.a} in rule 1: no such variable; it stays as it is\n"
    );
}

#[test]
fn wrong_actions() {
    let cases = [
        ("dney", "no action `dney`; did you mean `deny`?"),
        ("msg", "`msg` without an argument; write `msg:…`"),
        ("msg:", "`msg` without an argument; write `msg:…`"),
        ("msg:'a", "a quote ' behind `msg:` that is not closed; close it, or write \\' inside"),
        (
            "msg:'it's bad'",
            "`s bad'` behind the quoted argument of `msg`; write a comma there, or \\' for a quote inside the argument",
        ),
        ("phase:6", "no phase `6`; write 1 to 5, `request`, `response` or `logging`"),
        ("status:99", "`99` is no status of HTTP; write a number from 100 to 599"),
        ("severity:8", "no severity `8`; write 0 to 7, or a name from EMERGENCY to DEBUG"),
        ("skip:a", "`a` is no number; write a whole number"),
        (
            "allow:all",
            "`allow` does not reach `all`; write `allow`, `allow:phase` or `allow:request`",
        ),
        ("t:lowercas", "no transformation `lowercas`; did you mean `t:lowercase`?"),
        ("setvar:a=1", "`setvar:a` without a collection; write `setvar:tx.a`"),
        (
            "setvar:args.a=1",
            "nothing can be kept in `args.a`; write tx.name, or ip., global., session., user., resource. or env. before the name",
        ),
        (
            "deprecatevar:ip.a=60",
            "`deprecatevar` without an amount and a time; write `deprecatevar:ip.name=60/300`: 60 less each 300 seconds",
        ),
        (
            "deprecatevar:ip.a=60/0",
            "`deprecatevar` without an amount and a time; write `deprecatevar:ip.name=60/300`: 60 less each 300 seconds",
        ),
        ("expirevar:ip.a", "`expirevar` without a time; write `expirevar:ip.name=60`, in seconds"),
        (
            "initcol:tx=a",
            "`initcol:tx=a` names no collection and its key; write `initcol:ip=%{REMOTE_ADDR}`, or global, session, user or resource",
        ),
        ("ctl:ruleEngin=On", "no `ctl:ruleEngin`; did you mean `ctl:ruleEngine`?"),
        ("ctl:ruleEngine=Maybe", "`Maybe` is no mode; write On, Off or DetectionOnly"),
        ("ctl:requestBodyAccess=1", "`1` is neither On nor Off; write On or Off"),
        (
            "ctl:requestBodyProcessor=YAML",
            "no way to read a body called `YAML`; write URLENCODED, MULTIPART, JSON, XML or GRAPHQL",
        ),
        ("ctl:ruleRemoveById=9-1", "`9-1` ends before it begins; write the smaller number first"),
        ("ctl:ruleRemoveById=a", "`a` is no number of a rule; write a whole number from 1"),
        ("ctl:ruleRemoveByTag=", "a name of 0 bytes; write one of 1 to 4096 bytes"),
        (
            "ctl:ruleRemoveTargetById=1",
            "`1` names no target; write rules and target with a semicolon between: `942100;ARGS:q`",
        ),
    ];
    for (actions, expected) in cases {
        assert_eq!(errors(&with(actions)), format!("1: {expected}\n"), "{actions}");
    }
}
