use std::fs;

use selvedge_backup::{names, prune, verify};
use selvedge_eventlog::Batch;

use crate::place::{Place, files, records_of};

#[tokio::test]
async fn what_is_kept_stays_whole_and_the_rest_goes() {
    let place = Place::new();
    let store = place.store();
    let mut made = Vec::new();
    for _ in 0..6 {
        place.append("orders", 40);
        // Retention: each backup has segments that later ones do not.
        let stream = place.stream("orders");
        let tail = place.log.info(stream).unwrap().tail;
        place.log.append(Batch::trim(stream, tail - 20)).wait().unwrap();
        made.push((place.back_up(&store).await.backup.name, place.records()));
    }
    let root = place.folder.path().join("store");
    fs::write(root.join("objects/left#1"), "half").unwrap();
    let before = files(&root).len();
    let pruned = prune(&store, 2).await.unwrap();
    assert_eq!((pruned.backups.len(), pruned.kept), (4, 2));
    assert!(pruned.objects > 4, "{pruned:?}");
    assert!(files(&root).len() < before);
    assert!(!root.join("objects/left#1").exists());
    let left = names(&store).await.unwrap();
    assert_eq!(left, [made[4].0.clone(), made[5].0.clone()]);
    assert_eq!(verify(&store, None, &mut |_| ()).await.unwrap().faults, []);
    for (name, expected) in &made[4..] {
        let (to, _) = place.restore(&store, Some(name)).await;
        assert_eq!(&records_of(&to), expected);
    }
    // Again, there is nothing left to do; and a backup goes on from what there is.
    assert_eq!(prune(&store, 2).await.unwrap().objects, 0);
    place.append("orders", 3);
    assert!(place.back_up(&store).await.backup.manifest.new_bytes < 30_000);
}

/// What is needed is known only when every manifest that stays can be read.
#[tokio::test]
async fn what_cannot_be_read_stays_and_all_that_it_may_need() {
    let place = Place::new();
    let store = place.store();
    let mut made = Vec::new();
    for _ in 0..3 {
        place.append("orders", 10);
        made.push((place.back_up(&store).await.backup.name, place.records()));
    }
    let root = place.folder.path().join("store");
    let (newest, _) = made.pop().unwrap();
    let path = root.join(format!("backups/{newest}.json"));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[1..]).unwrap();
    let before = files(&root.join("objects"));
    let pruned = prune(&store, 1).await.unwrap();
    let (readable, expected) = made.pop().unwrap();
    let (oldest, _) = made.pop().unwrap();
    assert_eq!((pruned.backups, pruned.kept, pruned.objects), (vec![oldest], 2, 0));
    let unreadable: Vec<&str> = pruned.unreadable.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(unreadable, [newest.as_str()]);
    assert!(pruned.unreadable[0].reason.contains("is damaged"), "{:?}", pruned.unreadable);
    // One that can be read always stays, with what it needs, and so does what only the other needs.
    assert_eq!(names(&store).await.unwrap(), [readable.clone(), newest.clone()]);
    assert_eq!(files(&root.join("objects")), before);
    let (to, _) = place.restore(&store, Some(&readable)).await;
    assert_eq!(records_of(&to), expected);
    // When there are as many newer ones, it goes.
    place.append("orders", 10);
    place.back_up(&store).await;
    let pruned = prune(&store, 1).await.unwrap();
    assert_eq!((pruned.backups, pruned.unreadable), (vec![readable, newest], vec![]));
    assert!(pruned.objects > 0);
    let (to, _) = place.restore(&store, None).await;
    assert_eq!(records_of(&to), place.records());
}

#[tokio::test]
async fn one_always_stays_and_others_wait_their_turn() {
    let place = Place::new();
    let store = place.store();
    assert!(prune(&store, 1).await.is_err());
    place.back_up(&store).await;
    assert_eq!(prune(&store, 0).await.unwrap().kept, 1);
    let word = r#"{"version":1,"work":"create","host":"elsewhere","process":1}"#;
    let busy = place.folder.path().join("store/busy");
    fs::create_dir_all(&busy).unwrap();
    fs::write(busy.join("0.json"), word).unwrap();
    let refused = prune(&store, 1).await.unwrap_err().to_string();
    assert!(refused.contains("process 1 on elsewhere"), "{refused}");
    // A backup beside it is fine.
    place.back_up(&store).await;
}
