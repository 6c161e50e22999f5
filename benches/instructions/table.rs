//! What is counted, and what it is compared with.

use std::{collections::BTreeMap, fs, process::ExitCode};

use arrayvec::ArrayVec;
use mcast_srtp::srtp::{Backend, MAX_BATCH, Unprotector};

use crate::{
    count::instructions,
    support::{
        contender::{NO_VERDICT, limits, packet},
        feed::{Feed, Kind, Sizes, Workload},
        slots::Slots,
    },
};

/// How much a count may grow before the check fails. Code that moves to another address can take
/// another branch in a copy routine of the C library; a per cent covers it.
const MARGIN: f64 = 0.03;

pub(crate) fn main() -> ExitCode {
    let asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    let counted = count_all();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
    let known = fs::read_to_string(file).map(|text| parse(&text)).unwrap_or_default();
    for (name, count) in &counted {
        let change =
            known.get(name).map(|known| format!(" ({:+.1} %)", 100.0 * (count / known - 1.0)));
        println!("{name:34} {count:8.1}{}", change.unwrap_or_default());
    }
    if asked("--update") {
        let text = format(known.into_iter().chain(counted).collect());
        if let Err(error) = fs::write(file, text) {
            eprintln!("instructions: {file}: {error}");
            return ExitCode::FAILURE;
        }
    } else if asked("--check") {
        return check(&known, &counted);
    }
    ExitCode::SUCCESS
}

/// Instructions a packet, by name.
type Table = BTreeMap<String, f64>;

fn count_all() -> Table {
    let mut table = Table::new();
    for backend in Backend::available() {
        for kind in [Kind::CM_80, Kind::GCM_128] {
            for (sizes, batch) in [
                (Sizes::SMALL, 64),
                (Sizes::SMALL, 8),
                (Sizes::SMALL, 1),
                (Sizes::VOICE, 64),
                (Sizes::VIDEO, 64),
                (Sizes::MIX, 64),
            ] {
                let name = format!("{backend}/{}/{}/b{batch}", kind.name, sizes.name);
                table.insert(name, count(kind, sizes, *backend, batch));
            }
        }
    }
    table
}

/// Instructions a packet of the batch call, over 64 packets of 16 streams.
fn count(kind: Kind, sizes: Sizes, backend: Backend, batch: usize) -> f64 {
    const WARM: usize = 4;
    let workload = Workload { kind, sizes, streams: 16, packets: (WARM + 1) * MAX_BATCH };
    let (feed, keys) = (Feed::new(&workload), workload.ring());
    let mut unprotector = Unprotector::with_backend(limits(&workload), backend);
    let mut slots = Slots::in_order(MAX_BATCH);
    let mut counted = 0;
    for turn in 0..=WARM {
        slots.fill(&feed.packets, turn * MAX_BATCH);
        let mut packets: ArrayVec<_, MAX_BATCH> =
            slots.packets().map(|bytes| packet(&keys, bytes)).collect();
        let mut verdicts = [NO_VERDICT; MAX_BATCH];
        let mut open = || {
            for (packets, verdicts) in packets.chunks_mut(batch).zip(verdicts.chunks_mut(batch)) {
                unprotector.unprotect_batch(packets, verdicts);
            }
        };
        if turn < WARM {
            open()
        } else {
            counted = instructions(open)
        }
        assert!(verdicts.iter().all(Result::is_ok), "packets were refused");
    }
    counted as f64 / MAX_BATCH as f64
}

fn check(known: &Table, counted: &Table) -> ExitCode {
    let mut worse = 0;
    for (name, count) in counted {
        match known.get(name) {
            Some(known) if *count > known * (1.0 + MARGIN) => {
                worse += 1;
                eprintln!("instructions: {name}: {count:.1} instead of {known:.1} a packet");
            }
            Some(_) => {}
            None => {
                worse += 1;
                eprintln!("instructions: {name}: not in benches/instructions.txt");
            }
        }
    }
    for name in known.keys().filter(|name| !counted.contains_key(*name)) {
        eprintln!("instructions: {name}: not counted, this processor cannot run it");
    }
    if worse > 0 {
        eprintln!(
            "instructions: {worse} counts have grown by more than {:.0} %. If that is meant: \
             cargo bench --bench instructions -- --update",
            100.0 * MARGIN
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn parse(text: &str) -> Table {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let entries = lines.filter_map(|line| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    });
    entries.collect()
}

fn format(table: Table) -> String {
    let head = "# Instructions a packet: cargo bench --bench instructions -- --update\n";
    let lines = table.iter().map(|(name, count)| format!("{name:34} {count:8.1}\n"));
    head.to_owned() + &lines.collect::<String>()
}
