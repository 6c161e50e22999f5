//! Events as lines, over breaks of the connection.

use std::{
    io::{self, Write},
    thread::sleep,
    time::Duration,
};

use hyper::{
    Method, StatusCode,
    header::{HeaderName, HeaderValue},
};
use serde_json::{Map, Value};

use super::{Control, refusal};
use crate::{
    exit::Failure,
    http::{Call, StreamedEvent, Trouble},
};

impl Control {
    /// Prints events: those that are kept, or those that come.
    pub(super) fn events(&self, follow: bool, after: Option<u64>) -> Result<(), Failure> {
        if !follow {
            let path = format!("/v1/events?once=true&after={}", after.unwrap_or(0));
            let mut last = None;
            return self.stream(&Call::new(Method::GET, path), &mut last)?.map_err(Failure::failed);
        }
        let mut last = after.map(|number| number.to_string());
        loop {
            let mut call = Call::new(Method::GET, "/v1/events");
            if let Some(last) = last.as_deref().and_then(|last| HeaderValue::from_str(last).ok()) {
                call = call.with_header(LAST_EVENT_ID, last);
            }
            // The server ends the stream when it ends, and is asked again.
            if let Err(trouble) = self.stream(&call, &mut last)? {
                tracing::warn!(%trouble, "asked again");
            }
            sleep(PAUSE);
        }
    }

    /// Prints one stream to its end, or to its break.
    fn stream(
        &self,
        call: &Call,
        last: &mut Option<String>,
    ) -> Result<Result<(), Trouble>, Failure> {
        let begun = match self.client.events(call) {
            Ok(begun) => begun,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let mut stream = match begun {
            Ok(stream) => stream,
            // It has no place for a reader at the moment, or ends.
            Err(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                return Ok(Err(Trouble::Broken(answer.status.to_string())));
            }
            Err(answer) => return Err(refusal(&answer)),
        };
        loop {
            match stream.next(PATIENCE) {
                Ok(Some(event)) => {
                    self.print(&event).map_err(Failure::output)?;
                    if !event.id.is_empty() {
                        *last = Some(event.id);
                    }
                }
                Ok(None) => return Ok(Ok(())),
                Err(trouble) => return Ok(Err(trouble)),
            }
        }
    }

    fn print(&self, event: &StreamedEvent) -> io::Result<()> {
        let mut out = io::stdout();
        if self.json {
            writeln!(out, "{}", event.data)?;
        } else {
            writeln!(out, "{}", line(event))?;
        }
        out.flush()
    }
}

/// Time of day (UTC), channel, name, and what else there is.
fn line(event: &StreamedEvent) -> String {
    let mut fields: Map<String, Value> = serde_json::from_str(&event.data).unwrap_or_default();
    let at = fields.remove("unix_ms").and_then(|at| at.as_u64());
    let channel = fields.remove("channel");
    let channel = channel.as_ref().and_then(Value::as_str).unwrap_or("-");
    fields.remove("event");
    fields.remove("id");
    let mut line =
        format!("{} {channel} {}", at.map_or_else(String::new, time_of_day), event.event);
    for (name, value) in &fields {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line.push_str(&format!(" {name}={value}"));
    }
    line
}

fn time_of_day(unix_ms: u64) -> String {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{ms:03}", seconds % 60)
}

/// Longer than between two comments of the server.
const PATIENCE: Duration = Duration::from_secs(45);
/// Before the server is asked again.
const PAUSE: Duration = Duration::from_millis(500);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_is_one_line_with_its_time_of_day() {
        let data = r#"{"id":7,"unix_ms":1700000000123,"channel":"17","event":"gave_up",
            "client":"c1","msk_id":"00010002"}"#;
        let event = StreamedEvent { id: "7".into(), event: "gave_up".into(), data: data.into() };
        assert_eq!(line(&event), "22:13:20.123 17 gave_up client=c1 msk_id=00010002");
        let missed =
            StreamedEvent { event: "missed".into(), data: r#"{"missed":2}"#.into(), ..event };
        assert_eq!(line(&missed), " - missed missed=2");
    }
}
