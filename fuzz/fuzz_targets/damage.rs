//! Records that somebody has had in his hands.

use libfuzzer_sys::arbitrary::{Result, Unstructured};

/// Keys and values, as they are kept.
pub type Records = Vec<(Box<[u8]>, Vec<u8>)>;

/// Changes octets, cuts values short and adds records until the input ends.
pub fn damage(u: &mut Unstructured<'_>, records: &mut Records) -> Result<()> {
    while !u.is_empty() {
        let fresh = u.ratio(1, 4)? || records.is_empty();
        if fresh {
            let key = u.int_in_range(0..=12).and_then(|len| u.bytes(len))?;
            let value = u.int_in_range(0..=40).and_then(|len| u.bytes(len))?;
            records.push((key.into(), value.to_vec()));
            continue;
        }
        let (key, value) = {
            let place = u.choose_index(records.len())?;
            &mut records[place]
        };
        let octets = if u.ratio(1, 5)? { &mut **key } else { &mut value[..] };
        if let Some(last) = octets.len().checked_sub(1) {
            octets[u.int_in_range(0..=last)?] ^= u.int_in_range(1..=255)?;
        }
        if u.ratio(1, 8)? {
            value.truncate(u.int_in_range(0..=value.len())?);
        }
    }
    Ok(())
}
