//! The traffic keys that were opened, as a key file that `recv` and `inspect` read.
//!
//! The only place where the program writes keys, and only where `--keylog` asks for it.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use mcast_srtp::srtp::Profile;
use zeroize::Zeroizing;

use crate::{exit::Failure, keyfile::GivenKey};

/// Writes the keys to a new file that its owner alone may read.
///
/// # Errors
/// Usage: the file exists, or cannot be made. A file that is there is never written over: it may be the
/// only key file there is, or readable by others.
pub(super) fn write(path: &Path, keys: &[GivenKey]) -> Result<(), Failure> {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::usage(format!("--keylog {}: exists; it is not written over", path.display()))
        }
        _ => Failure::usage(format!("--keylog {}: cannot be written: {error}", path.display())),
    };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(cannot)?;
    file.write_all(text(keys).as_bytes()).map_err(cannot)
}

fn text(keys: &[GivenKey]) -> Zeroizing<String> {
    let entries: Vec<_> = keys.iter().map(entry).collect();
    let lens = entries.iter().map(|entry| entry.len());
    // Of its final size at once, so that no smaller copy is left behind.
    let mut text = Zeroizing::new(String::with_capacity(HEAD.len() + lens.sum::<usize>()));
    text.push_str(HEAD);
    entries.iter().for_each(|entry| text.push_str(entry));
    text
}

fn entry(key: &GivenKey) -> Zeroizing<String> {
    let GivenKey { mki, profile, key, salt } = key;
    // A derivation rate or a tag of unusual length has no name.
    let named = Profile::from_name(&profile.to_string());
    if named.is_ok_and(|named| named.with_mki_len(profile.mki_len) == *profile) {
        let (key, salt) = (hex(key.expose()), hex(salt.expose()));
        // Only where the MTK message has none.
        let salt = match salt.as_str() {
            "" => Zeroizing::default(),
            salt => Zeroizing::new(format!("salt = \"{salt}\"\n")),
        };
        return Zeroizing::new(format!(
            "\n[[mtk]]\nmki = \"{mki}\"\nprofile = \"{profile}\"\nkey = \"{}\"\n{}",
            key.as_str(),
            salt.as_str(),
        ));
    }
    Zeroizing::new(format!("\n# {mki} left out: no key file can say {profile}\n"))
}

fn hex(octets: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(hex::encode(octets))
}

const HEAD: &str = "# Traffic keys that mcast-srtp inspect opened. They are secret.\n";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use mcast_srtp::{ids::Mki, secret::SecretBytes};

    use super::*;
    use crate::keyfile::KeyFile;

    fn key(number: u8, profile: Profile, salt_len: usize) -> GivenKey {
        GivenKey {
            mki: Mki::new(&[0, 1, 0, 1, 0, number]).unwrap(),
            profile,
            key: SecretBytes::new(&vec![number; profile.cipher.key_len()]),
            salt: SecretBytes::new(&vec![0x5a; salt_len]),
        }
    }

    #[test]
    fn key_file_reads_back_what_was_written() {
        let rcc = Profile::from_name("AES_256_CM_HMAC_SHA1_32+RCCm2:10").unwrap();
        let profiles = Profile::NAMED.iter().map(|(_, profile)| *profile).chain([rcc]);
        let keys: Vec<_> = (1..)
            .zip(profiles)
            .map(|(n, profile)| key(n, profile, profile.cipher.salt_len()))
            .chain([key(100, Profile::default(), 0)])
            .collect();
        let path = tempfile::tempdir().unwrap();
        let path = path.path().join("keys.toml");
        write(&path, &keys).unwrap();
        let read = KeyFile::read(&path).unwrap().traffic_keys;
        assert_eq!(read.len(), keys.len());
        for (read, key) in read.iter().zip(&keys) {
            assert_eq!((read.mki, read.profile), (key.mki, key.profile));
            assert!(read.key.same_as(&key.key) && read.salt.same_as(&key.salt));
        }
    }

    #[test]
    fn keys_are_readable_by_their_owner_alone_and_replace_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        write(&path, &[]).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let told = write(&path, &[]).unwrap_err().to_string();
        assert!(told.contains("exists"), "{told}");
    }

    #[test]
    fn profile_without_a_name_is_told_in_place_of_its_key() {
        let unnamed = key(7, Profile::default().with_kdr(16), 14);
        let text = text(&[unnamed]);
        assert!(text.contains("# 000100010007 left out: ") && !text.contains("0707"), "{text:?}");
    }
}
