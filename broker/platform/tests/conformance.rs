//! One suite that every disk passes: the contract of `Disk`, `File` and `Mapping` without crashes.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use mainstem_platform::os::OsDisk;
use mainstem_platform::simulated::SimulatedDisk;
use mainstem_platform::{Disk, Entry, OpenMode, replace_file};
use std::io::{ErrorKind, IoSlice};
use std::path::Path;

#[test]
fn the_operating_system_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conforms(&OsDisk, dir.path());
}

#[test]
fn the_simulated_disk_conforms() {
    conforms(&SimulatedDisk::new(), Path::new("/data"));
}

fn conforms(disk: &dyn Disk, root: &Path) {
    disk.create_dir_all(root).unwrap();
    files_are_opened_as_asked(disk, &root.join("open"));
    writes_are_positional(disk, &root.join("write"));
    names_change_in_one_step(disk, &root.join("names"));
    maps_see_later_writes(disk, &root.join("map"));
}

fn files_are_opened_as_asked(disk: &dyn Disk, dir: &Path) {
    disk.create_dir_all(&dir.join("deep/er")).unwrap();
    disk.create_dir_all(dir).unwrap();
    let path = dir.join("f");
    let kind = |mode| disk.open(&path, mode).unwrap_err().kind();
    assert_eq!(kind(OpenMode::Read), ErrorKind::NotFound);
    assert_eq!(kind(OpenMode::Write), ErrorKind::NotFound);
    let nowhere = disk.open(&dir.join("none/f"), OpenMode::CreateNew).unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::NotFound);
    disk.open(&path, OpenMode::CreateNew).unwrap().write_at(b"abc", 0).unwrap();
    assert_eq!(kind(OpenMode::CreateNew), ErrorKind::AlreadyExists);
    assert_eq!(disk.open(&path, OpenMode::OpenOrCreate).unwrap().len().unwrap(), 3);
    assert_eq!(disk.open(&path, OpenMode::Read).unwrap().len().unwrap(), 3);
    assert!(disk.open(&path, OpenMode::CreateOrTruncate).unwrap().is_empty().unwrap());
    let names = disk.list(dir).unwrap();
    let entry = |name: &str, is_dir| Entry { name: name.to_owned(), is_dir, len: 0 };
    assert_eq!(names, [entry("deep", true), entry("f", false)]);
}

fn writes_are_positional(disk: &dyn Disk, dir: &Path) {
    disk.create_dir_all(dir).unwrap();
    let file = disk.open(&dir.join("f"), OpenMode::CreateNew).unwrap();
    let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cd")];
    file.write_vectored_at(&slices, 2).unwrap();
    let mut buffer = [9; 8];
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 6);
    assert_eq!(&buffer, b"\0\0abcd\x09\x09");
    assert_eq!(file.read_at(&mut buffer, 6).unwrap(), 0);
    assert_eq!(file.read_at(&mut buffer, 60).unwrap(), 0);
    let many = vec![IoSlice::new(b"x"); 3000];
    file.write_vectored_at(&many, 6).unwrap();
    assert_eq!(file.len().unwrap(), 3006);
    file.set_len(6).unwrap();
    let early = file.read_exact_at(&mut buffer, 0).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::UnexpectedEof);
    file.set_len(3).unwrap();
    file.set_len(5).unwrap();
    file.sync_data().unwrap();
    file.read_exact_at(&mut buffer[..5], 0).unwrap();
    assert_eq!(&buffer[..5], b"\0\0a\0\0");
}

fn names_change_in_one_step(disk: &dyn Disk, dir: &Path) {
    disk.create_dir_all(dir).unwrap();
    let path = dir.join("f");
    replace_file(disk, &path, b"one").unwrap();
    let old = disk.open(&path, OpenMode::Read).unwrap();
    replace_file(disk, &path, b"second").unwrap();
    assert_eq!(disk.open(&path, OpenMode::Read).unwrap().len().unwrap(), 6);
    let mut buffer = [0; 3];
    old.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"one", "a replaced file is still there for who holds it");
    assert_eq!(disk.list(dir).unwrap().len(), 1);

    disk.create_dir_all(&dir.join("d/e")).unwrap();
    disk.open(&dir.join("d/e/g"), OpenMode::CreateNew).unwrap();
    disk.rename(&dir.join("d"), &dir.join("moved")).unwrap();
    assert!(disk.exists(&dir.join("moved/e/g")).unwrap());
    assert!(!disk.exists(&dir.join("d")).unwrap());
    disk.sync_dir(dir).unwrap();
    disk.remove_dir_all(&dir.join("moved")).unwrap();
    assert!(!disk.exists(&dir.join("moved/e/g")).unwrap());
    disk.remove_file(&path).unwrap();
    assert_eq!(disk.remove_file(&path).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.rename(&path, &dir.join("x")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.list(&dir.join("gone")).unwrap_err().kind(), ErrorKind::NotFound);
}

fn maps_see_later_writes(disk: &dyn Disk, dir: &Path) {
    disk.create_dir_all(dir).unwrap();
    let file = disk.open(&dir.join("f"), OpenMode::CreateNew).unwrap();
    file.map(0).unwrap().read(&mut [], 0);
    assert!(file.map(1).is_err());
    file.set_len(16).unwrap();
    let map = file.map(16).unwrap();
    file.write_at(b"index", 8).unwrap();
    let mut buffer = [9; 6];
    map.read(&mut buffer, 7);
    assert_eq!(&buffer, b"\0index");
}
