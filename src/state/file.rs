//! A journal's file: mode 0600, one process at a time, replaced by renaming.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use tracing::warn;
use zeroize::Zeroizing;

use super::medium::Medium;
use crate::error::Error;

/// The file, the one that will replace it, and the lock on both.
pub(super) struct StateFile {
    path: PathBuf,
    next_path: PathBuf,
    folder: PathBuf,
    current: Option<File>,
    next: Option<File>,
    /// Whose the contents were that have been read.
    user: Option<u32>,
    /// Held until the end.
    _lock: File,
}

impl StateFile {
    /// Takes the file for this process. It need not be there yet; its folder must.
    ///
    /// # Errors
    /// [`Error::Invalid`] if another process has it, or others can write it; [`Error::Io`] if the
    /// system refuses.
    pub(super) fn take(path: &Path) -> Result<Self, Error> {
        let shown = path.display();
        let failed = |error| Error::io(format!("{shown}: no place for the state"), error);
        // Renaming would replace a link, not what it points to.
        let path = if path.exists() { path.canonicalize().map_err(failed)? } else { path.into() };
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::IsADirectory.into()))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let beside = |ending: &str| {
            let mut name = name.to_owned();
            name.push(ending);
            folder.join(name)
        };
        let lock = private().write(true).create(true).open(beside(".lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::invalid(format!(
                    "{shown}: another process keeps its state here; give each a file of its own"
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Self {
            next_path: beside(".new"),
            path,
            folder,
            current: None,
            next: None,
            user: None,
            _lock: lock,
        })
    }
}

impl Medium for StateFile {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn read(&mut self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        // Before it is opened: to open a pipe is to wait.
        let about = match fs::metadata(&self.path) {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !about.is_file() {
            return Err(io::Error::other("not a file"));
        }
        let mode = about.mode() & 0o777;
        if mode & 0o022 != 0 {
            let told = format!("mode {mode:o}: others can write it; if you trust it, chmod 600");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, told));
        }
        if mode & 0o077 != 0 {
            let (file, mode) = (self.name(), format!("{mode:o}"));
            warn!(
                file,
                mode, "others could read the state; the file is replaced by one of mode 600"
            );
        }
        let len = usize::try_from(about.len()).ok().filter(|len| *len <= MAX_LEN);
        let len = len.ok_or(io::ErrorKind::FileTooLarge)?;
        // Read in one go: a vector that grows leaves copies.
        let mut octets = Zeroizing::new(vec![0; len]);
        File::open(&self.path)?.read_exact(&mut octets)?;
        self.user = Some(about.uid());
        Ok(Some(octets))
    }

    fn begin(&mut self) -> io::Result<()> {
        self.next = None;
        match fs::remove_file(&self.next_path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let next = private().append(true).create_new(true).open(&self.next_path)?;
        // A new file is its process's, whatever the system calls its user.
        let checked = check_user(self.user, next.metadata()?.uid());
        if checked.is_err() {
            fs::remove_file(&self.next_path)?;
        }
        self.next = checked.is_ok().then_some(next);
        checked
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.written()?.write_all(octets)
    }

    fn sync(&mut self) -> io::Result<()> {
        // Metadata that is needed to read the octets again, such as the length, is synced as well.
        self.written()?.sync_data()
    }

    fn adopt(&mut self) -> io::Result<()> {
        fs::rename(&self.next_path, &self.path)?;
        (self.current, self.user) = (self.next.take(), None);
        File::open(&self.folder)?.sync_all()
    }
}

impl StateFile {
    /// As if the contents had been read from a file of this user.
    #[cfg(test)]
    pub(super) fn belongs_to(&mut self, user: u32) {
        self.user = Some(user);
    }

    fn written(&mut self) -> io::Result<&mut File> {
        let file = self.next.as_mut().or(self.current.as_mut());
        let file = file.ok_or_else(|| io::Error::other("no file has been begun"))?;
        // Somebody has removed it, or put another in its place: nobody would find what is written.
        if file.metadata()?.nlink() == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file has been removed"));
        }
        Ok(file)
    }
}

/// Whoever owns a file can make others able to write it.
fn check_user(file: Option<u32>, process: u32) -> io::Result<()> {
    match file.filter(|file| *file != process) {
        None => Ok(()),
        Some(file) => {
            let told = format!(
                "it belongs to user {file}, not to user {process}, who runs this; if you trust it, chown it"
            );
            Err(io::Error::new(io::ErrorKind::PermissionDenied, told))
        }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// A longer file is no state.
const MAX_LEN: usize = 1 << 30;
