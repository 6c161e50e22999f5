//! `inspect`: what each packet is and, given keys, what it says and with which verdict.
//!
//! Key messages are opened first, in the order of the input, then all other packets: in a capture a
//! packet may come before its key, as it may on the air.

mod capture;
mod input;
mod keylog;
mod layout;
mod mikey;
mod open;
mod report;
mod rtcp;
mod rtp;
mod text;

use mcast_srtp::{
    Reject,
    ids::Seq,
    srtp::PacketKind,
    wire::{
        classify::{Class, classify},
        mikey::Message,
        rtp::RtpView,
    },
};

use crate::{args::InspectArgs, exit::Failure, field::Field, keyfile::KeyFile};
pub(crate) use input::{Datagram, Input};
use layout::Layouts;
use open::Opener;
use report::{PacketReport, Printer, Protocol, Verdict};

/// Runs the command.
///
/// # Errors
/// Usage: input or key file cannot be used, or the key log cannot be written. Failed: no packet in the
/// input.
pub(crate) fn run(args: &InspectArgs) -> Result<(), Failure> {
    let keys = args.keys.as_deref().map(KeyFile::read).transpose()?;
    let input = Input::read(&args.input)?;
    let mut inspector = Inspector::new(keys)?;
    let reports = inspector.all(&input);
    if let Some(path) = &args.keylog {
        let opened = inspector.opener.as_ref().map_or(&[][..], Opener::opened_keys);
        keylog::write(path, opened)?;
    }
    let mut printer = Printer::new(args.json);
    let printed = reports.iter().try_for_each(|report| printer.packet(report));
    printed.and_then(|()| printer.summary(&input)).map_err(Failure::output)?;
    if reports.is_empty() {
        return Err(Failure::failed(format!("{}: no packet found", args.input.display())));
    }
    Ok(())
}

struct Inspector {
    layouts: Layouts,
    opener: Option<Opener>,
}

impl Inspector {
    fn new(keys: Option<KeyFile>) -> Result<Self, Failure> {
        let mut layouts = Layouts::default();
        for key in keys.iter().flat_map(|keys| &keys.traffic_keys) {
            layouts.note_profile(key.profile);
            layouts.note_mki(key.mki);
        }
        let opener = keys.map(Opener::new).transpose().map_err(Failure::usage)?;
        Ok(Self { layouts, opener })
    }

    fn all(&mut self, input: &Input) -> Vec<PacketReport> {
        let classes: Vec<_> = input.datagrams.iter().map(|d| classify(&d.bytes)).collect();
        let mut reports: Vec<_> = (1..)
            .zip(&input.datagrams)
            .zip(&classes)
            .map(|((n, datagram), class)| match class {
                Class::Mikey => self.key_message(PacketReport::new(n, datagram), &datagram.bytes),
                _ => PacketReport::new(n, datagram),
            })
            .collect();
        if let Some(opener) = &mut self.opener {
            opener.ready();
            opener.profiles().for_each(|profile| self.layouts.note_profile(profile));
        }
        for ((report, datagram), class) in reports.iter_mut().zip(&input.datagrams).zip(classes) {
            match class {
                Class::Mikey => {}
                Class::Rtp => self.rtp(report, datagram),
                Class::Rtcp => self.rtcp(report, datagram),
                Class::Unknown => report.unreadable(Reject::UnknownProtocol, &datagram.bytes),
            }
        }
        reports
    }

    fn key_message(&mut self, mut report: PacketReport, octets: &[u8]) -> PacketReport {
        report.protocol = Protocol::Mikey;
        let message = match Message::parse(octets) {
            Ok(message) => message,
            Err(reject) => {
                report.unreadable(reject, octets);
                return report;
            }
        };
        report.kind = Some(mikey::kind(&message));
        report.fields = mikey::fields(&message);
        if let Some(msk) = message.key_ids().and_then(|ids| ids.msk) {
            self.layouts.note_msk(msk);
        }
        if let Some(opener) = &mut self.opener {
            match opener.key_message(octets) {
                Ok(opened) => report.accepted("opened", opened),
                Err(reject) => report.verdict = Verdict::Rejected(reject),
            }
        }
        report
    }

    fn rtp(&mut self, report: &mut PacketReport, datagram: &Datagram) {
        let view = match RtpView::parse(&datagram.bytes) {
            Ok(view) => view,
            Err(reject) => return report.unreadable(reject, &datagram.bytes),
        };
        report.fields = rtp::header(&view);
        if datagram.plain {
            report.protocol = Protocol::Rtp;
            report.verdict = Verdict::NotProtected;
            report.fields.push(Field::octets("payload", view.payload()));
            return;
        }
        report.protocol = Protocol::Srtp;
        let layout = self.layouts.of(PacketKind::Rtp, view.seq(), &datagram.bytes);
        report.trailer(layout, rtp::trailer(&view, &layout.profile));
        self.open(report, datagram, PacketKind::Rtp);
    }

    fn rtcp(&mut self, report: &mut PacketReport, datagram: &Datagram) {
        let octets = &datagram.bytes;
        if rtcp::is_plain(octets) {
            report.protocol = Protocol::Rtcp;
            report.verdict = Verdict::NotProtected;
            return report.compound(rtcp::compound(octets));
        }
        report.protocol = Protocol::Srtcp;
        match rtcp::clear_header(octets) {
            Ok(fields) => report.fields = fields,
            Err(reject) => return report.unreadable(reject, octets),
        }
        let layout = self.layouts.of(PacketKind::Rtcp, Seq(0), octets);
        report.trailer(layout, rtcp::trailer(octets, &layout.profile));
        self.open(report, datagram, PacketKind::Rtcp);
    }

    fn open(&mut self, report: &mut PacketReport, datagram: &Datagram, kind: PacketKind) {
        let Some(opener) = &mut self.opener else { return };
        let mut octets = datagram.bytes.clone();
        let opened = match opener.packet(datagram.to, kind, &mut octets) {
            Ok(opened) => opened,
            Err(reject) => return report.verdict = Verdict::Rejected(reject),
        };
        let plain = octets.get(..opened.len).unwrap_or_default();
        match kind {
            PacketKind::Rtp => {
                let payload = plain.get(opened.header_len..).unwrap_or_default();
                let index = opened.index;
                report.accepted(
                    "opened",
                    vec![
                        Field::number("index", index.value()),
                        Field::number("roc", index.roc().0),
                        Field::octets("payload", payload),
                    ],
                );
            }
            PacketKind::Rtcp => {
                report.verdict = Verdict::Accepted;
                report.compound(rtcp::compound(plain));
            }
        }
    }
}
