//! AES-GCM with VAES and VPCLMULQDQ: four blocks in a 512-bit register, one pass over the packet.
//!
//! Clauses: NIST SP 800-38D §7.1 and §7.2, as RFC 7714 uses them. Portable twin:
//! [`super::aes_portable::PortableKey`], `gcm_open` and `gcm_seal`.
//!
//! Two ways through the text: four short packets of as many blocks side by side, one in each lane
//! ([`super::gcm_abreast512`]), and one packet at a time with all lanes along its text
//! ([`super::gcm_along512`]).
//!
//! Safety: nothing here is unsafe; the two ways have arguments of their own. Constant time: branches
//! depend on lengths, on which key is whose and on a packet's verdict, never on other octets.

use super::{
    cipher::{CtrJob, GcmJob},
    ctr_avx512,
    gcm_abreast512::{abreast, fit},
    gcm_along512::along,
};

/// Opens every job; the data of one that fails is put back as it was.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
pub(super) fn open(jobs: &mut [GcmJob<'_>], ok: &mut [bool]) {
    let mut done = 0;
    while done < jobs.len() {
        done += step::<false>(&mut jobs[done..], &mut ok[done..]);
    }
}

/// Seals every job.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
pub(super) fn seal(jobs: &mut [GcmJob<'_>]) {
    for jobs in jobs.chunks_mut(64) {
        // Nobody asks: a tag that is made is right.
        let mut verdicts = [true; 64];
        let mut done = 0;
        while done < jobs.len() {
            done += step::<true>(&mut jobs[done..], &mut verdicts);
        }
    }
}

/// Opens or seals jobs from the first on, as many as go the same way. Returns how many. `ok` tells
/// which tags are right.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
fn step<const SEAL: bool>(jobs: &mut [GcmJob<'_>], ok: &mut [bool]) -> usize {
    let key = jobs[0].key;
    let schedule = key.schedule();
    let Some(powers) = key.powers() else {
        assert!(!SEAL, "sealing needs a key for GCM");
        ok[0] = false;
        return 1;
    };
    let ten_rounds = schedule.last() == 10;
    let four = |jobs: &[GcmJob<'_>]| jobs.first_chunk::<4>().is_some_and(fit);
    if four(jobs) {
        return if ten_rounds {
            abreast::<11, SEAL>(schedule, powers, jobs, ok)
        } else {
            abreast::<15, SEAL>(schedule, powers, jobs, ok)
        };
    }
    let alone = |i: usize| std::ptr::eq(jobs[i].key, key) && !four(&jobs[i..]);
    let stretch = (1..jobs.len()).take_while(|i| alone(*i)).count() + 1;
    let jobs = &mut jobs[..stretch];
    if ten_rounds {
        along::<11, SEAL>(schedule, powers, jobs, ok);
    } else {
        along::<15, SEAL>(schedule, powers, jobs, ok);
    }
    stretch
}

/// Undoes the decryption of the packets whose tags did not match.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
pub(super) fn put_back(jobs: &mut [GcmJob<'_>], ok: &[bool]) {
    for (job, ok) in jobs.iter_mut().zip(ok) {
        if !ok {
            //= RFC 7714 §5.3: nothing of a packet is released before its tag is verified
            let iv = job.iv.text_block();
            ctr_avx512::ctr(&mut [CtrJob { key: job.key, iv, data: &mut *job.data }]);
        }
    }
}
