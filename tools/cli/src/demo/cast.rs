//! The made-up subscribers of the demo, from CK and IK to MUK: the whole key ladder runs.

use mcast_srtp::{
    keys::{
        Muk, MukId,
        gba::{Bootstrapped, Variant},
    },
    secret::Secret,
};

/// Name of the key server: the NAF of the bootstrapping, and IDi.
const SERVER: &str = "bmsc.example";

/// A subscriber.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) name: &'static str,
    variant: Variant,
    ck: Secret<16>,
    ik: Secret<16>,
    rand: [u8; 16],
}

impl Subscriber {
    /// The subscribers c1, c2 and c3; the last one will be expelled.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(super) fn cast() -> Result<[Self; 3], getrandom::Error> {
        Ok([
            Self::new("c1", Variant::Me)?,
            Self::new("c2", Variant::U)?,
            Self::new("c3", Variant::Me)?,
        ])
    }

    fn new(name: &'static str, variant: Variant) -> Result<Self, getrandom::Error> {
        let mut drawn = [[0; 16]; 3];
        drawn.iter_mut().try_for_each(|octets| getrandom::fill(octets))?;
        let [ck, ik, rand] = drawn;
        Ok(Self { name, variant, ck: Secret::new(ck), ik: Secret::new(ik), rand })
    }

    /// The identities that select the MUK.
    pub(super) fn muk_id(&self) -> MukId {
        MukId { idi: SERVER.to_owned(), idr: format!("{}@bsf.example", self.name) }
    }

    /// The MUK. Server and client each derive it, from what the bootstrapping has given to both.
    pub(super) fn muk(&self) -> Muk {
        let bootstrapped = Bootstrapped {
            ck: &self.ck,
            ik: &self.ik,
            rand: self.rand,
            impi: &format!("{}@ims.example", self.name),
            naf: SERVER,
        };
        bootstrapped.user_keys(self.variant).muk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_derive_the_same_muk_and_no_two_clients_share_one() {
        let [c1, c2, c3] = Subscriber::cast().unwrap();
        assert_eq!(c1.muk().0.expose(), c1.muk().0.expose());
        assert_ne!(c1.muk().0.expose(), c2.muk().0.expose());
        assert_ne!(c1.muk().0.expose(), c3.muk().0.expose());
    }
}
