//! Server-sent events, read line by line (HTML standard, "server-sent events").

/// One event of a stream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct StreamedEvent {
    /// The last `id` of the stream, "" if there was none: where to go on after a break.
    pub(crate) id: String,
    /// The `event` field, "" if there is none.
    pub(crate) event: String,
    /// The `data` fields, one a line.
    pub(crate) data: String,
}

/// Turns octets as they come into events.
#[derive(Debug, Default)]
pub(super) struct EventParser {
    line: Vec<u8>,
    /// The last octet was a CR, so that a LF belongs to it.
    after_cr: bool,
    /// What has been read of the next event.
    event: StreamedEvent,
    has_data: bool,
}

impl EventParser {
    /// The longest line, and the most data of one event.
    const MAX_LEN: usize = 1 << 20;

    /// Takes some octets and adds the events that they complete.
    ///
    /// # Errors
    /// A line or an event is longer than any that is expected.
    pub(super) fn take(
        &mut self,
        octets: &[u8],
        events: &mut impl Extend<StreamedEvent>,
    ) -> Result<(), TooLong> {
        for octet in octets {
            let after_cr = std::mem::replace(&mut self.after_cr, *octet == b'\r');
            match octet {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_of_line()?),
                _ if self.line.len() == Self::MAX_LEN => return Err(TooLong),
                _ => self.line.push(*octet),
            }
        }
        Ok(())
    }

    fn end_of_line(&mut self) -> Result<Option<StreamedEvent>, TooLong> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            return Ok(self.end_of_event());
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.event.data.len() + value.len() > Self::MAX_LEN {
                    return Err(TooLong);
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.event),
            "id" if !value.contains('\0') => value.clone_into(&mut self.event.id),
            // A comment keeps the connection alive; `retry` is for browsers.
            _ => {}
        }
        Ok(None)
    }

    /// An event without data is none; its `id` stays for those that follow.
    fn end_of_event(&mut self) -> Option<StreamedEvent> {
        let id = self.event.id.clone();
        let event = std::mem::replace(&mut self.event, StreamedEvent { id, ..Default::default() });
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

/// A line or an event is longer than any that is expected.
#[derive(Debug)]
pub(super) struct TooLong;

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&str]) -> Vec<StreamedEvent> {
        let (mut parser, mut events) = (EventParser::default(), Vec::new());
        for piece in pieces {
            parser.take(piece.as_bytes(), &mut events).unwrap();
        }
        events
    }

    fn event(id: &str, event: &str, data: &str) -> StreamedEvent {
        StreamedEvent { id: id.into(), event: event.into(), data: data.into() }
    }

    #[test]
    fn events_end_at_empty_lines_of_any_kind_however_they_are_cut() {
        let stream = ": hello\n\nid: 7\nevent: joined\ndata: a\ndata:b\n\r\n\
                      data: c\r\rid: 8\r\n\r\nretry: 5\ndata\n\nlost: x\ndata: unfinished";
        let wanted = [event("7", "joined", "a\nb"), event("7", "", "c"), event("8", "", "")];
        assert_eq!(events(&[stream]), wanted);
        let single: Vec<_> = stream.split_inclusive(|_| true).collect();
        assert_eq!(events(&single), wanted);
    }

    #[test]
    fn endless_line_is_given_up() {
        let (mut parser, mut events) = (EventParser::default(), Vec::new());
        let piece = [b'x'; 1 << 16];
        let taken = (0..17).map(|_| parser.take(&piece, &mut events)).filter(Result::is_ok).count();
        assert_eq!((taken, events.len()), (16, 0));
    }
}
