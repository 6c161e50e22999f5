//! A server's address, and one request to it: a connection, a request, an answer.

use std::{fmt, io, path::PathBuf, str::FromStr, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as _, Bytes, Incoming},
    client::conn::http1,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue},
    rt::{Read, Write},
};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::{TcpStream, UnixStream};
use zeroize::Zeroizing;

use super::Token;

/// A server and how to be let in.
#[derive(Debug)]
pub(crate) struct Endpoint {
    address: Address,
    /// Before each path: "" or "/prefix".
    prefix: String,
    token: Option<Token>,
}

#[derive(Debug)]
enum Address {
    /// HOST:PORT, as in a URL.
    Tcp(String),
    Unix(PathBuf),
}

impl Endpoint {
    /// The same, with a token sent in each request.
    pub(crate) fn with_token(self, token: Option<Token>) -> Self {
        Self { token, ..self }
    }

    /// Sends a request and takes the whole answer.
    ///
    /// # Errors
    /// No answer came; an answer of any status is none.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, Trouble> {
        let exchange = async { Answer::collect(self.begin(call).await?).await };
        tokio::time::timeout(call.timeout, exchange).await.map_err(|_| Trouble::TimedOut)?
    }

    /// Sends a request and returns at the head of the answer. Without a time limit.
    pub(super) async fn begin(&self, call: &Call) -> Result<Response<Incoming>, Trouble> {
        let request = self.request(call)?;
        match &self.address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address.as_str()).await;
                exchange(stream.map_err(|error| self.unreachable(&error))?, request).await
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                exchange(stream.map_err(|error| self.unreachable(&error))?, request).await
            }
        }
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, Trouble> {
        let host = match &self.address {
            Address::Tcp(address) => address.as_str(),
            Address::Unix(_) => "localhost",
        };
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{}", self.prefix, call.path))
            .header(HOST, host);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.bearer());
        }
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        request
            .body(Full::new(call.body.clone()))
            .map_err(|error| Trouble::Unreachable(format!("{self}{}: {error}", call.path)))
    }

    fn unreachable(&self, error: &io::Error) -> Trouble {
        Trouble::Unreachable(format!("{self} cannot be reached: {error}"))
    }
}

async fn exchange(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Trouble> {
    let stream: TokioIo<_> = TokioIo::new(stream);
    let (mut sender, connection) = handshake(stream).await?;
    // Ends when the answer has been taken or given up.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(Trouble::broken)
}

type Connection<T> = http1::Connection<T, Full<Bytes>>;

async fn handshake<T: Read + Write + Unpin + Send + 'static>(
    stream: T,
) -> Result<(http1::SendRequest<Full<Bytes>>, Connection<T>), Trouble> {
    http1::handshake(stream).await.map_err(Trouble::broken)
}

/// `http://HOST[:PORT][/PREFIX]` or `unix:PATH`.
impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("unix: takes the path of a socket behind it".to_owned()),
                path => Ok(Self {
                    address: Address::Unix(path.into()),
                    prefix: String::new(),
                    token: None,
                }),
            };
        }
        if text.starts_with("https:") {
            return Err(
                "https is not spoken here; put a TLS proxy on this host between, and name \
                        it with http://"
                    .to_owned(),
            );
        }
        let rest = text.strip_prefix("http://").ok_or("write http://HOST:PORT or unix:PATH")?;
        let (authority, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let authority: hyper::http::uri::Authority =
            authority.parse().map_err(|error| format!("{authority:?} is no host: {error}"))?;
        if authority.as_str().contains('@') {
            return Err("no user name in the address; the token says who asks".to_owned());
        }
        let port = authority.port_u16().unwrap_or(80);
        let prefix = prefix.trim_end_matches('/').to_owned();
        if prefix.contains(['?', '#']) {
            return Err("no ? or # in the address of a server".to_owned());
        }
        let address = Address::Tcp(format!("{}:{port}", authority.host()));
        Ok(Self { address, prefix, token: None })
    }
}

/// The address, without the token.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(address) => write!(f, "http://{address}{}", self.prefix),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    timeout: Duration,
    repeatable: bool,
}

impl Call {
    /// How long an answer may take, unless said otherwise.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A request without a body. `path` begins with `/` and is encoded: see [`path`].
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        let headers = vec![(ACCEPT, HeaderValue::from_static("*/*"))];
        //= RFC 9110 §9.2.2: PUT, DELETE and safe methods are idempotent
        let repeatable = method.is_idempotent();
        let (path, body, timeout) = (path.into(), Bytes::new(), Self::PATIENCE);
        Self { method, path, headers, body, timeout, repeatable }
    }

    /// The same, with a body, which is erased after use.
    pub(crate) fn with_body(mut self, media_type: &'static str, body: Zeroizing<Vec<u8>>) -> Self {
        self.body = Bytes::from_owner(body);
        self.with_header(CONTENT_TYPE, HeaderValue::from_static(media_type))
    }

    /// The same, with one more header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same, with another time for the answer: for a long poll, its wait and some more.
    pub(crate) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The same, marked as one that does no more when it is sent twice.
    pub(crate) fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    /// Whether sending it twice does what sending it once does.
    pub(super) const fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// The path of these segments, whatever is in them: `["v1", "clients", "a/b"]` is `/v1/clients/a%2Fb`.
pub(crate) fn path(segments: &[&str]) -> String {
    //= RFC 3986 §2.3: unreserved characters stand for themselves
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    segments.iter().map(|segment| format!("/{}", utf8_percent_encode(segment, KEPT))).collect()
}

/// A whole answer, erased after use: it may carry keys.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The body.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// The longest body taken: a list of some hundred thousand clients.
    const MAX_LEN: usize = 64 << 20;

    pub(super) async fn collect(response: Response<Incoming>) -> Result<Self, Trouble> {
        let (head, mut incoming) = response.into_parts();
        // Of one piece where the length is announced, so that no copy of a key stays behind.
        let announced = usize::try_from(incoming.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > Self::MAX_LEN {
            return Err(Trouble::TooLong);
        }
        let mut body = Zeroizing::new(Vec::with_capacity(announced));
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(Trouble::broken)?;
            let Some(data) = frame.data_ref() else { continue };
            if body.len() + data.len() > Self::MAX_LEN {
                return Err(Trouble::TooLong);
            }
            body.extend_from_slice(data);
        }
        Ok(Self { status: head.status, body })
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} octets)", self.status, self.body.len())
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// There was no connection: nothing was asked.
    Unreachable(String),
    /// The connection broke. The server may have done what it was asked.
    Broken(String),
    /// No answer in time. The server may still do what it was asked.
    TimedOut,
    /// The answer is longer than any that is expected.
    TooLong,
}

impl Trouble {
    pub(super) fn broken(error: hyper::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(text) => f.write_str(text),
            Self::Broken(text) => write!(f, "the connection broke: {text}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::TooLong => f.write_str("the answer is too long"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_told_without_the_token() {
        let told = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
        assert_eq!(told("http://127.0.0.1:7269").unwrap(), "http://127.0.0.1:7269");
        assert_eq!(told("http://[::1]:7269/").unwrap(), "http://[::1]:7269");
        assert_eq!(told("http://keys.example/pf1/").unwrap(), "http://keys.example:80/pf1");
        assert_eq!(told("unix:/run/k.sock").unwrap(), "unix:/run/k.sock");
        for (text, why) in [
            ("https://keys.example", "proxy"),
            ("keys.example:7269", "http://HOST:PORT"),
            ("unix:", "path"),
            ("http://a b", "no host"),
            ("http://u:secret@h", "user name"),
            ("http://h/p?q", "no ?"),
            ("http://", "no host"),
        ] {
            let refusal = told(text).unwrap_err();
            assert!(refusal.contains(why), "{text}: {refusal}");
            assert!(!refusal.contains("secret"), "{refusal}");
        }
    }

    #[test]
    fn names_with_any_characters_stay_one_segment() {
        assert_eq!(path(&["v1", "clients", "a/b?c d%é"]), "/v1/clients/a%2Fb%3Fc%20d%25%C3%A9");
        assert_eq!(path(&["v1", "sip-1.x_y~z"]), "/v1/sip-1.x_y~z");
    }
}
