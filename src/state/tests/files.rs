//! The file itself: its mode, its lock, and what it says when it cannot be used.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use crate::{
    keys::{KeyPlane, PlaneLimits},
    record::{Record, RecordWriter, Table},
    secret::{Secret, SecretBytes},
    state::{
        BroadcastState, KeyServerState, ReceiverState, StateOptions, file::StateFile,
        medium::Medium,
    },
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn open(path: &Path, key: Option<u8>) -> Result<ReceiverState, String> {
    let options = StateOptions::new(path);
    let options = match key {
        Some(octet) => options.sealed_with(Secret::new([octet; 32])),
        None => options,
    };
    ReceiverState::open(options).map_err(|error| error.to_string())
}

/// What nobody must find in the file of a sealed state.
const SECRET: &[u8] = b"sixteen octets of key and more";

fn fill(state: &mut ReceiverState) {
    let key = RecordWriter::key(Table::Bound).octets(b"239.0.0.1:5004").into_key();
    state.put(vec![Record { key, value: Some(SecretBytes::new(SECRET)) }]).unwrap();
}

fn contains(path: &Path, wanted: &[u8]) -> bool {
    fs::read(path).unwrap().windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn only_its_owner_can_read_the_file_whatever_its_mode_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    drop(open(&path, None).unwrap());
    assert_eq!(mode(&path), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(&path, None).unwrap());
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&folder.path().join("state.lock")), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
    let error = open(&path, None).unwrap_err();
    assert!(error.contains("state") && error.contains("chmod 600"), "{error}");
}

#[test]
fn sealed_state_opens_under_its_key_and_is_otherwise_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (sealed, open_file) = (folder.path().join("sealed"), folder.path().join("open"));
    for (path, key) in [(&sealed, Some(1)), (&open_file, None)] {
        fill(&mut open(path, key).unwrap());
        assert_eq!(contains(path, SECRET), key.is_none());
        // Also in the snapshot that the next start writes.
        fill(&mut open(path, key).unwrap());
        assert_eq!(contains(path, SECRET), key.is_none());
    }
    for (path, key, told) in [
        (&sealed, None, "is sealed"),
        (&sealed, Some(2), "another key"),
        (&open_file, Some(1), "not sealed"),
    ] {
        let before = fs::read(path).unwrap();
        let error = open(path, key).unwrap_err();
        assert!(error.contains(told) && error.contains(path.to_str().unwrap()), "{error}");
        assert_eq!(fs::read(path).unwrap(), before);
    }
    open(&sealed, Some(1)).unwrap();
}

#[test]
fn key_of_the_seal_is_changed_by_naming_the_former_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let key = |octet| Secret::new([octet; 32]);
    fill(&mut open(&path, Some(1)).unwrap());
    let renewed = || StateOptions::new(&path).sealed_with(key(2)).formerly_sealed_with(key(1));
    drop(ReceiverState::open(renewed()).unwrap());
    assert!(open(&path, Some(1)).unwrap_err().contains("another key"));
    drop(open(&path, Some(2)).unwrap());
    // It can stay until the next change.
    drop(ReceiverState::open(renewed()).unwrap());
    let wrong = StateOptions::new(&path).sealed_with(key(3)).formerly_sealed_with(key(4));
    let error = ReceiverState::open(wrong).unwrap_err().to_string();
    assert!(error.contains("another key"), "{error}");
    // No key any more.
    let bare = StateOptions::new(&path).formerly_sealed_with(key(2));
    drop(ReceiverState::open(bare).unwrap());
    assert!(contains(&path, SECRET));
    // What is not sealed could be anybody's, whatever keys are named.
    let error = ReceiverState::open(renewed()).unwrap_err().to_string();
    assert!(error.contains("not sealed"), "{error}");
}

#[test]
fn state_of_another_kind_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    drop(open(&path, None).unwrap());
    let error = KeyServerState::open(StateOptions::new(&path)).unwrap_err().to_string();
    assert!(error.ends_with("is not the state of a key server"), "{error}");
    let error = BroadcastState::open(StateOptions::new(&path)).unwrap_err().to_string();
    assert!(error.ends_with("is not the state of a broadcaster"), "{error}");
}

#[test]
fn file_of_another_user_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    fill(&mut open(&path, None).unwrap());
    let before = fs::read(&path).unwrap();
    let mut file = StateFile::take(&path).unwrap();
    file.read().unwrap();
    file.belongs_to(u32::MAX - 1);
    let error = file.begin().unwrap_err().to_string();
    assert!(error.contains("belongs to user 4294967294"), "{error}");
    assert!(!folder.path().join("state.new").exists());
    assert_eq!(fs::read(&path).unwrap(), before);
    drop(file);
    drop(open(&path, None).unwrap());
}

#[test]
fn file_that_is_no_state_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    for octets in [&b""[..], b"mcststa", b"mcststat", &[0; 4096], b"[[muk]]\nidi = \"bmsc\"\n"] {
        fs::write(&path, octets).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = open(&path, None).unwrap_err();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert_eq!(fs::read(&path).unwrap(), octets);
    }
    let nowhere = folder.path().join("no/such/folder/state");
    assert!(open(&nowhere, None).unwrap_err().contains("no/such/folder"));
    assert!(open(folder.path(), None).unwrap_err().contains(folder.path().to_str().unwrap()));
}

#[test]
fn records_of_another_kind_are_told_when_they_are_restored() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = open(&folder.path().join("state"), None).unwrap();
    fill(&mut state);
    let error = state.restore(&mut KeyPlane::new(PlaneLimits::default())).unwrap_err();
    assert!(error.to_string().contains("table 4"), "{error}");
}

#[test]
fn second_process_is_kept_off_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("state"), folder.path().join("link"));
    let first = open(&path, None).unwrap();
    symlink(&path, &link).unwrap();
    for name in [&path, &link] {
        let error = open(name, None).unwrap_err();
        assert!(error.contains("another process"), "{error}");
    }
    drop(first);
    drop(open(&link, None).unwrap());
    assert!(link.is_symlink());
}

#[test]
fn file_that_is_removed_while_it_is_used_is_noticed_and_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let mut state = open(&path, None).unwrap();
    fs::remove_file(&path).unwrap();
    let key = RecordWriter::key(Table::Streams).into_key();
    let record = Record { key, value: Some(SecretBytes::new(SECRET)) };
    let error = state.put(vec![record]).unwrap_err().to_string();
    assert!(error.contains("cannot be written: the file has been removed"), "{error}");
    assert!(state.put(Vec::new()).unwrap());
    assert!(contains(&path, SECRET));
}

#[test]
fn file_that_grows_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let mut state = open(&path, Some(1)).unwrap();
    let mut longest = 0;
    for n in 0..150_u32 {
        let key = RecordWriter::key(Table::Streams).u32(n % 3).into_key();
        let value = n.to_be_bytes().repeat(4000);
        let record = Record { key, value: Some(SecretBytes::new(&value)) };
        state.put(vec![record]).unwrap();
        longest = longest.max(fs::metadata(&path).unwrap().len());
    }
    assert!((1 << 20..2 << 20).contains(&longest), "{longest}");
    drop(state);
    drop(open(&path, Some(1)).unwrap());
    assert!(fs::metadata(&path).unwrap().len() < 50_000);
}
