//! The closing figures of a demo, and whether it has shown what it is to show.

use std::fmt;

use serde::Serialize;

use super::client::Client;
use crate::table::Table;

/// What was sent, and when the expulsion took effect.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// Media packets.
    pub(super) media: usize,
    /// Burst-control messages.
    pub(super) bursts: u64,
    /// Changes of the traffic key in the packets.
    pub(super) mtk_changes: u64,
    /// Those of them that came with a new MSK.
    pub(super) msk_updates: u64,
    /// The expulsion took effect.
    pub(super) cut: Option<Cut>,
}

/// The first packet that an expelled client must not open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Media packets before.
    pub(super) media: usize,
    /// Burst-control messages before.
    pub(super) bursts: u64,
}

/// The figures, as `--json` prints them.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    profile: String,
    sent_media: usize,
    sent_burst: u64,
    mtk_changes: u64,
    msk_updates: u64,
    clients: Vec<ClientOutcome>,
    pub(super) ok: bool,
    /// What was not as it should be.
    #[serde(skip)]
    pub(super) faults: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ClientOutcome {
    name: &'static str,
    media_delivered: u64,
    /// Of those it was entitled to.
    media_lost: u64,
    burst_events: u64,
    delivered_after_expulsion: u64,
    #[serde(skip)]
    refused: String,
}

impl Outcome {
    /// Judges a demo in which the last client was expelled.
    pub(super) fn new(profile: String, sent: &Sent, clients: &[Client]) -> Self {
        let mut faults = Vec::new();
        if sent.cut.is_none_or(|cut| cut.media == sent.media) {
            faults.push("nothing was sent after the expulsion took effect".to_owned());
        }
        let cut = sent.cut.unwrap_or(Cut { media: sent.media, bursts: sent.bursts });
        let last = clients.len().saturating_sub(1);
        let clients = clients
            .iter()
            .enumerate()
            .map(|(n, client)| judge(client, n == last, sent, cut, &mut faults))
            .collect();
        Self {
            profile,
            sent_media: sent.media,
            sent_burst: sent.bursts,
            mtk_changes: sent.mtk_changes,
            msk_updates: sent.msk_updates,
            clients,
            ok: faults.is_empty(),
            faults,
        }
    }
}

fn judge(
    client: &Client,
    expelled: bool,
    sent: &Sent,
    cut: Cut,
    faults: &mut Vec<String>,
) -> ClientOutcome {
    let tally = client.tally();
    let (before, after) = (tally.delivered(0..cut.media), tally.delivered(cut.media..sent.media));
    let (entitled, due_bursts) =
        if expelled { (cut.media, cut.bursts) } else { (sent.media, sent.bursts) };
    let received = if expelled { before } else { before + after };
    let outcome = ClientOutcome {
        name: client.name,
        media_delivered: before + after,
        media_lost: (entitled as u64).saturating_sub(received),
        burst_events: tally.bursts(),
        delivered_after_expulsion: after,
        refused: refusals(client),
    };
    let mut fault = |is: bool, text: String| {
        if is {
            faults.push(format!("{} {text}", client.name));
        }
    };
    fault(tally.wrong() > 0, format!("delivered {} packets not as sent", tally.wrong()));
    fault(outcome.media_lost > 0, format!("lost {} packets", outcome.media_lost));
    fault(expelled && after > 0, format!("delivered {after} packets after its expulsion"));
    fault(
        outcome.burst_events != due_bursts,
        format!("delivered {} burst events instead of {due_bursts}", outcome.burst_events),
    );
    outcome
}

/// Why packets were refused, most frequent first.
fn refusals(client: &Client) -> String {
    let stats = client.stats();
    let mut counts: Vec<_> =
        stats.groups.iter().flat_map(|(_, _, group)| group.rejects.iter()).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let counts: Vec<_> = counts.iter().map(|(reject, n)| format!("{n} {reject}")).collect();
    if counts.is_empty() { "-".to_owned() } else { counts.join(", ") }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} media packets and {} burst-control messages sent; {} MTK changes, {} of them \
             with a new MSK",
            self.profile, self.sent_media, self.sent_burst, self.mtk_changes, self.msk_updates
        )?;
        let headings = ["client", "media", "lost", "bursts", "after expulsion", "refused packets"];
        let mut table = Table::new(&headings);
        for client in &self.clients {
            table.row(vec![
                client.name.to_owned(),
                client.media_delivered.to_string(),
                client.media_lost.to_string(),
                client.burst_events.to_string(),
                client.delivered_after_expulsion.to_string(),
                client.refused.clone(),
            ]);
        }
        write!(f, "{table}")?;
        self.faults.iter().try_for_each(|fault| writeln!(f, "FAULT: {fault}"))?;
        write!(f, "{}", if self.ok { "ok" } else { "failed" })
    }
}
