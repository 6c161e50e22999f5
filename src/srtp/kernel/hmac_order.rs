//! The jobs of a batch by falling number of blocks, so that neighbours can be hashed side by side.
//!
//! A batch that falls already keeps its order. Lengths are public; nothing else of a job decides here.

use std::{cmp::Reverse, mem};

use super::hmac::HmacJob;

/// Jobs that are ordered at a time.
pub(super) const BATCH: usize = 64;

/// Up to [`BATCH`] jobs in the order in which they are hashed.
pub(super) struct Order<'a> {
    jobs: &'a [HmacJob<'a>],
    /// Where the job of each turn is; turns beyond the last repeat it, for a window over them.
    places: [u8; BATCH + WINDOW],
    alike: bool,
}

impl<'a> Order<'a> {
    /// Orders the first [`BATCH`] jobs, unless one of them has more than [`MOST`] blocks.
    pub(super) fn of(jobs: &'a [HmacJob<'a>]) -> Option<Self> {
        let jobs = &jobs[..jobs.len().min(BATCH)];
        if let [first, others @ ..] = jobs
            && others.iter().all(|job| job.is_like(first))
        {
            return (first.blocks() <= MOST).then(|| Self::in_places(jobs, IN_TURN, true));
        }
        let (mut most, mut before, mut falling) = (0, usize::MAX, true);
        for job in jobs {
            let blocks = job.blocks();
            falling &= blocks <= before;
            most = most.max(blocks);
            before = blocks;
        }
        if most > MOST {
            return None;
        }
        let mut places = IN_TURN;
        if !falling {
            sort(&mut places[..jobs.len()], jobs, most);
        }
        Some(Self::in_places(jobs, places, false))
    }

    fn in_places(jobs: &'a [HmacJob<'a>], mut places: [u8; BATCH + WINDOW], alike: bool) -> Self {
        let (given, beyond) = places.split_at_mut(jobs.len());
        let last = given.last().copied().unwrap_or_default();
        beyond[..WINDOW].fill(last);
        Self { jobs, places, alike }
    }

    /// Whether all jobs have one key and end alike.
    pub(super) const fn alike(&self) -> bool {
        self.alike
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// The job that is hashed in that turn.
    pub(super) fn job(&self, turn: usize) -> &'a HmacJob<'a> {
        &self.jobs[usize::from(self.places[turn])]
    }

    /// The jobs of `N` turns, the first of which there is.
    pub(super) fn window<const N: usize>(&self, turn: usize) -> [&'a HmacJob<'a>; N] {
        const { assert!(N <= WINDOW) }
        let places: [u8; N] = self.places[turn..][..N].try_into().unwrap_or([0; N]);
        places.map(|place| &self.jobs[usize::from(place)])
    }

    /// Where the job of each turn was, and its tag is to be.
    pub(super) fn places(&self) -> &[u8] {
        &self.places[..self.jobs.len()]
    }
}

/// Sorts `places` by falling number of blocks, of which no job has more than `most`.
fn sort(places: &mut [u8], jobs: &[HmacJob<'_>], most: usize) {
    if most >= BATCH {
        places.sort_unstable_by_key(|&place| Reverse(jobs[usize::from(place)].blocks()));
        return;
    }
    // How many jobs have so many blocks; then the turn of the next one of them.
    let mut turns = [0_u8; BATCH];
    for job in jobs {
        turns[job.blocks()] += 1;
    }
    let mut taken = 0;
    for turn in turns.iter_mut().rev() {
        taken += mem::replace(turn, taken);
    }
    for (place, job) in (0..).zip(jobs) {
        let turn = &mut turns[job.blocks()];
        places[usize::from(*turn)] = place;
        *turn += 1;
    }
}

/// Most turns that are asked for at once.
const WINDOW: usize = 16;

/// Most blocks of a message that is hashed side by side with others: no datagram has more.
const MOST: usize = 1 << 12;

/// The order of a batch that falls.
const IN_TURN: [u8; BATCH + WINDOW] = {
    let mut places = [0; BATCH + WINDOW];
    let mut i = 0;
    while i < BATCH {
        places[i] = i as u8;
        i += 1;
    }
    places
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::kernel::hmac::HmacKey;

    #[test]
    fn any_mix_of_lengths_falls_and_keeps_every_job() {
        let key = &HmacKey::new(&[1; 20]);
        let data = vec![0; 1 << 13];
        let lengths = [1200, 160, 0, 160, 1300, 47, 48, 8000, 64, 160, 4000];
        for mixed in [&lengths[..], &lengths[..7], &lengths[..1], &[]] {
            let jobs: Vec<_> = mixed
                .iter()
                .cycle()
                .take(mixed.len() * 5)
                .map(|&len| HmacJob { key, message: &data[..len], suffix: None })
                .collect();
            let order = Order::of(&jobs).unwrap();
            let blocks: Vec<_> = (0..order.len()).map(|turn| order.job(turn).blocks()).collect();
            assert!(blocks.is_sorted_by(|a, b| a >= b), "{blocks:?}");
            let mut places = order.places().to_vec();
            places.sort_unstable();
            assert!(places.into_iter().eq(0..jobs.len() as u8));
        }
    }

    #[test]
    fn a_window_over_the_end_repeats_the_last_job() {
        let key = &HmacKey::new(&[1; 20]);
        let jobs: Vec<_> = [&[0; 300][..], &[0; 200], &[0; 100]]
            .map(|message| HmacJob { key, message, suffix: None })
            .into();
        let order = Order::of(&jobs).unwrap();
        assert_eq!(order.window::<16>(1).map(|job| job.message.len())[..3], [200, 100, 100]);
    }

    #[test]
    fn a_message_that_no_datagram_can_be_is_not_ordered() {
        let key = &HmacKey::new(&[1; 20]);
        let message = &vec![0; 64 * MOST];
        assert!(Order::of(&[HmacJob { key, message, suffix: None }]).is_none());
    }
}
