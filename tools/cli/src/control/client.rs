//! Clients on the roster.

use mcast_srtp::{
    keys::{Muk, MukId},
    keyserver::Reach,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::user_key::{self, FieldFault, GbaInputs, GivenMuk};

/// A client to put on the roster: its MUK, as it is or by GBA, and how it is reached.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) muk: Option<GivenMukBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gba: Option<GbaBody>,
    /// `sdp`, or the address for MSK messages; port 2269 unless another is given.
    #[schema(example = "192.0.2.7:2269")]
    pub(crate) reach: String,
}

/// A MUK after a new bootstrapping: as it is, or by GBA.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MukBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) muk: Option<GivenMukBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gba: Option<GbaBody>,
}

/// Another way to reach a client.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReachBody {
    /// `sdp`, or the address for MSK messages; port 2269 unless another is given.
    #[schema(example = "sdp")]
    pub(crate) reach: String,
}

/// A MUK as it is.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GivenMukBody {
    /// FQDN of the key server (NAF).
    #[schema(example = "bmsc.example")]
    pub(crate) idi: String,
    /// The client's B-TID.
    #[schema(example = "user@bsf.example")]
    pub(crate) idr: String,
    /// 64 hex digits.
    #[schema(value_type = String, pattern = "^[0-9A-Fa-f]{64}$")]
    pub(crate) key: Zeroizing<String>,
}

/// The inputs of GBA that a MUK is derived from (TS 33.220).
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GbaBody {
    /// `me` (GBA_ME) or `u` (GBA_U).
    #[schema(example = "me")]
    pub(crate) variant: String,
    /// 32 hex digits.
    #[schema(value_type = String, pattern = "^[0-9A-Fa-f]{32}$")]
    pub(crate) ck: Zeroizing<String>,
    /// 32 hex digits.
    #[schema(value_type = String, pattern = "^[0-9A-Fa-f]{32}$")]
    pub(crate) ik: Zeroizing<String>,
    /// 32 hex digits.
    #[schema(value_type = String, pattern = "^[0-9A-Fa-f]{32}$")]
    pub(crate) rand: Zeroizing<String>,
    #[schema(example = "user@ims.example")]
    pub(crate) impi: String,
    /// FQDN of the key server, which is also IDi.
    #[schema(example = "bmsc.example")]
    pub(crate) naf: String,
    /// The client's B-TID.
    #[schema(example = "user@bsf.example")]
    pub(crate) idr: String,
}

impl ClientBody {
    /// Key and way, checked.
    ///
    /// # Errors
    /// The field that cannot be read.
    pub(crate) fn read(&self) -> Result<(MukId, Muk, Reach), FieldFault> {
        let (id, muk) = read(self.muk.as_ref(), self.gba.as_ref())?;
        Ok((id, muk, reach(&self.reach)?))
    }
}

impl MukBody {
    /// The key, checked.
    ///
    /// # Errors
    /// The field that cannot be read.
    pub(crate) fn read(&self) -> Result<(MukId, Muk), FieldFault> {
        read(self.muk.as_ref(), self.gba.as_ref())
    }
}

impl ReachBody {
    /// The way, checked.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(&self) -> Result<Reach, FieldFault> {
        reach(&self.reach)
    }
}

fn reach(text: &str) -> Result<Reach, FieldFault> {
    user_key::reach(text).map_err(|what| FieldFault::new("reach", what))
}

fn read(muk: Option<&GivenMukBody>, gba: Option<&GbaBody>) -> Result<(MukId, Muk), FieldFault> {
    match (muk, gba) {
        (Some(GivenMukBody { idi, idr, key }), None) => GivenMuk { idi, idr, key }.read(),
        (None, Some(GbaBody { variant, ck, ik, rand, impi, naf, idr })) => {
            GbaInputs { variant, ck, ik, rand, impi, naf, idr }.derive()
        }
        _ => Err(FieldFault::new("muk", "give either muk or gba")),
    }
}

/// A client as the server knows it, without its key.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct ClientView {
    /// Its name.
    pub(crate) client: String,
    /// Of its MUK.
    pub(crate) idi: String,
    /// Of its MUK.
    pub(crate) idr: String,
    /// `sdp` or an address.
    pub(crate) reach: String,
    /// The last counter used under its MUK, 0 if there is none.
    pub(crate) last_counter: u32,
    /// The channels it is a member of.
    pub(crate) channels: Vec<String>,
}

/// The clients on the roster, by name.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Clients {
    pub(crate) clients: Vec<ClientView>,
}
