use expect_test::expect;
use selvedge_config::{View, ViewShape};

use super::*;
use crate::views::{field::Event, plan::Plan};

fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(&folder.path().join("views.db")).unwrap()
}

fn plan() -> Plan {
    let sql = "SELECT json ->> 'g' AS g, sum(json ->> 'n') AS s FROM event GROUP BY g";
    let shape = ViewShape::Sql(sql.to_owned());
    let view = View { name: "v".into(), tenant: None, stream: "s".into(), rows_max: 9, shape };
    Plan::new(&view).unwrap_or_else(|_| panic!("it is fit"))
}

/// Folds `n` into group `a` and writes it, or dies just before it is committed.
fn fold(store: &mut Store, generation: Generation, n: u64, is_lost: bool) -> Generation {
    let plan = plan();
    let writing = store.write().unwrap();
    let mut batch = Batch::new(&plan, generation.tally);
    let bytes = format!(r#"{{"g":"a","n":{n}}}"#);
    let event = Event { seq: generation.cursor, time_ms: 0, bytes: bytes.as_bytes() };
    batch.fold(&event, &mut writing.rows(&generation)).unwrap_or_else(|_| panic!("it is sound"));
    let next = Generation { cursor: generation.cursor + 1, ..generation.clone() };
    if is_lost {
        write_rows(&writing.transaction, generation.id, &batch).unwrap();
        return generation;
    }
    writing.finish(next, &batch, &[]).unwrap()
}

fn rows(store: &Store) -> Vec<String> {
    let mut statement =
        store.connection.prepare("SELECT row FROM row ORDER BY generation").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn rows_and_cursor_are_lost_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    store.begin("v", "d", (1, 4)).unwrap();
    drop(store);
    for (step, is_lost) in [false, true, false, true, true, false, false].into_iter().enumerate() {
        // Each batch meets a store that was opened anew, as after a crash.
        let mut store = open(&folder);
        let generation = store.generations("v").unwrap().remove(0);
        let cursor = generation.cursor;
        let folded = fold(&mut store, generation, cursor + 1, is_lost);
        assert_eq!(folded.cursor, cursor + u64::from(!is_lost), "{step}");
    }
    let store = open(&folder);
    assert_eq!(store.generations("v").unwrap()[0].cursor, 4);
    assert_eq!(rows(&store), [r#"{"g":"a","s":10}"#]);
}

#[test]
fn a_build_takes_over_when_it_has_caught_up_and_what_was_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder);
    let first = store.begin("v", "one", (1, 0)).unwrap();
    assert!(first.is_shown);
    fold(&mut store, first, 1, false);
    let second = store.begin("v", "two", (1, 2)).unwrap();
    assert!(!second.is_shown);
    let second = fold(&mut store, second, 5, false);
    assert_eq!((second.is_shown, rows(&store).len()), (false, 2));
    let second = fold(&mut store, second, 6, false);
    assert!(second.is_shown);
    assert_eq!(rows(&store), [r#"{"g":"a","s":11}"#]);
    assert_eq!(store.generations("v").unwrap(), [second]);
    store.remove("v").unwrap();
    assert!(rows(&store).is_empty() && store.views().unwrap().is_empty());
}

#[test]
fn a_file_of_another_version_or_kind_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    open(&folder).connection.pragma_update(None, "user_version", 7).unwrap();
    let file = folder.path().join("views.db");
    assert!(matches!(Store::open(&file), Err(StoreError::Version(7))));
    std::fs::remove_file(folder.path().join("views.db-wal")).ok();
    std::fs::write(&file, "no database at all, but long enough to be taken for one").unwrap();
    assert!(matches!(Store::open(&file), Err(StoreError::Sqlite(_))));
}

/// What lies on disks out there: changing it takes another version.
#[test]
fn the_schema_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let sql = "SELECT m.name || ': ' || group_concat(c.name || ' ' || c.type || iif(c.pk, ' key', ''), ', ')
               FROM sqlite_master AS m, pragma_table_info(m.name) AS c
               WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' GROUP BY m.name ORDER BY m.name";
    let mut statement = store.connection.prepare(sql).unwrap();
    let tables: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let version: i32 =
        store.connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    expect![[r#"
        version 1
        fault: generation INTEGER key, seq INTEGER key, time_ms INTEGER, reason TEXT, beginning TEXT
        generation: id INTEGER key, view TEXT, definition TEXT, stream INTEGER, goal INTEGER, is_shown INTEGER, cursor INTEGER, rows INTEGER, folded INTEGER, passed INTEGER, bad INTEGER, overflowed INTEGER, missed INTEGER, missed_since_ms INTEGER
        row: generation INTEGER key, key TEXT key, row TEXT, state TEXT
    "#]]
    .assert_eq(&format!("version {version}\n{}\n", tables.join("\n")));
}
