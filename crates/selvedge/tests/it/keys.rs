use crate::process::Place;

/// A key is shown once, works by its hash alone, and is refused once it was revoked.
#[test]
fn keys_are_made_listed_and_revoked() {
    let place = Place::new();
    let made = place.run("agents key create --file keys.txt --user ann --role admin --days 30");
    let key = made.lines().nth(2).unwrap_or_else(|| panic!("{made}")).to_owned();
    let id = key.split('_').nth(1).unwrap_or_else(|| panic!("{made}")).to_owned();
    assert!(key.starts_with("slv_"), "{made}");
    let file = std::fs::read_to_string(place.path("keys.txt")).unwrap();
    assert!(file.contains(&id) && !file.contains(&key), "{file}");
    let listed = place.run("agents key list --file keys.txt");
    assert!(listed.contains(&format!("{id}  user=ann roles=admin  29 days left")), "{listed}");
    let revoked = place.run(&format!("agents key revoke --file keys.txt {id}"));
    assert!(revoked.starts_with("exit 0"), "{revoked}");
    let listed = place.run("agents key list --file keys.txt");
    assert!(listed.contains("revoked"), "{listed}");
    let unknown = place.run("agents key revoke --file keys.txt nobody");
    assert!(unknown.starts_with("exit 1"), "{unknown}");
}
