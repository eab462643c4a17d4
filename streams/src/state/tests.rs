//! The contract of backends, run against both of them, and the rule of one record per dirty key.

use std::sync::Arc;

use bytes::Bytes;
use mainstem_protocol::ids::Offset;

use super::*;
use crate::codec::Data;

fn slot(store: &str, partition: i32) -> Slot {
    Slot { store: store.to_owned(), partition }
}

fn writes(slot: &Slot, offset: i64, pairs: &[(&str, Option<&str>)]) -> SlotWrites {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let writes = pairs.iter().map(|(key, value)| (bytes(key), value.map(bytes)));
    SlotWrites {
        slot: slot.clone(),
        storage: Storage::Disk,
        writes: writes.collect(),
        changelog_offset: Some(Offset(offset)),
    }
}

fn keys(backend: &dyn Backend, slot: &Slot, from: &str, to: Option<&str>, limit: usize) -> String {
    let found = backend.scan(slot, from.as_bytes(), to.map(str::as_bytes), limit).expect("scan");
    let keys = found.into_iter().map(|(key, _)| String::from_utf8(key).expect("text"));
    keys.collect::<Vec<_>>().join(" ")
}

/// What every backend does.
fn conforms(backend: &dyn Backend) {
    let (left, right, other) = (slot("s", 0), slot("s", 1), slot("t", 0));
    for store in ["s", "t", "s"] {
        backend.open_store(store).expect("open");
    }
    assert_eq!(backend.changelog_offset(&left).expect("offset"), None);
    backend
        .apply(&[
            writes(&left, 3, &[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]),
            writes(&right, 7, &[("a", Some("9"))]),
        ])
        .expect("apply");
    assert_eq!(backend.get(&left, b"b").expect("get"), Some(b"2".to_vec()));
    assert_eq!(backend.get(&right, b"b").expect("get"), None);
    assert_eq!(keys(backend, &left, "", None, 9), "a b c");
    assert_eq!(keys(backend, &left, "b", None, 9), "b c");
    assert_eq!(keys(backend, &left, "", Some("c"), 9), "a b");
    assert_eq!(keys(backend, &left, "b", Some("a"), 9), "");
    assert_eq!(keys(backend, &left, "", None, 2), "a b");
    assert_eq!(keys(backend, &other, "", None, 9), "");
    backend.apply(&[writes(&left, 5, &[("b", None), ("d", Some("4"))])]).expect("apply");
    let unmoved = SlotWrites { changelog_offset: None, ..writes(&right, 0, &[]) };
    backend.apply(&[unmoved]).expect("apply");
    assert_eq!(keys(backend, &left, "", None, 9), "a c d");
    assert_eq!(backend.changelog_offset(&left).expect("offset"), Some(Offset(5)));
    assert_eq!(backend.changelog_offset(&right).expect("offset"), Some(Offset(7)));
    backend.clear(&left).expect("clear");
    assert_eq!(keys(backend, &left, "", None, 9), "");
    assert_eq!(backend.changelog_offset(&left).expect("offset"), None);
    assert_eq!(keys(backend, &right, "", None, 9), "a");
}

#[test]
fn memory_conforms() {
    conforms(&MemoryBackend::default());
}

#[test]
fn rocksdb_conforms_and_remembers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    conforms(&RocksBackend::open(folder.path()).expect("open"));
    let again = RocksBackend::open(folder.path()).expect("open again");
    assert_eq!(keys(&again, &slot("s", 1), "", None, 9), "a");
    assert_eq!(again.changelog_offset(&slot("s", 1)).expect("offset"), Some(Offset(7)));
    assert_eq!(again.slots().expect("slots"), [slot("s", 1)]);
}

#[test]
fn a_key_written_often_is_one_record_in_the_changelog() {
    let backend: Arc<MemoryBackend> = Arc::default();
    let open = || {
        KeyValueStore::<String, u64>::new(
            slot("s", 0),
            String::codec(),
            u64::codec(),
            backend.clone(),
        )
    };
    let mut store = open();
    for at in 0..10 {
        store.update(&"a".to_owned(), at, || 1, |count| *count += 1).expect("update");
    }
    store.put(&"b".to_owned(), Some(5), 3).expect("put");
    store.put(&"b".to_owned(), None, 4).expect("put");
    assert_eq!(store.dirty_len(), 2);
    let collected = store.collect().expect("collect");
    let logged = collected
        .changelog
        .iter()
        .map(|record| (record.key.clone(), record.value.clone(), record.timestamp));
    let ten = Bytes::copy_from_slice(&10_u64.to_be_bytes());
    let expected = [(Bytes::from("a"), Some(ten), 9), (Bytes::from("b"), None, 0)];
    assert_eq!(logged.collect::<Vec<_>>(), expected);
    assert_eq!(backend.get(&slot("s", 0), b"a").expect("get"), None, "not before the commit");
    let written = SlotWrites { writes: collected.writes, ..writes(&slot("s", 0), 2, &[]) };
    backend.apply(&[written]).expect("apply");
    store.committed();
    assert_eq!(store.dirty_len(), 0);
    assert_eq!(open().get_with_timestamp(&"a".to_owned()).expect("get"), Some((&10, 9)));
}

#[test]
fn windows_leave_in_the_order_of_time_whatever_was_committed() {
    let backend: Arc<MemoryBackend> = Arc::default();
    let slot = slot("w", 0);
    let mut store = WindowStore::<String, u64>::new(
        slot.clone(),
        String::codec(),
        u64::codec(),
        backend.clone(),
    );
    let add = |store: &mut WindowStore<String, u64>, key: &str, start: i64| {
        store.update(&key.to_owned(), start, start, || 1, |count| *count += 1).expect("update");
    };
    for (key, start) in [("b", 10), ("a", 10), ("a", -10), ("a", 20), ("a", 10)] {
        add(&mut store, key, start);
    }
    let collected = store.collect().expect("collect");
    let written = SlotWrites { writes: collected.writes, ..writes(&slot, 4, &[]) };
    backend.apply(&[written]).expect("apply");
    store.committed();
    add(&mut store, "c", 0);
    let shown = |closed: Vec<window::ClosedWindow<String, u64>>| -> String {
        let shown = closed.iter().map(|w| format!("{}@{}={}", w.key, w.start, w.value));
        shown.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown(store.close_until(10).expect("close")), "a@-10=1 c@0=1 a@10=2 b@10=1");
    assert_eq!(shown(store.close_until(19).expect("close")), "");
    assert_eq!(shown(store.close_until(i64::MAX).expect("close")), "a@20=1");
}
