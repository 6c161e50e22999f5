//! What a broadcaster tells the key server, in a report of its own or in answer to a document.

use mcast_srtp::{
    ids::{MskId, Roc, Ssrc},
    keys::CryptoSession,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::msk_id;
use crate::user_key::FieldFault;

/// How a broadcaster is with a channel.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ReportBody {
    /// The version of the channel's document that it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) holds: Option<u64>,
    /// The MSK that it makes MTKs under.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "00010001")]
    pub(crate) msk_id: Option<String>,
    /// MTK IDs left to it under that MSK, if they are few: asks for an update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mtk_ids_left: Option<u16>,
    /// The streams on the air, for clients that join late.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) streams: Vec<StreamBody>,
}

/// A stream on the air.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamBody {
    /// 8 hex digits.
    #[schema(example = "5e450a11")]
    pub(crate) ssrc: String,
    /// Its rollover counter.
    pub(crate) roc: u32,
}

impl ReportBody {
    /// The MSK, checked.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn msk_id(&self) -> Result<Option<MskId>, FieldFault> {
        let read = |text: &String| msk_id(text).map_err(|what| FieldFault::new("msk_id", what));
        self.msk_id.as_ref().map(read).transpose()
    }

    /// The streams, checked.
    ///
    /// # Errors
    /// What is wrong with one.
    pub(crate) fn sessions(&self) -> Result<Vec<CryptoSession>, FieldFault> {
        let read = |stream: &StreamBody| match u32::from_str_radix(&stream.ssrc, 16) {
            Ok(ssrc) if stream.ssrc.len() == 8 => {
                Ok(CryptoSession { policy: 0, ssrc: Ssrc(ssrc), roc: Roc(stream.roc) })
            }
            _ => Err(FieldFault::new("ssrc", "an SSRC is of 8 hex digits, for example 5e450a11")),
        };
        self.streams.iter().map(read).collect()
    }
}
