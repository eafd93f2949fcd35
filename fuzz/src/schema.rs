use selvedge_agents::schema::read_description;
use selvedge_config::{auth, bridge, rate_limit, schema};
use serde::{Serialize, de::DeserializeOwned};

/// A text is a description of an API, or it has faults, each at a place in it; and it is the same when it
/// is read again. The first byte says whether it is YAML or JSON.
pub fn api_description(bytes: &[u8]) {
    let Some((format, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let name = if format % 2 == 0 { "api.yaml" } else { "api.json" };
    let read = read_description(name, text);
    if let Err(faults) = &read {
        assert!(!faults.is_empty(), "refused without a fault");
        let is_placed = |fault: &String| fault.starts_with(name);
        assert!(faults.iter().all(is_placed), "{faults:?}");
    }
    assert_eq!(read_description(name, text), read);
}

/// Settings as an edge sends them are read and are the same ones when they are sent on, or they are refused.
/// The first byte says of which agent.
pub fn agent_settings(bytes: &[u8]) {
    let Some((kind, json)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => survive::<auth::Settings>(json),
        1 => survive::<rate_limit::Settings>(json),
        2 => survive::<schema::Settings>(json),
        _ => survive::<bridge::Settings>(json),
    }
}

fn survive<S: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(json: &[u8]) {
    let Ok(settings) = serde_json::from_slice::<S>(json) else { return };
    let sent = serde_json::to_vec(&settings).expect("settings have text keys");
    let again: S = serde_json::from_slice(&sent).expect("what was sent can be read");
    assert_eq!(again, settings);
}
