//! Key material: erased on drop, never printed, never cloned by accident.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` octets of key material.
///
/// No `Clone`, `PartialEq` or serialisation on purpose: a copy of a key is a decision, and a
/// comparison must be constant time.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes the octets over. The caller's copy, if it keeps one, is its own to erase.
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// The octets, for a transform.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

/// Key material whose length is known only at run time: an MSK of 16 to 32 octets, a master key.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    /// Copies the octets into an allocation that is erased on drop.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Fresh key material: `len` octets that `random` writes in place, with no copy elsewhere.
    #[must_use]
    pub fn fresh(len: usize, random: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut bytes = vec![0; len].into_boxed_slice();
        random(&mut bytes);
        Self(bytes)
    }

    /// The octets, for a transform.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in octets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no octet at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Constant-time comparison.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(&*self.0, &*other.0).into()
    }

    /// A deliberate second copy, erased on its own.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes<{}>(..)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_names_the_length_and_nothing_else() {
        assert_eq!(format!("{:?}", Secret::new([0xab; 3])), "Secret<3>(..)");
        assert_eq!(format!("{:?}", SecretBytes::new(&[0xab; 16])), "SecretBytes<16>(..)");
    }

    #[test]
    fn fresh_material_is_what_the_source_wrote() {
        let key = SecretBytes::fresh(3, &mut |out| out.fill(7));
        assert_eq!(key.expose(), [7; 3]);
    }

    #[test]
    fn comparison_sees_length_and_content() {
        let a = SecretBytes::new(&[1, 2, 3]);
        assert!(a.same_as(&a.duplicate()));
        assert!(!a.same_as(&SecretBytes::new(&[1, 2, 4])));
        assert!(!a.same_as(&SecretBytes::new(&[1, 2])));
    }
}
