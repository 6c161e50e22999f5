//! One traffic key of every kind that packets take a way of their own under.

use std::sync::Arc;

use mcast_srtp::{
    ids::{Mki, MskId, MtkId},
    srtp::{Profile, TrafficKey},
};

/// How many [`keys`] there are.
pub(crate) const KEYS: usize = 11;

/// The keys, their MTK IDs in order from 1.
pub(crate) fn keys() -> Vec<Arc<TrafficKey>> {
    let named = |name| Profile::from_name(name).expect("a name of the project's");
    let profiles: [Profile; KEYS] = [
        Profile::AES_CM_128_HMAC_SHA1_80,
        Profile::AEAD_AES_128_GCM,
        Profile::AES_256_CM_HMAC_SHA1_32,
        Profile::AEAD_AES_256_GCM,
        Profile::NULL_HMAC_SHA1_80,
        Profile::AES_CM_128_HMAC_SHA1_80.with_kdr(16),
        // Under these a packet with sequence number 10, for one, carries its rollover counter.
        named("AES_CM_128_HMAC_SHA1_80+RCCm1:5"),
        named("AES_CM_128_HMAC_SHA1_80+RCCm2:2"),
        named("AES_256_CM_HMAC_SHA1_32+RCCm2:10").with_kdr(16),
        named("AEAD_AES_128_GCM+RCCm3:5"),
        named("AES_CM_128_HMAC_SHA1_80+RCCm3:2"),
    ];
    keys_with(&profiles)
}

/// One key under each profile, their MTK IDs in order from 1.
pub(crate) fn keys_with(profiles: &[Profile]) -> Vec<Arc<TrafficKey>> {
    let keys = (1_u8..).zip(profiles).map(|(number, profile)| {
        let mki = Mki::mbms(MskId { group: 3, number: 1 }, MtkId(number.into()));
        let master = vec![number; profile.cipher.key_len()];
        Arc::new(TrafficKey::new(mki, *profile, &master, &[9; 14]).expect("lengths fit"))
    });
    keys.collect()
}
