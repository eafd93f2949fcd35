//! What is taken from rules again, and what is changed in them.

use selvedge_waf::rule::Rule;

use super::{errors, notes, right, rules, written};

/// Three rules with numbers, tags and messages.
const RULES: &str = "\
SecRule ARGS|REQUEST_COOKIES a \"id:1,deny,tag:attack-sqli,tag:language-java,msg:'SQL (one)',t:trim\"
SecRule ARGS a \"id:2,chain,tag:attack-sqli-blind,tag:language-javascript,msg:'SQL (two)'\"
SecRule TX:a b \"t:none\"
SecAction \"id:3,msg:'Other'\"
";

/// The numbers of the rules that are left.
#[track_caller]
fn left(directive: &str, expected: &[u64]) {
    for text in [format!("{RULES}{directive}"), format!("{directive}\n{RULES}")] {
        let ids: Vec<u64> = rules(&text).iter().map(|rule| rule.id).collect();
        assert_eq!(ids, expected, "{text}");
    }
}

/// The targets of each rule.
#[track_caller]
fn targets(directive: &str, expected: &[&str]) {
    let of = |rule: &Rule| {
        let links: Vec<_> = rule.links.iter().map(|link| written(&link.targets)).collect();
        links.join(" & ")
    };
    let found: Vec<_> = rules(&format!("{directive}\n{RULES}")).iter().map(of).collect();
    assert_eq!(found, expected, "{directive}");
}

#[test]
fn removal_by_number() {
    left("SecRuleRemoveById 1", &[2, 3]);
    left("SecRuleRemoveById 1 3", &[2]);
    left("SecRuleRemoveById 1,3", &[2]);
    left("SecRuleRemoveById \"1-2\"", &[3]);
    left("secruleremovebyid 1-2 \"3 4-9\"", &[]);
    let removed = right(&format!("{RULES}SecRuleRemoveById 1-2")).report.counts.removed;
    assert_eq!(removed, 2);
}

#[test]
fn removal_by_tag_and_message() {
    left("SecRuleRemoveByTag attack-sqli", &[2, 3]);
    left("SecRuleRemoveByTag language-java", &[2, 3]);
    left("SecRuleRemoveByTag \"attack-sqli.*\"", &[3]);
    left("SecRuleRemoveByTag ^language-java$ nothing", &[2, 3]);
    left("SecRuleRemoveByMsg \"SQL (one)\"", &[2, 3]);
    left("SecRuleRemoveByMsg SQL (two)", &[1, 3]);
    left("SecRuleRemoveByMsg \"^SQL\" \"Other\"", &[]);
    left("SecRuleRemoveByMsg SQL", &[1, 2, 3]);
    left("SecRuleRemoveByMsg \"SQL (\"", &[1, 2, 3]);
}

#[test]
fn targets_of_the_first_link() {
    let second = "ARGS & TX:a";
    targets("SecRuleUpdateTargetById 1 !ARGS:q", &["ARGS|REQUEST_COOKIES|!ARGS:q", second, ""]);
    targets(
        "SecRuleUpdateTargetById \"1,2\" \"!ARGS:q|!ARGS:/^r,s/\"",
        &["ARGS|REQUEST_COOKIES|!ARGS:q|!ARGS:/^r,s/", "ARGS|!ARGS:q|!ARGS:/^r,s/ & TX:a", ""],
    );
    targets(
        "SecRuleUpdateTargetById 1-2 \"!ARGS:q,ARGS_NAMES\"",
        &["ARGS|REQUEST_COOKIES|!ARGS:q|ARGS_NAMES", "ARGS|!ARGS:q|ARGS_NAMES & TX:a", ""],
    );
    targets("SecRuleUpdateTargetById 1 ARGS_GET REQUEST_COOKIES", &["ARGS|ARGS_GET", second, ""]);
    targets(
        "SecRuleUpdateTargetByTag attack-sqli !ARGS:q",
        &["ARGS|REQUEST_COOKIES|!ARGS:q", second, ""],
    );
    targets(
        "SecRuleUpdateTargetByMsg \"SQL (two)\" !ARGS",
        &["ARGS|REQUEST_COOKIES", "ARGS|!ARGS & TX:a", ""],
    );
}

#[test]
fn actions_by_number() {
    let found = |directive: &str| rules(&format!("{RULES}{directive}"));
    let first =
        found("SecRuleUpdateActionById 1 \"pass,t:md5,status:400,setvar:tx.a=1\"").remove(0);
    let link = &first.links[0];
    assert_eq!(format!("{:?} {:?}", first.disruptive, first.status), "Pass Some(400)");
    assert_eq!(format!("{:?} {}", link.transformations, link.effects.len()), "[Trim, Md5] 1");
    let first = found("SecRuleUpdateActionById 1:0 \"t:none,t:md5,nolog,msg:'New'\"").remove(0);
    assert_eq!(format!("{:?}", first.links[0].transformations), "[Md5]");
    assert!(!first.log && first.message.unwrap().literal() == Some("New"));
    let second = found("SecRuleUpdateActionById 2:1 \"t:md5\"").remove(1);
    assert_eq!(format!("{:?}", second.links[1].transformations), "[Md5]");
}

#[test]
fn what_names_nothing_is_noted() {
    let cases = [
        ("SecRuleRemoveById 9", "SecRuleRemoveById: it names no rule"),
        ("SecRuleRemoveByTag x", "SecRuleRemoveByTag: it names no rule"),
        ("SecRuleUpdateTargetById 9 !ARGS", "SecRuleUpdateTargetById: it names no rule"),
        (
            "SecRuleUpdateTargetById 1 ARGS TX:b",
            "SecRuleUpdateTargetById in rule 1: the rule has no such target",
        ),
        (
            "SecRuleUpdateTargetById 3 !ARGS",
            "SecRuleUpdateTargetById in rule 3: the rule looks at nothing",
        ),
        ("SecRuleUpdateActionById 9 pass", "SecRuleUpdateActionById: it names no rule"),
        ("SecRuleUpdateActionById 1:1 pass", "SecRuleUpdateActionById: it names no rule"),
    ];
    for (directive, expected) in cases {
        assert_eq!(notes(&format!("{directive}\n{RULES}")), format!("1: unmatched {expected}\n"));
    }
}

#[test]
fn wrong_exceptions() {
    let cases = [
        ("SecRuleRemoveById", "no number of a rule; write 942100, or 942100-942199"),
        ("SecRuleRemoveById 1-a", "`a` is no number of a rule; write a whole number from 1"),
        ("SecRuleRemoveById 9-1", "`9-1` ends before it begins; write the smaller number first"),
        ("SecRuleRemoveByTag", "a name of 0 bytes; write one of 1 to 4096 bytes"),
        ("SecRuleUpdateTargetById 1", "rules and targets are expected; write `942100 \"!ARGS:q\"`"),
        ("SecRuleUpdateTargetById 1 !ARG", "no variable `ARG`; did you mean `ARGS`?"),
        (
            "SecRuleUpdateActionById 1",
            "a rule and its new actions are expected; write `942100 \"pass\"`",
        ),
        (
            "SecRuleUpdateActionById a pass",
            "`a` is no number of a rule; write 942100, or 942100:1 for the second link of its chain",
        ),
        (
            "SecRuleUpdateActionById 1 phase:1",
            "`id`, `phase` and `chain` of a rule cannot be changed; leave them out, or remove the rule and write another",
        ),
        (
            "SecRuleUpdateActionById 2:1 deny",
            "`id`, `phase` or a disruptive action in a later link of a chain; write it in the first rule of the chain",
        ),
    ];
    for (directive, expected) in cases {
        assert_eq!(
            errors(&format!("{directive}\n{RULES}")),
            format!("1: {expected}\n"),
            "{directive}"
        );
    }
}

#[test]
fn a_rule_has_a_bounded_number_of_targets() {
    let more =
        "SecRuleUpdateTargetById 1 \"".to_owned() + &vec!["!ARGS:q"; 1_000].join("|") + "\"\n";
    assert!(errors(&format!("{RULES}{}", more.repeat(5))).contains("more than 4096 targets"));
}
