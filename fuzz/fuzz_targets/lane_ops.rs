//! A receiver among packets, key messages and silence in any order: what it delivers was sent, each packet
//! at most once while its stream is kept, and every datagram is accounted for.

#![no_main]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use mcast_srtp::{
    ids::Ssrc,
    rx::{Limits, PortId},
    wire::burst::{BurstMessage, Taken},
};

#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/fears/client.rs"]
mod client;
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/common/group.rs"]
mod group;
use client::Client;
use group::{Keys, burst, media};

fuzz_target!(|input: &[u8]| {
    // The sequence is as long as the input.
    let mut client = Client::named("c1", &limits());
    let start = Instant::now();
    let mut world = World { now: start, batch: Vec::new(), sent: BTreeSet::new() };
    let _ = run(&mut world, &mut client, &mut Unstructured::new(input));
    world.flush(&mut client);

    let streams: BTreeSet<_> = world.sent.iter().map(|(ssrc, _)| ssrc).collect();
    // A stream that made room for another is a new one when it comes back: what it played can be
    // played again.
    let all_kept = streams.len() <= limits().streams.streams_per_session;
    let mut heard = BTreeSet::new();
    for (ssrc, index, payload) in &client.delivered.heard {
        assert_eq!(payload, &index.to_be_bytes(), "another packet");
        assert!(world.sent.contains(&(ssrc.0, *index)), "never sent");
        assert!(heard.insert((ssrc.0, *index)) || !all_kept, "delivered twice");
    }
    client.assert_nothing_is_lost_silently(world.now);
});

struct World {
    now: Instant,
    batch: Vec<(PortId, Vec<u8>)>,
    /// SSRC and index of every packet that was sent undamaged.
    sent: BTreeSet<(u32, u64)>,
}

impl World {
    fn flush(&mut self, client: &mut Client) {
        let batch: Vec<_> = self.batch.iter().map(|(port, octets)| (*port, &octets[..])).collect();
        client.receive_batch(&batch, self.now);
        self.batch.clear();
        let (held, limits) = (client.receiver.lane().held(), limits());
        assert!(held <= limits.held_packets_per_group);
        assert!(client.receiver.lane().streams() <= limits.streams.streams);
    }
}

fn run(world: &mut World, client: &mut Client, u: &mut Unstructured<'_>) -> Result<()> {
    let keys = Keys::default();
    while !u.is_empty() {
        let (msk, mtk) = (u.int_in_range(1..=3)?, u.int_in_range(1..=6)?);
        match u.int_in_range(0..=11_u8)? {
            0 => {
                world.flush(client);
                world.now += Duration::from_millis(u.int_in_range(0..=60_000)?);
                client.tick(world.now);
            }
            1 => world.flush(client),
            2 => {
                let message = keys.msk_message(msk, u.int_in_range(1..=20)?);
                let _ = client.receiver.key_message(&message, world.now);
            }
            3 => world.batch.push((client.ports.keys, keys.mtk_message(msk, mtk))),
            4 => {
                let port = *u.choose(&client.ports.each())?;
                let octets = u.int_in_range(0..=40).and_then(|len| u.bytes(len))?;
                world.batch.push((port, octets.to_vec()));
            }
            5 => {
                let key = keys.traffic_key(msk, mtk);
                let message = BurstMessage::Taken(Taken::default());
                let packet = burst(&key, u.int_in_range(1..=40)?, message);
                world.batch.push((client.ports.burst, packet));
            }
            6 if !world.batch.is_empty() => {
                let place = u.choose_index(world.batch.len())?;
                let (port, mut octets) = world.batch[place].clone();
                if !octets.is_empty() {
                    let at = u.choose_index(octets.len())?;
                    octets[at] ^= u.int_in_range(1..=255)?;
                }
                world.batch.push((port, octets));
            }
            7 if !world.batch.is_empty() => {
                let again = world.batch[u.choose_index(world.batch.len())?].clone();
                world.batch.push(again);
            }
            _ => {
                let ssrc = u.int_in_range(1..=6)?;
                let start = u64::from(u.int_in_range(0..=2_u8)?) << 16 | 0xffe0;
                let index = start + u64::from(u.int_in_range(0..=63_u8)?);
                let packet = media(&keys.traffic_key(msk, mtk), Ssrc(ssrc), index);
                world.sent.insert((ssrc, index));
                world.batch.push((client.ports.media, packet));
            }
        }
        if world.batch.len() >= 80 {
            world.flush(client);
        }
    }
    Ok(())
}

/// So narrow that an input reaches every one of them.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.streams.streams = 4;
    limits.streams.streams_per_session = 3;
    limits.held_packets = 24;
    limits.held_packets_per_group = 16;
    limits
}
