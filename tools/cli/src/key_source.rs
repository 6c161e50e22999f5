//! Where a secret is kept: a file, an environment variable, or a credential of systemd.

use std::{convert::Infallible, env, fmt, fs, path::PathBuf, str::FromStr};

use mcast_srtp::secret::Secret;
use zeroize::Zeroizing;

use crate::exit::Failure;

/// The place of one secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KeySource {
    /// A file.
    File(PathBuf),
    /// `env:NAME`, an environment variable.
    Env(String),
    /// `credential:NAME`, a file in the folder that systemd names in `CREDENTIALS_DIRECTORY`.
    Credential(String),
}

impl FromStr for KeySource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.split_once(':') {
            Some(("env", name)) => Self::Env(name.to_owned()),
            Some(("credential", name)) => Self::Credential(name.to_owned()),
            _ => Self::File(text.into()),
        })
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

/// Reads the text of a secret, without the space around it; `option` names the place in complaints.
///
/// # Errors
/// A usage failure that says where and what is wrong.
pub(crate) fn secret_text(option: &str, source: &KeySource) -> Result<Zeroizing<String>, Failure> {
    let read = |path: PathBuf| fs::read_to_string(path).map_err(|error| error.to_string());
    let text = match source {
        KeySource::File(path) => read(path.clone()),
        KeySource::Env(name) => env::var(name).map_err(|_| "not set, or no text".to_owned()),
        KeySource::Credential(name) if name.is_empty() || name.contains('/') => {
            Err("credential: takes the name of a credential behind it".to_owned())
        }
        KeySource::Credential(name) => match env::var_os("CREDENTIALS_DIRECTORY") {
            Some(folder) => read(PathBuf::from(folder).join(name)),
            None => Err("CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit with \
                         LoadCredential="
                .to_owned()),
        },
    };
    let text = text.map(Zeroizing::new);
    let text = text.map_err(|what| Failure::usage(format!("{option} {source}: {what}")))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Reads a key of 32 octets in hex; `option` names the place in complaints.
///
/// # Errors
/// A usage failure that says where and what is wrong, without quoting it.
pub(crate) fn sealing_key(option: &str, source: &KeySource) -> Result<Secret<32>, Failure> {
    let text = secret_text(option, source)?;
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(&*text, &mut *key)
        .map_err(|_| Failure::usage(format!("{option} {source}: not 64 hex digits")))?;
    Ok(Secret::new(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn source(text: &str) -> KeySource {
        match text.parse() {
            Ok(source) => source,
        }
    }

    fn told(text: &str) -> String {
        sealing_key("--state-key", &source(text)).unwrap_err().to_string()
    }

    #[test]
    fn sealing_key_is_64_hex_digits_from_a_file_or_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.key");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            sealing_key("--state-key", &KeySource::File(path.clone()))
                .map_err(|failure| failure.to_string())
        };
        assert_eq!(hex::encode(read(&format!("{KEY}\n")).unwrap().expose()), KEY);
        for text in [&KEY[2..], "", &KEY.replace('0', "x")] {
            let told = read(text).unwrap_err();
            assert!(told.contains("64 hex digits") && told.contains("state.key"), "{told}");
            assert!(!told.contains("1112"), "{told}");
        }
        assert!(told("env:MCAST_SRTP_NO_SUCH_KEY").contains("env:MCAST_SRTP_NO_SUCH_KEY: not set"));
    }

    #[test]
    fn credential_is_one_name_in_the_folder_of_systemd() {
        assert_eq!(source("credential:state-key").to_string(), "credential:state-key");
        for text in ["credential:", "credential:../../etc/shadow"] {
            assert!(told(text).contains("name of a credential"), "{}", told(text));
        }
        assert!(told("credential:state-key").contains("CREDENTIALS_DIRECTORY is not set"));
    }
}
