//! Counters in the text format of Prometheus (version 0.0.4).

use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
    sync::{Mutex, PoisonError},
};

use hyper::StatusCode;
use mcast_srtp::{keyserver::KeyServer, service::RefusedKind};

use super::api::App;

/// Answers so far, by status.
#[derive(Debug, Default)]
pub(super) struct HttpCounts(Mutex<BTreeMap<u16, u64>>);

impl HttpCounts {
    pub(super) fn answered(&self, status: StatusCode) {
        *self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(status.as_u16())
            .or_default() += 1;
    }

    fn snapshot(&self) -> BTreeMap<u16, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All that is counted.
pub(super) async fn text(app: &App) -> String {
    let mut page = Page::new(PREFIX);
    let counters = app.service.counters();
    for (name, value) in counters.iter() {
        let help = format!("{} since the start of the server.", name.replace('_', " "));
        page.family(&format!("{name}_total"), "counter", &help).sample(&[], value);
    }
    page.family("requests_refused_total", "counter", "Requests refused, by kind.");
    for kind in RefusedKind::ALL {
        page.sample(&[("kind", kind.name())], counters.refused(kind));
    }
    page.family("verifications_refused_total", "counter", "Verification messages refused.");
    for (reason, count) in counters.verifications_refused.iter() {
        page.sample(&[("reason", reason.name())], count);
    }
    page.family("http_responses_total", "counter", "Answers, by status.");
    for (status, count) in app.counts.snapshot() {
        page.sample(&[("status", &status.to_string())], count);
    }
    let healthy = u8::from(app.service.health().ok);
    page.family("healthy", "gauge", "1 if requests are served.").sample(&[], healthy);
    roster(&mut page, app).await;
    page.family("document_pushes_total", "counter", "Documents pushed, by outcome.");
    app.pushes.each(|broadcaster, push| {
        for (result, count) in [("held", push.held), ("failed", push.failed)] {
            page.sample(&[("broadcaster", broadcaster), ("result", result)], count);
        }
    });
    page.text
}

/// What the key server knows, unless it is too busy to tell.
async fn roster(page: &mut Page, app: &App) {
    let look = |server: &KeyServer| {
        let members: usize =
            server.channels().map(|(channel, _)| server.members(channel).count()).sum();
        let updates = server.channels().filter(|(channel, _)| server.coming_msk(channel).is_some());
        (server.clients().count(), server.channels().count(), members, updates.count())
    };
    let Ok((clients, channels, members, updates)) = app.look(look).await else { return };
    page.family("clients", "gauge", "Clients on the roster.").sample(&[], clients);
    page.family("channels", "gauge", "Open channels.").sample(&[], channels);
    page.family("members", "gauge", "Members of all channels.").sample(&[], members);
    page.family("updates_under_way", "gauge", "MSK updates under way.").sample(&[], updates);
}

/// The text as it grows.
pub(crate) struct Page {
    prefix: &'static str,
    text: String,
    family: String,
}

impl Page {
    /// A page whose families all begin with this.
    pub(crate) const fn new(prefix: &'static str) -> Self {
        Self { prefix, text: String::new(), family: String::new() }
    }

    /// Begins a family of samples; all of them follow it.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) -> &mut Self {
        self.family = format!("{}_{name}", self.prefix);
        // Writing to a text does not fail, here and below.
        let _ = writeln!(self.text, "# HELP {} {help}", self.family);
        let _ = writeln!(self.text, "# TYPE {} {kind}", self.family);
        self
    }

    pub(crate) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.text.push_str(&self.family);
        for (n, (label, value)) in labels.iter().enumerate() {
            let before = if n == 0 { '{' } else { ',' };
            let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = write!(self.text, "{before}{label}=\"{value}\"");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{after} {value}");
        self
    }

    /// All of it.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

const PREFIX: &str = "mcast_srtp_key_server";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_as_the_format_wants() {
        let mut page = Page::new(PREFIX);
        page.family("pushes_total", "counter", "Pushes.");
        page.sample(&[("broadcaster", "a\"b\\c\nd"), ("result", "held")], 7);
        page.family("clients", "gauge", "Clients.").sample(&[], 3);
        assert_eq!(
            page.text,
            "# HELP mcast_srtp_key_server_pushes_total Pushes.\n\
             # TYPE mcast_srtp_key_server_pushes_total counter\n\
             mcast_srtp_key_server_pushes_total{broadcaster=\"a\\\"b\\\\c\\nd\",result=\"held\"} 7\n\
             # HELP mcast_srtp_key_server_clients Clients.\n\
             # TYPE mcast_srtp_key_server_clients gauge\n\
             mcast_srtp_key_server_clients 3\n"
        );
    }
}
