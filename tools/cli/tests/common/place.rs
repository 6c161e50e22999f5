//! A key server's place, where the program is started, killed and started again.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    common::{program, text},
    http::Http,
};

/// Where a key server has its files.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    folder: PathBuf,
}

/// A key server at work; it is killed, as by a crash, when this is dropped.
pub(crate) struct Running(Child);

impl Place {
    /// Writes the configuration: the state in `folder`, HTTP by a Unix socket there, MSK messages from
    /// this address, and `more` as it is.
    pub(crate) fn new(folder: &Path, mikey: &str, more: &str) -> Self {
        let place = Self { folder: folder.to_path_buf() };
        let (state, socket) = (place.folder.join("state"), place.socket());
        let config = format!(
            "[state]\nfile = {state:?}\n[http]\nlisten = \"unix:{}\"\n[mikey]\nlisten = \"{mikey}\"\n\
             {more}",
            text(&socket)
        );
        std::fs::write(place.config(), config).unwrap();
        place
    }

    pub(crate) fn http(&self) -> Http {
        Http::at(&self.socket())
    }

    /// Starts the program and waits until it can be asked.
    pub(crate) fn start(&self) -> Running {
        self.start_by(program())
    }

    /// The same by another command that ends in the program's name, for example `nsenter`.
    pub(crate) fn start_by(&self, mut command: Command) -> Running {
        let mut child = command
            .env("MCAST_SRTP_LOG", "warn")
            .args(["key-server", "--config", text(&self.config()), "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("listening"), "the key server does not start: {line:?}");
        Running(child)
    }

    fn config(&self) -> PathBuf {
        self.folder.join("key-server.toml")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("http.sock")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
