use std::{fs, path::Path};

use selvedge_backup::{Create, Error, ErrorKind, Store, create, names, verify};

use crate::place::{Place, files, records_of};

async fn faults(store: &Store) -> Vec<String> {
    let verified = verify(store, None, &mut |_| ()).await.unwrap();
    verified.faults.iter().map(|fault| format!("{} {}", fault.object, fault.what)).collect()
}

/// Each object in turn: rotten, cut, gone. Both who looks and who restores say which it is.
#[tokio::test]
async fn whatever_is_damaged_is_named() {
    let place = Place::new();
    let store = place.store();
    place.append("orders", 60);
    fs::write(place.data().join("tokens"), "a token").unwrap();
    place.back_up(&store).await;
    let root = place.folder.path().join("store");
    for path in files(&root) {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let whole = fs::read(&path).unwrap();
        let mut rotten = whole.clone();
        rotten[whole.len() / 2] ^= 0x10;
        for bytes in [Some(&rotten[..]), Some(&whole[..whole.len() - 2]), None] {
            match bytes {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            check_found(&place, &store, &name).await;
        }
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(faults(&store).await, Vec::<String>::new());
    let (to, _) = place.restore(&store, None).await;
    assert_eq!(records_of(&to), place.records());
}

async fn check_found(place: &Place, store: &Store, name: &str) {
    let restored = place.try_restore(store, None).await.1.map(drop);
    let is_there = place.folder.path().join("store").join(name).exists();
    if name.starts_with("objects/") {
        let found = faults(store).await;
        assert!(found.iter().any(|fault| fault.starts_with(name)), "{name}: {found:?}");
        assert!(restored.unwrap_err().to_string().contains(name));
    } else if is_there || !name.starts_with("newest/") {
        // The state of keys and tokens is no backup's: where there is none, none comes back.
        let error = restored.expect_err(name);
        assert!(
            matches!(error.kind(), ErrorKind::Data | ErrorKind::Unavailable),
            "{name}: {error}"
        );
    }
}

/// A manifest or a list of the newest backup that rots stands in no other's way: neither of one that takes nothing over,
/// nor of one that would.
#[tokio::test]
async fn a_rotten_newest_backup_stands_in_nobodys_way() {
    for full in [true, false] {
        for object in ["manifest", "list"] {
            let place = Place::new();
            let store = place.store();
            place.append("orders", 30);
            place.back_up(&store).await;
            let rotten = place.back_up(&store).await.backup;
            let digest = rotten.manifest.folders[0].list.to_string();
            let root = place.folder.path().join("store");
            let path = match object {
                "manifest" => root.join(format!("backups/{}.json", rotten.name)),
                _ => files(&root.join("objects"))
                    .into_iter()
                    .find(|path| path.to_str().unwrap().ends_with(&digest))
                    .unwrap(),
            };
            let mut bytes = fs::read(&path).unwrap();
            bytes[20] ^= 0x10;
            fs::write(&path, bytes).unwrap();
            let plan = Create { full, ..Create::of(&place.data()) };
            let made = create(&store, &plan, &mut place.hold(), &mut |_| ()).await.unwrap();
            assert!(made.backup.name > rotten.name, "names are in the order of time");
            assert_eq!(made.backup.manifest.parent, None);
            match (full, made.broken) {
                (true, None) => {}
                (false, Some(why)) => {
                    assert!(why.contains(&rotten.name) && why.contains("is damaged"), "{why}");
                }
                (_, broken) => panic!("{object}: {broken:?}"),
            }
            let (to, _) = place.restore(&store, None).await;
            assert_eq!(records_of(&to), place.records());
        }
    }
}

#[tokio::test]
async fn a_later_version_is_told_as_such() {
    let place = Place::new();
    let store = place.store();
    place.back_up(&store).await;
    let mark = place.folder.path().join("store/selvedge-backup.json");
    fs::write(&mark, "{\"version\":2,\"new\":true}").unwrap();
    assert!(matches!(names(&store).await, Err(Error::Version { version: 2, .. })));
    assert!(matches!(place.try_back_up(&store).await, Err(Error::Version { version: 2, .. })));
}

/// Records that rot on the machine are told when they are backed up, and come back as they are.
#[tokio::test]
async fn damage_on_the_machine_is_told() {
    let place = Place::new();
    let store = place.store();
    place.append("orders", 100);
    let first = files(&place.data().join("log"))
        .into_iter()
        .find(|path| path.to_str().unwrap().ends_with(".segment"));
    let first = first.unwrap();
    let mut bytes = fs::read(&first).unwrap();
    bytes[20_000] ^= 1;
    fs::write(&first, &bytes).unwrap();
    let damaged = place.back_up(&store).await.backup.manifest.damaged;
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0].path, "log/0000000000000000.segment");
    assert!((16_000..=20_000).contains(&damaged[0].at), "{damaged:?}");
}

/// A backup that is killed at any object leaves what is there whole, and the next one goes on.
#[tokio::test]
async fn cut_short_anywhere_nothing_is_lost() {
    let place = Place::new();
    let store = place.store();
    place.append("orders", 40);
    let first = place.back_up(&store).await.backup.name;
    place.append("orders", 40);
    place.back_up(&store).await;
    let root = place.folder.path().join("store");
    let second = names(&store).await.unwrap().pop().unwrap();
    // The manifest is the last object: without it, there are any number of the others.
    fs::remove_file(root.join(format!("backups/{second}.json"))).unwrap();
    let objects = files(&root.join("objects"));
    for gone in objects.iter().take(objects.len() / 2) {
        if !needed_by(&store, &first, gone).await {
            fs::remove_file(gone).unwrap();
        }
    }
    assert_eq!(names(&store).await.unwrap(), [first]);
    assert_eq!(faults(&store).await, Vec::<String>::new());
    place.back_up(&store).await;
    let (to, _) = place.restore(&store, None).await;
    assert_eq!(records_of(&to), place.records());
}

async fn needed_by(store: &Store, name: &str, path: &Path) -> bool {
    let away = path.with_extension("away");
    fs::rename(path, &away).unwrap();
    let verified = verify(store, Some(name), &mut |_| ()).await.unwrap();
    fs::rename(&away, path).unwrap();
    !verified.faults.is_empty()
}
