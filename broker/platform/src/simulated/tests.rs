//! What the simulated disk forgets, keeps and breaks.

use super::SimulatedDisk;
use crate::disk::{Disk, OpenMode};
use std::io::ErrorKind;
use std::path::Path;

fn content(disk: &SimulatedDisk, path: &str) -> Option<Vec<u8>> {
    disk.contents().into_iter().find(|(name, _)| name == Path::new(path)).map(|(_, bytes)| bytes)
}

#[test]
fn synced_bytes_under_a_synced_name_survive_every_crash() {
    for seed in 0..200 {
        let disk = SimulatedDisk::new();
        disk.create_dir_all(Path::new("/a")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let file = disk.open(Path::new("/a/f"), OpenMode::CreateNew).unwrap();
        file.write_at(b"kept", 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/a")).unwrap();
        file.write_at(b"maybe", 4).unwrap();
        disk.crash(seed);
        let bytes = content(&disk, "/a/f").expect("name was synced");
        assert!(bytes.starts_with(b"kept"), "seed {seed}: {bytes:?}");
        assert!(bytes.len() <= 9);
    }
}

#[test]
fn a_crash_takes_every_possible_choice() {
    let mut lengths = std::collections::BTreeSet::new();
    let mut reverted = 0;
    for seed in 0..400 {
        let disk = SimulatedDisk::new();
        let file = disk.open(Path::new("/f.tmp"), OpenMode::CreateNew).unwrap();
        file.write_at(&[1; 1500], 0).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.rename(Path::new("/f.tmp"), Path::new("/f")).unwrap();
        disk.crash(seed);
        match (content(&disk, "/f"), content(&disk, "/f.tmp")) {
            (Some(bytes), None) => {
                lengths.insert(bytes.len());
            }
            (None, Some(_)) => reverted += 1,
            other => panic!("a rename is one step, got {other:?}"),
        }
    }
    assert!(reverted > 0, "a rename without a directory sync may be undone");
    assert!(lengths.contains(&0) && lengths.contains(&1500) && lengths.len() > 10);
}

#[test]
fn handles_of_an_earlier_life_are_dead() {
    let disk = SimulatedDisk::new();
    let file = disk.open(Path::new("/f"), OpenMode::CreateNew).unwrap();
    disk.kill_process();
    assert!(file.write_at(b"x", 0).is_err());
    assert!(file.sync_data().is_err());
    assert_eq!(content(&disk, "/f"), Some(vec![]));
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = SimulatedDisk::new();
    disk.set_room(Some(6));
    let file = disk.open(Path::new("/f"), OpenMode::CreateNew).unwrap();
    file.write_at(b"1234", 0).unwrap();
    let error = file.write_at(b"5678", 4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(content(&disk, "/f").unwrap(), b"123456");
    disk.set_room(None);
    file.write_at(b"5678", 4).unwrap();
    assert_eq!(content(&disk, "/f").unwrap(), b"12345678");
}

#[test]
fn a_failed_sync_loses_the_bytes_it_was_asked_to_keep() {
    for seed in 0..50 {
        let disk = SimulatedDisk::new();
        let file = disk.open(Path::new("/f"), OpenMode::CreateNew).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.fail_sync_after(0);
        file.write_at(b"gone", 0).unwrap();
        assert!(file.sync_data().is_err());
        assert_eq!(content(&disk, "/f").unwrap(), b"gone", "readers still see it");
        disk.crash(seed);
        assert_eq!(content(&disk, "/f").unwrap(), b"", "but it never was on the platter");
    }
}
