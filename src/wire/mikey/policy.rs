//! Security policy payload SP (RFC 3830 §6.10).

use super::{
    code::{ProtType, SrtpParam},
    reader::{Reader, Seen},
};
use crate::Reject;

/// Parameters of one policy, as numbers under their type.
#[derive(Clone, Copy, Debug)]
pub struct SecurityPolicy<'a> {
    /// Number by which the crypto session map refers to the policy.
    pub number: u8,
    /// Protocol the parameters are for.
    pub prot_type: ProtType,
    params: &'a [u8],
}

impl<'a> SecurityPolicy<'a> {
    /// Reads what follows the `next payload` octet.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Reject> {
        let number = reader.u8()?;
        let prot_type = ProtType(reader.u8()?);
        let params = reader.prefixed_u16()?;
        let mut rest = Reader::new(params);
        let mut seen = Seen::default();
        while !rest.is_empty() {
            let param = PolicyParam::read(&mut rest)?;
            seen.first_time(param.kind.0)?;
            let known = prot_type == ProtType::SRTP && param.kind.name().is_some();
            if known && param.number().is_none() {
                return Err(Reject::MikeyMalformed);
            }
        }
        Ok(Self { number, prot_type, params })
    }

    /// The parameters in the order of the message.
    pub fn params(&self) -> impl Iterator<Item = PolicyParam<'a>> + use<'a> {
        let mut reader = Reader::new(self.params);
        std::iter::from_fn(move || PolicyParam::read(&mut reader).ok())
    }

    /// The number a parameter has, or `None` if it is absent.
    #[must_use]
    pub fn param(&self, kind: SrtpParam) -> Option<u32> {
        self.params().find(|param| param.kind == kind)?.number()
    }
}

/// One parameter of a policy.
#[derive(Clone, Copy, Debug)]
pub struct PolicyParam<'a> {
    /// Which parameter; named for SRTP policies.
    pub kind: SrtpParam,
    /// Its octets.
    pub value: &'a [u8],
}

impl<'a> PolicyParam<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Reject> {
        Ok(Self { kind: SrtpParam(reader.u8()?), value: reader.prefixed_u8()? })
    }

    /// The value as a number; `None` if it is not 1 to 4 octets wide.
    ///
    /// The width is not written in RFC 3830 §6.10.1: one octet is usual, up to four are accepted.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        let fits = (1..=4).contains(&self.value.len());
        fits.then(|| self.value.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(params: &[u8]) -> Result<SecurityPolicy<'_>, Reject> {
        let octets: Vec<u8> = [&[7, 0, 0, params.len() as u8], params].concat();
        SecurityPolicy::read(&mut Reader::new(octets.leak()))
    }

    #[test]
    fn parameters_of_one_to_four_octets_are_numbers() {
        let policy = read(&[1, 1, 16, 13, 2, 1, 0, 6, 4, 1, 0, 0, 0]).unwrap();
        assert_eq!(policy.number, 7);
        assert_eq!(policy.param(SrtpParam::ENCRYPTION_KEY_LEN), Some(16));
        assert_eq!(policy.param(SrtpParam::ROC_RATE), Some(256));
        assert_eq!(policy.param(SrtpParam::KDR), Some(1 << 24));
        assert_eq!(policy.param(SrtpParam::AUTH_ALG), None);
    }

    #[test]
    fn empty_overlong_cut_and_repeated_parameters_are_refused() {
        for params in
            [&[1, 0][..], &[1, 5, 0, 0, 0, 0, 16], &[1, 2, 16], &[1], &[1, 1, 16, 1, 1, 16]]
        {
            assert_eq!(read(params).unwrap_err(), Reject::MikeyMalformed, "{params:?}");
        }
    }
}
