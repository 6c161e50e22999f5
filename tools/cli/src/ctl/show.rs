//! Answers as text: lines and tables. With --json they are printed as they came.

use std::io::{self, Write};

use serde_json::json;

use crate::{
    control::{
        ChannelSettings, ChannelView, Channels, ClientView, Clients, HealthBody, Members, ReplyBody,
    },
    table::Table,
};

/// What can be shown as text.
pub(super) trait Show {
    fn text(&self) -> String;
}

/// Prints an answer: its text, or the JSON that came.
///
/// # Errors
/// Those of the standard output.
pub(super) fn print(answer: &impl Show, json: &[u8], as_json: bool) -> io::Result<()> {
    let mut out = io::stdout();
    if as_json {
        out.write_all(json)?;
        return out.write_all(b"\n");
    }
    out.write_all(answer.text().as_bytes())
}

/// Prints what became of a request about something.
///
/// # Errors
/// Those of the standard output.
pub(super) fn reply(what: &str, reply: &ReplyBody, json: &[u8], as_json: bool) -> io::Result<()> {
    print(&Reply { what, reply }, json, as_json)
}

/// Prints an offer.
///
/// # Errors
/// Those of the standard output.
pub(super) fn offer(sdp: &[u8], as_json: bool) -> io::Result<()> {
    let mut out = io::stdout();
    if as_json {
        return writeln!(out, "{}", json!({ "sdp": String::from_utf8_lossy(sdp) }));
    }
    out.write_all(sdp)
}

struct Reply<'a> {
    what: &'a str,
    reply: &'a ReplyBody,
}

impl Show for Reply<'_> {
    fn text(&self) -> String {
        let done = if self.reply.changed { "done" } else { "nothing to do" };
        match &self.reply.update {
            Some(msk_id) => format!("{}: {done}, update to MSK {msk_id} begun\n", self.what),
            None => format!("{}: {done}\n", self.what),
        }
    }
}

impl Show for ClientView {
    fn text(&self) -> String {
        lines(&[
            ("client", self.client.clone()),
            ("reach", self.reach.clone()),
            ("IDi", self.idi.clone()),
            ("IDr", self.idr.clone()),
            ("last counter", self.last_counter.to_string()),
            ("channels", list(&self.channels)),
        ])
    }
}

impl Show for Clients {
    fn text(&self) -> String {
        let mut table = Table::new(&["client", "reach", "counter", "channels"]);
        for client in &self.clients {
            table.row(vec![
                client.client.clone(),
                client.reach.clone(),
                client.last_counter.to_string(),
                client.channels.len().to_string(),
            ]);
        }
        table.to_string()
    }
}

impl Show for ChannelView {
    fn text(&self) -> String {
        let mut shown = vec![
            ("channel", self.channel.clone()),
            ("MSK in force", in_force(self)),
            ("update", update(self)),
            ("members", self.members.to_string()),
            ("expelled", self.expelled.to_string()),
            (
                "document",
                self.document.map_or_else(|| "-".to_owned(), |version| version.to_string()),
            ),
        ];
        shown.extend(settings(&self.settings));
        lines(&shown)
    }
}

impl Show for Channels {
    fn text(&self) -> String {
        let mut table = Table::new(&["channel", "MSK", "members", "expelled", "update"]);
        for channel in &self.channels {
            table.row(vec![
                channel.channel.clone(),
                in_force(channel),
                channel.members.to_string(),
                channel.expelled.to_string(),
                update(channel),
            ]);
        }
        table.to_string()
    }
}

impl Show for Members {
    fn text(&self) -> String {
        let mut table = Table::new(&["member", "holds MSK"]);
        for member in &self.members {
            let holds = member.holds.clone().unwrap_or_else(|| "-".to_owned());
            table.row(vec![member.client.clone(), holds]);
        }
        table.to_string()
    }
}

impl Show for HealthBody {
    fn text(&self) -> String {
        let head = if self.ok { "serves" } else { "does not serve" };
        let reasons: String = self.reasons.iter().map(|reason| format!("{reason}\n")).collect();
        format!("{head}\n{reasons}")
    }
}

fn in_force(channel: &ChannelView) -> String {
    channel.msk_in_force.clone().unwrap_or_else(|| "-".to_owned())
}

fn update(channel: &ChannelView) -> String {
    match &channel.update {
        Some(update) => format!("to {}, waits for {}", update.msk_id, update.waits_for),
        None => "-".to_owned(),
    }
}

/// The settings under the names of their fields.
fn settings(settings: &ChannelSettings) -> Vec<(&'static str, String)> {
    let seconds = |time: &Option<crate::control::Seconds>| match time {
        Some(time) => format!("{} s", time.0),
        None => "-".to_owned(),
    };
    // 0 stands for none.
    let limit = |time: &Option<crate::control::Seconds>| match time {
        Some(time) if time.0 == 0.0 => "-".to_owned(),
        time => seconds(time),
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let mtk_ids = settings.mtk_ids.as_ref();
    vec![
        ("domain", text(&settings.domain)),
        ("key group", settings.key_group.map_or_else(|| "-".to_owned(), |n| n.to_string())),
        ("profile", text(&settings.profile)),
        ("leave", name(&settings.leave)),
        ("leave window", seconds(&settings.leave_window)),
        ("expulsion window", seconds(&settings.expulsion_window)),
        ("confirm within", seconds(&settings.confirm_within)),
        ("grace", seconds(&settings.grace)),
        ("unconfirmed", name(&settings.unconfirmed)),
        ("MSK lifetime", limit(&settings.msk_lifetime)),
        ("MTK period", limit(&settings.mtk_period)),
        ("MTK IDs", mtk_ids.map_or_else(String::new, |ids| format!("{}-{}", ids.low, ids.high))),
        ("broadcasters", list(settings.broadcasters.as_deref().unwrap_or_default())),
        ("SDP template", if settings.sdp.is_some() { "yes" } else { "no" }.to_owned()),
    ]
}

/// The name of a policy, as on the command line.
fn name(policy: &Option<impl clap::ValueEnum>) -> String {
    let value = policy.as_ref().and_then(clap::ValueEnum::to_possible_value);
    value.map_or_else(|| "-".to_owned(), |value| value.get_name().to_owned())
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

fn lines(fields: &[(&str, String)]) -> String {
    fields.iter().map(|(name, value)| format!("{name:18} {value}\n")).collect()
}
