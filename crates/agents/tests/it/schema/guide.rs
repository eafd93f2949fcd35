//! The guide says what is so.

use selvedge_config::{AgentSettings, Entry, Environment, parse_str};

use super::*;

const PAGE: &str = include_str!("../../../../../docs/guide/schema.md");

/// Blocks of the guide in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A world where every file that a block names is in `folder`.
struct In(PathBuf);

impl Environment for In {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn read(&self, path: &std::path::Path) -> std::io::Result<String> {
        fs::read_to_string(path)
    }

    fn entry(&self, path: &std::path::Path) -> Option<Entry> {
        Some(if path.extension().is_some() { Entry::File } else { Entry::Folder })
    }

    fn current_dir(&self) -> PathBuf {
        self.0.clone()
    }

    fn cores(&self) -> usize {
        2
    }
}

/// The settings that each block of the guide makes, as JSON.
fn settings_in(folder: &TempDir) -> Vec<Value> {
    let read = |block: &&str| {
        let listener = "listener \"http\" { address \"127.0.0.1:8080\" }\n";
        let listener = if block.starts_with("listener") { "" } else { listener };
        let name = folder.path().join("selvedge.kdl");
        let environment = In(folder.path().to_owned());
        let loaded = parse_str(name.to_str().unwrap(), &format!("{listener}{block}"), &environment);
        let config = loaded.unwrap_or_else(|report| panic!("{report}")).config;
        match &config.agents["schema"].settings {
            AgentSettings::Schema(settings) => serde_json::to_value(settings).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    blocks("kdl").iter().map(read).collect()
}

#[test]
fn its_settings_start_and_its_answer_is_the_agents() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("orders.yaml"), blocks("yaml")[0]).unwrap();
    fs::write(folder.path().join("event.json"), "true").unwrap();
    fs::write(folder.path().join("receipt.yaml"), "type: object").unwrap();
    let all = settings_in(&folder);
    assert_eq!(all.len(), 3);
    all.iter().for_each(|settings| drop(start(settings).unwrap()));

    let [body, answer] = blocks("json")[..] else { panic!("a request and its answer") };
    let agent = start(&all[0]).unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();
    let said =
        runtime.block_on(ask(&agent, &Message::request("POST /api/orders").json(body), None));
    let answer: Value = serde_json::from_str(answer).unwrap();
    let told = said.lines().find(|line| line.trim_start().starts_with('{')).unwrap();
    assert_eq!(serde_json::from_str::<Value>(told).unwrap(), answer);
}
