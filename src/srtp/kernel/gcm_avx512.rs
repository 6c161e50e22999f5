//! AES-GCM with VAES and VPCLMULQDQ: four blocks in a 512-bit register, one pass over the packet.
//!
//! Clauses: NIST SP 800-38D §7.1 and §7.2, as RFC 7714 uses them. Portable twin:
//! [`super::aes_portable::PortableKey`], `gcm_open` and `gcm_seal`.
//!
//! Two ways through the text: four short packets of as many blocks side by side, one in each lane
//! ([`super::gcm_abreast512`]), and one packet at a time with all lanes along its text
//! ([`super::gcm_along512`]).
//!
//! Safety: pointers go to tags of 16 octets; the two ways have arguments of their own. Constant time:
//! branches depend on lengths, on which key is whose and on a packet's verdict, never on other octets.

use std::arch::x86_64::*;

use super::{
    aes_portable::counter_block,
    aes_vaes::broadcast_keys,
    cipher::{CtrJob, GcmJob},
    ctr_avx512,
    gcm_abreast512::{abreast, fit},
    gcm_along512::along,
    gcm_hash512::in_lanes,
};

/// Opens every job; the data of one that fails is put back as it was.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
pub(super) fn open(jobs: &mut [GcmJob<'_>], ok: &mut [bool]) {
    let mut verdicts = ok;
    for run in jobs.chunk_by_mut(|a, b| std::ptr::eq(a.key, b.key)) {
        let (of_run, others) = verdicts.split_at_mut(run.len());
        match run[0].key.schedule().last() {
            10 => open_run::<11>(run, of_run),
            _ => open_run::<15>(run, of_run),
        }
        verdicts = others;
    }
}

/// Seals every job.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
pub(super) fn seal(jobs: &mut [GcmJob<'_>]) {
    for run in jobs.chunk_by_mut(|a, b| std::ptr::eq(a.key, b.key)) {
        match run[0].key.schedule().last() {
            10 => seal_run::<11>(run),
            _ => seal_run::<15>(run),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
fn open_run<const KEYS: usize>(mut jobs: &mut [GcmJob<'_>], mut ok: &mut [bool]) {
    let key = jobs[0].key;
    let Some(powers) = key.powers() else { return ok.fill(false) };
    let keys = broadcast_keys::<KEYS>(key.schedule());
    while !jobs.is_empty() {
        let done = match jobs.first_chunk_mut::<4>().filter(|four| fit(four)) {
            Some(four) => {
                let made = abreast::<KEYS, false>(&keys, powers, four);
                // SAFETY: a tag is 16 octets.
                let tags =
                    four.each_ref().map(|job| unsafe { _mm_loadu_si128(job.tag.as_ptr().cast()) });
                let differ = _mm512_cmpneq_epi64_mask(made, in_lanes(tags));
                for i in 0..4 {
                    ok[i] = differ >> (2 * i) & 3 == 0;
                }
                4
            }
            None => {
                let job = &mut jobs[0];
                let made = along::<KEYS, false>(&keys, powers, job);
                // SAFETY: a tag is 16 octets.
                let tag = unsafe { _mm_loadu_si128(job.tag.as_ptr().cast()) };
                ok[0] = _mm_cmpneq_epi64_mask(made, tag) == 0;
                1
            }
        };
        for (job, ok) in jobs[..done].iter_mut().zip(&*ok) {
            if !*ok {
                put_back(job);
            }
        }
        jobs = &mut jobs[done..];
        ok = &mut ok[done..];
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
fn seal_run<const KEYS: usize>(mut jobs: &mut [GcmJob<'_>]) {
    let key = jobs[0].key;
    let powers = key.powers().expect("sealing needs a key for GCM");
    let keys = broadcast_keys::<KEYS>(key.schedule());
    while !jobs.is_empty() {
        let done = match jobs.first_chunk_mut::<4>().filter(|four| fit(four)) {
            Some(four) => {
                let mut made = abreast::<KEYS, true>(&keys, powers, four);
                for job in four {
                    // SAFETY: a tag is 16 octets.
                    unsafe {
                        _mm_storeu_si128(job.tag.as_mut_ptr().cast(), _mm512_castsi512_si128(made))
                    }
                    made = _mm512_alignr_epi64::<2>(made, made);
                }
                4
            }
            None => {
                let made = along::<KEYS, true>(&keys, powers, &mut jobs[0]);
                // SAFETY: a tag is 16 octets.
                unsafe { _mm_storeu_si128(jobs[0].tag.as_mut_ptr().cast(), made) }
                1
            }
        };
        jobs = &mut jobs[done..];
    }
}

/// Undoes the decryption of a packet whose tag did not match.
#[cold]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,vaes,vpclmulqdq")]
fn put_back(job: &mut GcmJob<'_>) {
    //= RFC 7714 §5.3: nothing of a packet is released before its tag is verified
    let iv = counter_block(&job.iv, 2);
    ctr_avx512::ctr(&mut [CtrJob { key: job.key, iv, data: &mut *job.data }]);
}
