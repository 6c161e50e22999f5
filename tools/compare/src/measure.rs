//! Rounds over all contenders in turn, and what came of them.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    contender::Contender,
    feed::{Arena, Feed, Pair, SECTION},
    scenario::Scenario,
};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Packets a round, at least.
    pub(crate) packets: usize,
    /// About how long a contender's round may take; a slower one skips sections evenly.
    pub(crate) budget: Duration,
}

/// One line of the table, measured.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    #[serde(flatten)]
    pub(crate) scenario: Scenario,
    /// Ours first.
    pub(crate) contenders: Vec<Outcome>,
}

/// What one contender reached.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    /// Nanoseconds a packet.
    pub(crate) ns: Spread,
    /// Its time over ours, round by round.
    pub(crate) ratio: Spread,
}

/// Lowest, middle and highest of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

/// Checks that all contenders open the same packets to the same octets, then times them.
pub(crate) fn measure(
    scenario: Scenario,
    feed: &mut Feed,
    contenders: &mut [Contender],
    effort: Effort,
) -> Result<Line, String> {
    let mut arena = Arena::new();
    let round = feed.round(effort.packets).map_err(|e| e.to_string())?;
    let mut strides = Vec::with_capacity(contenders.len());
    for contender in &mut *contenders {
        let spent = check(scenario, &round, contender, &mut arena)?;
        // A stride has far fewer than 2^32 steps.
        strides.push(spent.div_duration_f64(effort.budget).ceil().max(1.0) as usize);
    }

    let overhead = clock_overhead();
    let mut times = vec![Vec::with_capacity(effort.rounds); contenders.len()];
    for number in 0..=effort.rounds {
        let round = feed.round(effort.packets).map_err(|e| e.to_string())?;
        for turn in 0..contenders.len() {
            // Each round starts with another one, so that none always follows the same.
            let place = (turn + number) % contenders.len();
            let contender = &mut contenders[place];
            let sections = round.iter().step_by(strides[place]);
            let ns = time(scenario, sections, contender, &mut arena, overhead)?;
            // The first round only warms up.
            if number > 0 {
                times[place].push(ns);
            }
        }
    }
    Ok(Line { scenario, contenders: outcomes(contenders, &times) })
}

fn outcomes(contenders: &[Contender], times: &[Vec<f64>]) -> Vec<Outcome> {
    let ours = &times[0];
    contenders
        .iter()
        .zip(times)
        .map(|(contender, ns)| Outcome {
            name: contender.name(),
            ns: Spread::of(ns.clone()),
            ratio: Spread::of(ns.iter().zip(ours).map(|(ns, ours)| ns / ours).collect()),
        })
        .collect()
}

/// Opens a round and compares every octet with what was protected. Returns about how long it took.
fn check(
    scenario: Scenario,
    round: &[Vec<Pair>],
    contender: &mut Contender,
    arena: &mut Arena,
) -> Result<Duration, String> {
    let start = Instant::now();
    let (mut same, mut all) = (0, 0);
    for section in round {
        arena.fill(section);
        all += section.len();
        contender.open(arena, scenario.batch, &mut |place, plain| {
            same += usize::from(section[place].plain == plain);
        });
    }
    if same == all {
        return Ok(start.elapsed());
    }
    Err(format!("{} opened {same} of {all} packets to the right octets", contender.name()))
}

/// Opens these sections and returns nanoseconds a packet: those of the middle section, so that one
/// which was interrupted does not count.
fn time<'a>(
    scenario: Scenario,
    sections: impl Iterator<Item = &'a Vec<Pair>>,
    contender: &mut Contender,
    arena: &mut Arena,
    overhead: Duration,
) -> Result<f64, String> {
    let (mut spent, mut opened) = (Vec::new(), 0);
    for section in sections {
        arena.fill(section);
        if scenario.cold {
            arena.flush();
        }
        let start = Instant::now();
        contender.open(arena, scenario.batch, &mut |_, plain| {
            black_box(plain);
            opened += 1;
        });
        spent.push(start.elapsed().saturating_sub(overhead).as_secs_f64());
    }
    let packets = spent.len() * SECTION;
    if opened != packets {
        return Err(format!("{} opened only {opened} of {packets}", contender.name()));
    }
    Ok(Spread::of(spent).median * 1e9 / SECTION as f64)
}

/// What two looks at the clock cost, at the least.
fn clock_overhead() -> Duration {
    (0..1000).map(|_| Instant::now().elapsed()).min().unwrap_or_default()
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        Self { min: at(0), median: at(values.len() / 2), max: at(values.len().saturating_sub(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_lowest_middle_and_highest() {
        let spread = Spread::of(vec![3.0, 1.0, 9.0, 2.0, 4.0]);
        assert_eq!(spread, Spread { min: 1.0, median: 3.0, max: 9.0 });
    }
}
