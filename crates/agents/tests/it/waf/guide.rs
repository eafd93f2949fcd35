//! The guide says what is so.

use std::{fs, path::PathBuf};

use super::*;

const PAGE: &str = include_str!("../../../../../docs/guide/waf.md");

/// Blocks of the guide in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn its_settings_start() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file: PathBuf = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write("crs/crs-setup.conf", "SecAction \"id:900990,phase:1,pass,nolog\"");
    write("crs/rules/a.conf", "SecRule ARGS \"@rx x\" \"id:942100,phase:2,deny,tag:attack-sqli\"");
    write("shop.kdl", blocks("waf")[0]);
    let all = blocks("kdl");
    assert!(all.len() >= 4);
    for block in all {
        let name = folder.path().join("selvedge.kdl");
        let loaded = parse_str(name.to_str().unwrap(), block, &SystemEnvironment);
        let config = loaded.unwrap_or_else(|report| panic!("{report}")).config;
        let AgentSettings::Waf(settings) = &config.agents["waf"].settings else {
            panic!("not a firewall")
        };
        assert_eq!(check_files(settings), Ok(()), "{block}");
    }
}
