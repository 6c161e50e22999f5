//! The client for code that waits: one call, one answer; retries; streams of events.

use std::{collections::VecDeque, fmt, io, time::Duration};

use http_body_util::BodyExt;
use hyper::{Response, StatusCode, body::Incoming};
use tokio::runtime::{Builder, Runtime};

use super::{
    Answer, Call, Endpoint, StreamedEvent, Trouble,
    event_stream::{EventParser, TooLong},
};

/// A client of one server.
///
/// Each call makes a connection of its own, so that nothing is left to go stale between calls. Not
/// for use inside an async runtime, where [`Endpoint::send`] is.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    runtime: Runtime,
}

impl Client {
    /// Waits before the second, third and fourth try.
    const RETRIES: [Duration; 3] =
        [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];

    /// A client of this server.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn new(endpoint: Endpoint) -> io::Result<Self> {
        Ok(Self { endpoint, runtime: Builder::new_current_thread().enable_all().build()? })
    }

    /// Sends a request, once, and waits for the answer.
    ///
    /// # Errors
    /// No answer came; an answer of any status is none.
    pub(crate) fn send(&self, call: &Call) -> Result<Answer, Trouble> {
        self.runtime.block_on(self.endpoint.send(call))
    }

    /// The same, tried again some times when the connection could not be made, and when it broke
    /// and the request may be repeated.
    ///
    /// # Errors
    /// Those of the last try.
    pub(crate) fn send_with_retries(&self, call: &Call) -> Result<Answer, Trouble> {
        for wait in Self::RETRIES {
            match self.send(call) {
                Err(Trouble::Unreachable(_)) => {}
                Err(Trouble::Broken(_)) if call.is_repeatable() => {}
                answered => return answered,
            }
            std::thread::sleep(wait);
        }
        self.send(call)
    }

    /// Opens a stream of events. The call's time limit is for its beginning.
    ///
    /// # Errors
    /// No answer came. An answer other than 200 comes back whole.
    pub(crate) fn events(&self, call: &Call) -> Result<Result<EventStream<'_>, Answer>, Trouble> {
        let begin = async {
            let response = self.endpoint.begin(call).await?;
            match response.status() {
                StatusCode::OK => Ok(Ok(response)),
                _ => Ok(Err(Answer::collect(response).await?)),
            }
        };
        let begun = self.runtime.block_on(async {
            tokio::time::timeout(call.timeout(), begin).await.map_err(|_| Trouble::TimedOut)?
        })?;
        Ok(begun.map(|response| EventStream {
            runtime: &self.runtime,
            response,
            parser: EventParser::default(),
            ready: VecDeque::new(),
        }))
    }
}

/// Events as they come.
pub(crate) struct EventStream<'a> {
    runtime: &'a Runtime,
    response: Response<Incoming>,
    parser: EventParser,
    ready: VecDeque<StreamedEvent>,
}

impl EventStream<'_> {
    /// Waits for the next event; `None` when the server has ended the stream.
    ///
    /// # Errors
    /// The stream broke, or for so long nothing came, not even a comment.
    pub(crate) fn next(&mut self, patience: Duration) -> Result<Option<StreamedEvent>, Trouble> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let frame = self.response.body_mut().frame();
            let frame = self
                .runtime
                .block_on(async { tokio::time::timeout(patience, frame).await })
                .map_err(|_| Trouble::TimedOut)?;
            let Some(frame) = frame else { return Ok(None) };
            if let Some(data) = frame.map_err(Trouble::broken)?.data_ref() {
                self.parser.take(data, &mut self.ready).map_err(|TooLong| Trouble::TooLong)?;
            }
        }
    }
}

impl fmt::Debug for EventStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventStream(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        os::unix::net::UnixListener,
        thread,
    };

    use hyper::Method;
    use zeroize::Zeroizing;

    use super::*;
    use crate::http::Token;

    /// Answers one request, whose head it returns.
    fn serve(mut stream: impl Read + Write, answer: &str) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap();
            head.extend(octet);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(head).unwrap()
    }

    /// A server that answers one request a connection, and the client of it.
    fn server(answers: &'static [&str]) -> (Client, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint: Endpoint =
            format!("http://{}/pf", listener.local_addr().unwrap()).parse().unwrap();
        let heads = move || {
            answers.iter().map(|answer| serve(listener.accept().unwrap().0, answer)).collect()
        };
        (Client::new(endpoint).unwrap(), thread::spawn(heads))
    }

    const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

    fn get() -> Call {
        Call::new(Method::GET, "/v1/clients")
    }

    #[test]
    fn answer_comes_whole_however_it_is_framed() {
        let (client, heads) = server(&[
            "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nhello",
        ]);
        for status in [404, 200, 200] {
            let answer = client.send(&get()).unwrap();
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (status, &b"hello"[..]));
        }
        let head = &heads.join().unwrap()[0];
        assert!(head.starts_with("GET /pf/v1/clients HTTP/1.1\r\nhost: 127.0.0.1:"), "{head}");
    }

    #[test]
    fn unix_socket_gets_the_token_and_the_body() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let heads = thread::spawn(move || serve(listener.accept().unwrap().0, FINE));
        let endpoint: Endpoint = format!("unix:{}", path.display()).parse().unwrap();
        let endpoint = endpoint.with_token(Some(Token::new("0123456789abcdef").unwrap()));
        let call = Call::new(Method::PUT, "/v1/clients/c1")
            .with_body("application/json", Zeroizing::new(b"{}".to_vec()));
        assert!(client_of(endpoint).send(&call).unwrap().status.is_success());
        let head = heads.join().unwrap();
        for line in [
            "PUT /v1/clients/c1 HTTP/1.1",
            "authorization: Bearer 0123456789abcdef",
            "content-type: application/json",
            "content-length: 2",
        ] {
            assert!(head.lines().any(|given| given == line), "{line} is not in {head}");
        }
    }

    fn client_of(endpoint: Endpoint) -> Client {
        Client::new(endpoint).unwrap()
    }

    #[test]
    fn broken_connection_is_tried_again_only_if_that_does_no_harm() {
        let (client, heads) = server(&["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", FINE]);
        assert!(client.send_with_retries(&get()).unwrap().status.is_success());
        assert_eq!(heads.join().unwrap().len(), 3);
        let (client, heads) = server(&[""]);
        let call = Call::new(Method::POST, "/v1/once");
        assert!(matches!(client.send_with_retries(&call), Err(Trouble::Broken(_))));
        heads.join().unwrap();
    }

    #[test]
    fn silent_or_absent_server_is_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = client_of(format!("http://{address}").parse().unwrap());
        let call = get().with_timeout(Duration::from_millis(20));
        assert!(matches!(client.send(&call), Err(Trouble::TimedOut)));
        drop(listener);
        let told = client.send(&call).unwrap_err().to_string();
        assert!(told.contains(&format!("http://{address} cannot be reached")), "{told}");
    }

    #[test]
    fn stream_gives_its_events_and_its_end() {
        let (client, heads) = server(&[
            "HTTP/1.1 200 OK\r\n\r\nid: 1\ndata: a\n\nid: 2\ndata: b\n\n",
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno",
        ]);
        let patience = Duration::from_secs(5);
        let mut stream = client.events(&get()).unwrap().unwrap();
        let mut next = || stream.next(patience).unwrap().map(|event| (event.id, event.data));
        assert_eq!(next(), Some(("1".into(), "a".into())));
        assert_eq!(next(), Some(("2".into(), "b".into())));
        assert_eq!(next(), None);
        assert_eq!(client.events(&get()).unwrap().unwrap_err().status.as_u16(), 401);
        heads.join().unwrap();
    }
}
