//! Fear: a channel whose MTK IDs are used up keeps the broadcaster, and all other channels with it, from
//! starting.

use std::time::Instant;

use mcast_srtp::{
    broadcast::{BroadcastAction, BroadcastTiming, Broadcaster},
    ids::MtkId,
};

use crate::{
    broadcaster::document,
    kept::Kept,
    world::{Entropy, msk, rtp, secs},
};

/// A broadcaster that starts again on what it has kept.
struct Restarts {
    kept: Kept,
    now: Instant,
    entropy: Entropy,
}

impl Restarts {
    fn restart(&mut self) -> (Broadcaster, Vec<BroadcastAction>) {
        self.now += secs(1);
        let random = &mut |out: &mut [u8]| self.entropy.fill(out);
        let (channel, timing) = ("group 17".into(), BroadcastTiming::default());
        let records = self.kept.records();
        let restored = Broadcaster::restore(&channel, timing, records, self.now, random);
        let (mut broadcaster, actions) = restored.unwrap();
        self.kept.take(broadcaster.take_changes());
        (broadcaster, actions)
    }
}

#[test]
fn broadcaster_without_an_mtk_id_left_starts_in_silence_until_the_next_msk() {
    let mut restarts = Restarts { kept: Kept::default(), now: Instant::now(), entropy: Entropy(5) };
    let mut first = Broadcaster::new(&"group 17".into(), BroadcastTiming::default());
    let random = &mut |out: &mut [u8]| out.fill(1);
    first.follow(&document(1, &[1], 1, 2), restarts.now, random).unwrap();
    restarts.kept.take(first.take_changes());
    let (second, _) = restarts.restart();
    assert_eq!(second.mki().unwrap().split_mbms(), Some((msk(1), MtkId(2))), "the last");

    for _ in 0..3 {
        let (mut broadcaster, actions) = restarts.restart();
        assert!(
            matches!(
                &actions[..],
                [BroadcastAction::MtkIdsLow { left: 0, .. }, BroadcastAction::Silent { .. }]
            ),
            "{actions:?}"
        );
        assert_eq!((broadcaster.mki(), broadcaster.mtk_ids_left()), (None, Some(0)));
        assert!(broadcaster.protect_rtp(&mut rtp(1), restarts.now).is_err());
        assert!(broadcaster.poll(restarts.now, random).is_empty());
    }

    let (mut broadcaster, _) = restarts.restart();
    let now = restarts.now;
    broadcaster.follow(&document(2, &[1, 2], 1, 2), now, random).unwrap();
    assert_eq!((broadcaster.msk_ids().count(), broadcaster.mki()), (2, None), "MSK 2 is coming");
    restarts.kept.take(broadcaster.take_changes());
    let (mut broadcaster, _) = restarts.restart();
    broadcaster.follow(&document(3, &[1, 2], 2, 2), restarts.now, random).unwrap();
    broadcaster.protect_rtp(&mut rtp(1), restarts.now + secs(1)).unwrap();
    assert_eq!(broadcaster.mki().unwrap().split_mbms(), Some((msk(2), MtkId(1))));
}
