//! One commit as octets: which records are new, and which are gone.
//!
//! | octets | frame |
//! |---|---|
//! | | zeros up to the next multiple of 512 in the file, if fewer than 24 octets are left before it |
//! | 4 | length of the body |
//! | 4 | check of the length |
//! | 16 | tag of the body |
//! | | body: for each record 1 or 0 (it is gone), its key behind a 16-bit length, its value behind a 32-bit length |

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::seal::Seal;
use crate::{
    record::{RecordReader, RecordWriter},
    secret::SecretBytes,
};

/// Records by their keys.
pub(super) type Records = BTreeMap<Box<[u8]>, SecretBytes>;

/// A frame of these records for the place `at` of the file; `None` if it were 4 GiB or more.
pub(super) fn write<'a>(
    seal: &Seal,
    number: u64,
    at: u64,
    records: impl Iterator<Item = (&'a [u8], Option<&'a SecretBytes>)>,
) -> Option<Zeroizing<Vec<u8>>> {
    let begin = padding(at);
    let out = RecordWriter::default().octets(&[0; SECTOR]).truncate(begin + HEAD_LEN);
    let mut octets = records
        .fold(out, |out, (key, value)| {
            let out = out.u8(value.is_some().into()).prefixed(key);
            let value = value.map_or(&[][..], SecretBytes::expose);
            // With a longer one the frame is refused below.
            out.u32(u32::try_from(value.len()).unwrap_or(u32::MAX)).octets(value)
        })
        .into_octets();
    let (head, body) = octets.split_at_mut_checked(begin + HEAD_LEN)?;
    let len = u32::try_from(body.len()).ok()?;
    let tag = seal.close(number, body);
    let check = seal.check_of_len(number, len);
    let fields = len.to_be_bytes().into_iter().chain(check).chain(tag);
    head.iter_mut().skip(begin).zip(fields).for_each(|(place, octet)| *place = octet);
    Some(octets)
}

/// What is found at a place of a file.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// A frame, whose records have been taken; the next one begins there.
    Frame(usize),
    /// Nothing: the file ends here.
    End,
    /// The last frame, which a crash has cut short: its commit has never returned.
    Torn,
    /// Something that no crash leaves behind.
    Damaged,
}

/// Reads the frame at a place, opens it where it lies, and takes its records.
//= A commit returns when its frame is synced, so at most the last one is not whole. Of that any sectors
//= may be missing; the head lies in one.
pub(super) fn read(
    seal: &Seal,
    number: u64,
    file: &mut [u8],
    at: usize,
    records: &mut Records,
) -> Found {
    if at >= file.len() {
        return Found::End;
    }
    let begin = at + padding(at as u64);
    let rest = file.get_mut(begin..).unwrap_or_default();
    let Some((head, rest)) = rest.split_first_chunk_mut::<HEAD_LEN>() else { return Found::Torn };
    let mut fields = RecordReader::new(head);
    let (Some(len), Some(check), Some(tag)) = (fields.u32(), fields.array(), fields.array()) else {
        return Found::Damaged;
    };
    if seal.check_of_len(number, len) != check {
        let cut_short = *head == [0; HEAD_LEN] && !frame_follows(seal, number, rest);
        return if cut_short { Found::Torn } else { Found::Damaged };
    }
    let available = rest.len();
    let Some(body) = rest.get_mut(..len as usize) else { return Found::Torn };
    let is_last = body.len() == available;
    if !seal.open(number, body, tag) {
        return if is_last { Found::Torn } else { Found::Damaged };
    }
    match take(body, records) {
        Some(()) => Found::Frame(begin + HEAD_LEN + body.len()),
        None => Found::Damaged,
    }
}

/// Whether one of the frames after this number lies behind a head of zeros: then no crash has cut the
/// file short, because nothing is written behind a frame before it is synced.
///
/// Takes time, but only after a crash that lost the sector of a head.
fn frame_follows(seal: &Seal, number: u64, behind: &[u8]) -> bool {
    let zeros = behind.iter().take_while(|octet| **octet == 0).count();
    // Heads that may be lost among these zeros, beside the first.
    let lost = (zeros / HEAD_LEN) as u64;
    let windows = behind.windows(HEAD_LEN).enumerate().skip(zeros.saturating_sub(HEAD_LEN));
    windows.filter(|(_, head)| head.iter().any(|octet| *octet != 0)).any(|(place, head)| {
        let mut fields = RecordReader::new(head);
        let (Some(len), Some(check), Some(tag)) = (fields.u32(), fields.array(), fields.array())
        else {
            return false;
        };
        let begin = place + HEAD_LEN;
        let Some(body) = behind.get(begin..begin.saturating_add(len as usize)) else {
            return false;
        };
        (number + 1..=number + 1 + lost).any(|later| {
            seal.check_of_len(later, len) == check
                && seal.open(later, &mut Zeroizing::new(body.to_vec()), tag)
        })
    })
}

fn take(body: &[u8], records: &mut Records) -> Option<()> {
    let mut body = RecordReader::new(body);
    while !body.rest().is_empty() {
        let (is_there, key, len) = (body.u8()?, body.prefixed()?, body.u32()?);
        let value = body.octets(len as usize)?;
        if is_there == 1 {
            records.insert(key.into(), SecretBytes::new(value));
        } else {
            records.remove(key);
        }
    }
    Some(())
}

/// Zeros before the head of a frame, so that it does not lie across two sectors.
const fn padding(at: u64) -> usize {
    let left = SECTOR - (at % SECTOR as u64) as usize;
    if left < HEAD_LEN { left } else { 0 }
}

const HEAD_LEN: usize = 8 + Seal::TAG_LEN;
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
