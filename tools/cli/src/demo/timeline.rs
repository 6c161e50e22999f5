//! The story of a demo, line by line, as it happens.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
    time::{Duration, Instant},
};

/// Prints lines with the time since the start; says nothing with `--json`.
///
/// Lines wait a moment: what several clients do at nearly the same time becomes one line, and lines of
/// different threads come in the order of their times.
#[derive(Debug)]
pub(super) struct Timeline {
    start: Instant,
    quiet: bool,
    pending: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    at: Instant,
    /// Who does it; a line of clients has them in `clients`.
    actor: Option<&'static str>,
    what: String,
    clients: Vec<String>,
}

/// How long lines wait.
const TOGETHER: Duration = Duration::from_millis(60);

impl Timeline {
    /// A story that begins now.
    pub(super) fn new(quiet: bool) -> Self {
        Self { start: Instant::now(), quiet, pending: Vec::new() }
    }

    /// Something that happens once.
    pub(super) fn say(&mut self, at: Instant, actor: &'static str, what: impl fmt::Display) {
        let what = what.to_string();
        self.pending.push(Line { at, actor: Some(actor), what, clients: Vec::new() });
    }

    /// Something that a client does, perhaps along with others.
    pub(super) fn say_of_client(&mut self, at: Instant, client: &str, what: String) {
        self.say_together(at, None, what, client);
    }

    /// Something that happens to a client, perhaps along with others; they end the line.
    pub(super) fn say_to_client(
        &mut self,
        at: Instant,
        actor: &'static str,
        what: String,
        client: &str,
    ) {
        self.say_together(at, Some(actor), what, client);
    }

    /// Prints what need not wait any longer.
    pub(super) fn settle(&mut self, now: Instant) {
        let is_due = |line: &Line| now.saturating_duration_since(line.at) >= TOGETHER;
        let (due, waiting) = std::mem::take(&mut self.pending).into_iter().partition(is_due);
        self.pending = waiting;
        self.print(due);
    }

    /// Prints all that is waiting.
    pub(super) fn settle_all(&mut self) {
        let all = std::mem::take(&mut self.pending);
        self.print(all);
    }

    fn say_together(
        &mut self,
        at: Instant,
        actor: Option<&'static str>,
        what: String,
        client: &str,
    ) {
        let same =
            |line: &&mut Line| line.actor == actor && line.what == what && !line.clients.is_empty();
        match self.pending.iter_mut().find(same) {
            Some(line) => line.clients.push(client.to_owned()),
            None => self.pending.push(Line { at, actor, what, clients: vec![client.to_owned()] }),
        }
    }

    fn print(&self, mut lines: Vec<Line>) {
        if self.quiet || lines.is_empty() {
            return;
        }
        lines.sort_by_key(|line| line.at);
        let mut text = String::new();
        for line in &mut lines {
            line.clients.sort();
            let seconds = line.at.saturating_duration_since(self.start).as_secs_f64();
            // Writing to a string does not fail.
            let _ = writeln!(text, "{seconds:7.3}  {line}");
        }
        // A closed standard output stops the story, not the demo.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { actor, what, clients, .. } = self;
        match actor {
            None => write!(f, "{:<12} {what}", clients.join(" ")),
            Some(actor) if clients.is_empty() => write!(f, "{actor:<12} {what}"),
            Some(actor) => write!(f, "{actor:<12} {what} {}", clients.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_do_together_is_one_line() {
        let mut timeline = Timeline::new(true);
        let now = Instant::now();
        for client in ["c2", "c1"] {
            timeline.say_of_client(now, client, "open MSK 1".to_owned());
            timeline.say_to_client(now, "key server", "MSK 1 to".to_owned(), client);
        }
        timeline.say(now, "key server", "MSK 1 to");
        let lines: Vec<_> = timeline.pending.iter().map(Line::to_string).collect();
        assert_eq!(
            lines,
            ["c2 c1        open MSK 1", "key server   MSK 1 to c2, c1", "key server   MSK 1 to"]
        );
        timeline.settle(now);
        assert_eq!(timeline.pending.len(), 3);
        timeline.settle(now + TOGETHER);
        assert!(timeline.pending.is_empty());
    }
}
