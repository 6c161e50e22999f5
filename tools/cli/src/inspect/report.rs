//! What is printed of each packet, and the totals at the end.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
};

use mcast_srtp::Reject;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::{
    input::{Datagram, Input},
    layout::Layout,
};
use crate::field::{self, Field};

/// What a packet is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Protocol {
    Mikey,
    Srtp,
    Srtcp,
    Rtp,
    Rtcp,
    Unknown,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Verdict {
    /// Authentic.
    Accepted,
    /// No keys were given.
    NotOpened,
    /// There is nothing to open.
    NotProtected,
    Rejected(Reject),
}

/// One packet.
#[derive(Debug, Serialize)]
pub(super) struct PacketReport {
    packet: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    octets: usize,
    pub(super) protocol: Protocol,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    pub(super) verdict: Verdict,
    pub(super) fields: Vec<Field>,
}

impl PacketReport {
    /// A packet about which nothing is known yet.
    pub(super) fn new(packet: usize, datagram: &Datagram) -> Self {
        Self {
            packet,
            time: datagram.time.map(|time| time.as_secs_f64()),
            from: datagram.from.map(|address| address.to_string()),
            to: datagram.to.map(|address| address.to_string()),
            octets: datagram.bytes.len(),
            protocol: Protocol::Unknown,
            kind: None,
            verdict: Verdict::NotOpened,
            fields: Vec::new(),
        }
    }

    /// The packet cannot even be read; its octets are all there is to show.
    pub(super) fn unreadable(&mut self, reject: Reject, octets: &[u8]) {
        self.verdict = Verdict::Rejected(reject);
        self.fields = vec![Field::octets("octets", octets)];
    }

    /// The packet is authentic; the fields tell what was in it.
    pub(super) fn accepted(&mut self, name: &'static str, fields: Vec<Field>) {
        self.verdict = Verdict::Accepted;
        self.fields.push(Field::group(name, fields));
    }

    /// Adds the end of a protected packet, or the reason why it has none.
    pub(super) fn trailer(&mut self, layout: Layout, fields: Result<Vec<Field>, Reject>) {
        match fields {
            Ok(fields) => {
                let place = if layout.confirmed { "a known MKI is there" } else { "assumed" };
                self.fields.push(Field::text("layout", place).with(fields));
            }
            Err(reject) => self.verdict = Verdict::Rejected(reject),
        }
    }

    /// Adds the packets of a plain RTCP compound, or the reason why they cannot be read.
    pub(super) fn compound(&mut self, compound: Result<(Vec<Field>, bool), Reject>) {
        match compound {
            Ok((fields, has_burst)) => {
                self.kind = has_burst.then_some("burst_control");
                self.fields.push(Field::group("packets", fields));
            }
            Err(reject) => self.verdict = Verdict::Rejected(reject),
        }
    }

    fn print(&self, out: &mut String) -> std::fmt::Result {
        write!(out, "#{}", self.packet)?;
        if let Some(time) = self.time {
            write!(out, " {time:.6}")?;
        }
        if let (Some(from), Some(to)) = (&self.from, &self.to) {
            write!(out, " {from} > {to}")?;
        }
        write!(out, " {}", self.protocol.name())?;
        if let Some(kind) = self.kind {
            write!(out, " {}", kind.replace('_', " "))?;
        }
        writeln!(out, ", {} octets: {}", self.octets, self.verdict.name())?;
        field::print(&self.fields, 1, out)
    }
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Mikey => "MIKEY",
            Self::Srtp => "SRTP",
            Self::Srtcp => "SRTCP",
            Self::Rtp => "RTP",
            Self::Rtcp => "RTCP",
            Self::Unknown => "unknown",
        }
    }
}

impl Verdict {
    /// The name as counters and `--json` print it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::NotOpened => "not_opened",
            Self::NotProtected => "not_protected",
            Self::Rejected(reject) => reject.name(),
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Prints reports to the standard output and counts verdicts.
pub(super) struct Printer {
    out: io::BufWriter<io::StdoutLock<'static>>,
    json: bool,
    packets: usize,
    totals: BTreeMap<Protocol, BTreeMap<&'static str, usize>>,
}

impl Printer {
    /// A printer that has counted nothing yet.
    pub(super) fn new(json: bool) -> Self {
        let out = io::BufWriter::new(io::stdout().lock());
        Self { out, json, packets: 0, totals: BTreeMap::new() }
    }

    /// Prints one packet.
    ///
    /// # Errors
    /// Those of the standard output.
    pub(super) fn packet(&mut self, report: &PacketReport) -> io::Result<()> {
        self.packets += 1;
        let verdicts = self.totals.entry(report.protocol).or_default();
        *verdicts.entry(report.verdict.name()).or_default() += 1;
        if self.json {
            serde_json::to_writer(&mut self.out, report)?;
            return writeln!(self.out);
        }
        let mut text = String::new();
        report.print(&mut text).map_err(io::Error::other)?;
        writeln!(self.out, "{text}")
    }

    /// Prints the totals.
    ///
    /// # Errors
    /// Those of the standard output.
    pub(super) fn summary(mut self, input: &Input) -> io::Result<()> {
        if self.json {
            let summary = json!({
                "summary": {
                    "packets": self.packets,
                    "verdicts": self.totals,
                    "other_frames": input.other_frames,
                    "incomplete": input.incomplete,
                    "cut": input.cut,
                }
            });
            writeln!(self.out, "{summary}")?;
            return self.out.flush();
        }
        writeln!(self.out, "packets: {}", self.packets)?;
        for (protocol, verdicts) in &self.totals {
            let counts: Vec<_> = verdicts.iter().map(|(name, n)| format!("{n} {name}")).collect();
            writeln!(self.out, "  {:7} {}", protocol.name(), counts.join(", "))?;
        }
        if input.other_frames > 0 {
            writeln!(self.out, "frames without UDP: {}", input.other_frames)?;
        }
        if input.incomplete > 0 {
            writeln!(self.out, "fragments and cut datagrams left out: {}", input.incomplete)?;
        }
        if input.cut {
            writeln!(self.out, "the capture ends within a packet")?;
        }
        self.out.flush()
    }
}
