//! No HMAC kernel touches a page beside a message, neither behind the end nor before the start.

use super::{
    Backend,
    aes_edges::Pages,
    hmac::{HmacJob, HmacKey, hmac_batch},
};

#[test]
fn hmac_stays_inside_its_messages() {
    let key = &HmacKey::new(&[1; 20]);
    let mut pages: [Pages; 17] = std::array::from_fn(|_| Pages::new());
    for &backend in Backend::available() {
        // Chains, eight lanes, sixteen, and some of these that end earlier.
        for (count, shorter) in [(1, 0), (3, 0), (4, 64), (8, 0), (8, 70), (16, 0), (17, 150)] {
            for len in 0..=300_usize {
                for end in [false, true] {
                    let jobs = pages.iter_mut().take(count).enumerate().map(|(i, pages)| {
                        let len = if i % 3 == 1 { len.saturating_sub(shorter) } else { len };
                        let suffix = (len % 2 == 0).then_some([1, 2, 3, 4]);
                        HmacJob { key, message: pages.edge(len, end), suffix }
                    });
                    let jobs: Vec<_> = jobs.collect();
                    hmac_batch(backend, &jobs, &mut [[0; 20]; 17]);
                }
            }
        }
    }
}
