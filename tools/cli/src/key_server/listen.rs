//! Sockets and connections: bounded in number and in time, ended cleanly.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{Semaphore, watch},
};

use super::config::Listen;

/// A socket that is open for requests.
pub(crate) enum Listener {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Opens the socket.
    ///
    /// A Unix socket has mode 0660: its group may control the key server.
    ///
    /// # Errors
    /// Those of the system; another server has the socket.
    pub(crate) async fn open(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                let address = listener.local_addr()?;
                Ok(Self::Tcp(listener, address))
            }
            Listen::Unix(path) => Ok(Self::Unix(unix_socket(path)?, path.clone())),
        }
    }

    /// The address as a client takes it.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Tcp(_, address) => format!("http://{address}"),
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }

    /// Serves until told to stop; then gives what is under way some time.
    pub(crate) async fn serve(
        self,
        router: Router,
        connections: usize,
        mut stop: watch::Receiver<bool>,
    ) {
        let places = Arc::new(Semaphore::new(connections));
        let stopping = stop.clone();
        let accept = async {
            loop {
                // Nobody closes it.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let accepted = match &self {
                    Self::Tcp(listener, _) => listener.accept().await.map(|(stream, _)| {
                        // Answers are small and wanted at once.
                        let _ = stream.set_nodelay(true);
                        spawn(stream, router.clone(), stopping.clone(), place);
                    }),
                    Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| {
                        spawn(stream, router.clone(), stopping.clone(), place);
                    }),
                };
                if let Err(error) = accepted {
                    tracing::warn!(%error, "connection not taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        if let Self::Unix(_, path) = &self {
            let _ = fs::remove_file(path);
        }
        drop(self);
        // All places are free when all connections have ended.
        let all = u32::try_from(connections).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(LAST_WORDS, places.acquire_many(all)).await;
    }
}

fn spawn(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut stop: watch::Receiver<bool>,
    place: tokio::sync::OwnedSemaphorePermit,
) {
    tokio::spawn(async move {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_PATIENCE)
            .max_buf_size(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
        drop(place);
    });
}

/// Binds beside the path, and takes its place with the right mode: nobody connects before.
fn unix_socket(path: &Path) -> io::Result<UnixListener> {
    if StdUnixStream::connect(path).is_ok() {
        let text = format!("{}: another server listens there", path.display());
        return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    }
    match fs::symlink_metadata(path) {
        Ok(metadata) if !std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()) => {
            let text = format!("{}: is there and no socket", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        _ => {}
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let _ = fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o660))?;
    fs::rename(&beside, path)?;
    Ok(listener)
}

/// How long a client may take over the head of a request, and may keep an idle connection.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);
/// Octets of the head of a request.
const MAX_HEADERS: usize = 64 << 10;
/// How long requests under way get when the server ends.
const LAST_WORDS: Duration = Duration::from_secs(3);
