//! `demo`: the whole system in one process, on real sockets of the loopback interface.
//!
//! ```text
//!  CK, IK ─► MUK ─► key server ── MSK messages, UDP unicast ──► c1, c2, c3 ── verification ──► key server
//!                       └─ MSK ─► broadcaster ══ MTK messages, media, burst control, multicast ══► c1, c2, c3
//! ```

mod air;
mod cast;
mod client;
mod clip;
mod outcome;
mod plan;
mod stage;
mod timeline;

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use crate::{args::DemoArgs, exit::Failure};
use clip::Clip;
use outcome::Outcome;
use plan::Plan;
use stage::Stage;
use timeline::Timeline;

/// Runs the command.
///
/// # Errors
/// Failed: the system refuses something, or the demo has not shown what it is to show.
pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let outcome = play(args)?;
    let text = if args.json {
        serde_json::to_string(&outcome).map_err(Failure::failed)?
    } else {
        format!("\n{outcome}")
    };
    writeln!(io::stdout(), "{text}").map_err(Failure::output)?;
    if outcome.ok { Ok(()) } else { Err(Failure::failed(outcome.faults.join("; "))) }
}

fn play(args: &DemoArgs) -> Result<Outcome, Failure> {
    let clip = Clip::built_in().map_err(Failure::failed)?;
    let plan = Arc::new(Plan::new(Duration::from_secs(args.seconds.into()), &clip));
    let timeline = Timeline::new(args.json);
    let mut stage = Stage::set(&clip, &plan, args.profile, timeline)?;
    stage.hand_out_keys()?;
    stage.transmit()?;
    stage.finish()
}
