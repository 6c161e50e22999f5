//! Code points of MIKEY with their names.
//!
//! Each is a newtype over the octet on the wire, so that a value nobody has assigned can still be
//! shown. `Display` prints the name and the number.

use std::fmt;

macro_rules! code_points {
    ($($(#[$meta:meta])+ $name:ident { $($point:ident = $value:literal $text:literal,)+ })+) => {$(
        $(#[$meta])+
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub u8);

        impl $name {
            $(#[doc = concat!($text, ".")] pub const $point: Self = Self($value);)+

            /// Name of the code point, `None` for one not in the tables.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($value => Some($text),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} ({})", self.name().unwrap_or("unassigned"), self.0)
            }
        }
    )+};
}

code_points! {
    /// What kind of message this is (RFC 3830 §6.1).
    DataType {
        PRE_SHARED = 0 "pre-shared key, initiator",
        PRE_SHARED_VERIFICATION = 1 "pre-shared key, verification",
        PUBLIC_KEY = 2 "public key, initiator",
        PUBLIC_KEY_VERIFICATION = 3 "public key, verification",
        DH_INIT = 4 "Diffie-Hellman, initiator",
        DH_RESPONSE = 5 "Diffie-Hellman, responder",
        ERROR = 6 "error",
        DHHMAC_INIT = 7 "DHHMAC, initiator",
        DHHMAC_RESPONSE = 8 "DHHMAC, responder",
        RSA_R_INIT = 9 "RSA-R, initiator",
        RSA_R_RESPONSE = 10 "RSA-R, responder",
        TICKET_REQUEST_PSK = 11 "ticket request, pre-shared key",
        TICKET_REQUEST_PK = 12 "ticket request, public key",
        TICKET_REQUEST_RESPONSE = 13 "ticket request, response",
        TICKET_TRANSFER_INIT = 14 "ticket transfer, initiator",
        TICKET_TRANSFER_RESPONSE = 15 "ticket transfer, response",
        TICKET_RESOLVE_PSK = 16 "ticket resolve, pre-shared key",
        TICKET_RESOLVE_PK = 17 "ticket resolve, public key",
        TICKET_RESOLVE_RESPONSE = 18 "ticket resolve, response",
        IBAKE_REQUEST_PSK = 19 "IBAKE key request, pre-shared key",
        IBAKE_REQUEST_PKE = 20 "IBAKE key request, public key",
        IBAKE_REQUEST_RESPONSE = 21 "IBAKE key request, response",
        IBAKE_I_MESSAGE_1 = 22 "IBAKE I_MESSAGE_1",
        IBAKE_R_MESSAGE_1 = 23 "IBAKE R_MESSAGE_1",
        IBAKE_I_MESSAGE_2 = 24 "IBAKE I_MESSAGE_2",
        IBAKE_R_MESSAGE_2 = 25 "IBAKE R_MESSAGE_2",
        SAKKE = 26 "SAKKE",
        MAP_UPDATE = 27 "CS ID map update",
    }

    /// Pseudo-random function of the key derivation, seven bits (RFC 3830 §6.1, RFC 6043 §6.1).
    PrfFunc {
        MIKEY_1 = 0 "MIKEY-1",
        HMAC_SHA_256 = 1 "PRF-HMAC-SHA-256",
    }

    /// Kind of the crypto session map (RFC 3830 §6.1.1, RFC 4563 §5, RFC 6043 §6.1.1).
    MapType {
        SRTP_ID = 0 "SRTP-ID",
        EMPTY = 1 "empty",
        GENERIC_ID = 2 "GENERIC-ID",
    }

    /// `next payload` (RFC 3830 §6.1).
    PayloadType {
        LAST = 0 "last",
        KEMAC = 1 "KEMAC",
        PKE = 2 "PKE",
        DH = 3 "DH",
        SIGN = 4 "SIGN",
        T = 5 "T",
        ID = 6 "ID",
        CERT = 7 "CERT",
        CHASH = 8 "CHASH",
        V = 9 "V",
        SP = 10 "SP",
        RAND = 11 "RAND",
        ERR = 12 "ERR",
        TR = 13 "TR",
        IDR = 14 "IDR",
        RANDR = 15 "RANDR",
        TP = 16 "TP",
        TICKET = 17 "TICKET",
        KEY_DATA = 20 "key data",
        EXT = 21 "general extension",
        ESK = 22 "ESK",
        SK = 23 "SK",
        ECCPT = 24 "ECCPT",
        IBAKE_25 = 25 "IBAKE payload 25",
        SAKKE = 26 "SAKKE",
    }

    /// Encryption of the key data in KEMAC (RFC 3830 §4.2.3, RFC 6043 §6.2).
    EncrAlg {
        NULL = 0 "NULL",
        AES_CM_128 = 1 "AES-CM-128",
        AES_KW_128 = 2 "AES-KW-128",
        AES_CM_256 = 3 "AES-CM-256",
    }

    /// MAC of KEMAC and authentication of V (RFC 3830 §4.2.4, RFC 6043 §6.2).
    MacAlg {
        NULL = 0 "NULL",
        HMAC_SHA_1_160 = 1 "HMAC-SHA-1-160",
        HMAC_SHA_256_256 = 2 "HMAC-SHA-256-256",
    }

    /// Kind of a key in KEMAC, four bits (RFC 3830 §6.13, RFC 6043 §6.2.1).
    KeyType {
        TGK = 0 "TGK",
        TGK_SALT = 1 "TGK+SALT",
        TEK = 2 "TEK",
        TEK_SALT = 3 "TEK+SALT",
        GTGK = 4 "GTGK",
        GTGK_SALT = 5 "GTGK+SALT",
        MPK = 6 "MPK",
    }

    /// How long a key is valid, four bits (RFC 3830 §6.13).
    KvType {
        NULL = 0 "null",
        SPI = 1 "SPI",
        INTERVAL = 2 "interval",
    }

    /// Kind of a timestamp (RFC 3830 §6.6, RFC 6043 §6.3).
    TsType {
        NTP_UTC = 0 "NTP-UTC",
        NTP = 1 "NTP",
        COUNTER = 2 "COUNTER",
        NTP_UTC_32 = 3 "NTP-UTC-32",
    }

    /// Kind of an identity (RFC 3830 §6.7, RFC 6043 §6.5).
    IdType {
        NAI = 0 "NAI",
        URI = 1 "URI",
        BYTES = 2 "byte string",
    }

    /// Kind of a certificate (RFC 3830 §6.7).
    CertType {
        X509 = 0 "X.509v3",
        X509_URL = 1 "X.509v3 URL",
        X509_SIGN = 2 "X.509v3 Sign",
        X509_ENCR = 3 "X.509v3 Encr",
    }

    /// Protocol that a security policy is for (RFC 3830 §6.10, RFC 4442).
    ProtType {
        SRTP = 0 "SRTP",
        TESLA = 1 "TESLA",
    }

    /// Parameter of an SRTP security policy (RFC 3830 §6.10.1, RFC 4771 §4, RFC 7714 §14.3).
    SrtpParam {
        ENCRYPTION_ALG = 0 "encryption algorithm",
        ENCRYPTION_KEY_LEN = 1 "session encryption key length",
        AUTH_ALG = 2 "authentication algorithm",
        AUTH_KEY_LEN = 3 "session authentication key length",
        SALT_LEN = 4 "session salt key length",
        PRF = 5 "SRTP PRF",
        KDR = 6 "key derivation rate",
        SRTP_ENCRYPTION = 7 "SRTP encryption",
        SRTCP_ENCRYPTION = 8 "SRTCP encryption",
        FEC_ORDER = 9 "sender's FEC order",
        SRTP_AUTH = 10 "SRTP authentication",
        TAG_LEN = 11 "authentication tag length",
        PREFIX_LEN = 12 "SRTP prefix length",
        ROC_RATE = 13 "ROC transmission rate",
        SRTP_AUTH_ALG = 14 "SRTP authentication algorithm",
        SRTCP_AUTH_ALG = 15 "SRTCP authentication algorithm",
        SRTP_AUTH_KEY_LEN = 16 "SRTP session authentication key length",
        SRTCP_AUTH_KEY_LEN = 17 "SRTCP session authentication key length",
        SRTP_TAG_LEN = 18 "SRTP authentication tag length",
        SRTCP_TAG_LEN = 19 "SRTCP authentication tag length",
        AEAD_TAG_LEN = 20 "AEAD authentication tag length",
    }

    /// Value of [`SrtpParam::ENCRYPTION_ALG`] (RFC 3830 §6.10.1, RFC 7714 §14.3).
    SrtpEncr {
        NULL = 0 "NULL",
        AES_CM = 1 "AES-CM",
        AES_F8 = 2 "AES-F8",
        SEED_CTR = 3 "SEED-CTR",
        SEED_CCM = 4 "SEED-CCM",
        SEED_GCM = 5 "SEED-GCM",
        AES_GCM = 6 "AES-GCM",
        ARIA_CTR = 7 "ARIA-CTR",
        ARIA_GCM = 8 "ARIA-GCM",
    }

    /// Value of [`SrtpParam::AUTH_ALG`] and its kin (RFC 3830 §6.10.1, RFC 4771 §4).
    SrtpAuth {
        NULL = 0 "NULL",
        HMAC_SHA_1 = 1 "HMAC-SHA-1",
        RCC_M1 = 2 "RCCm1",
        RCC_M2 = 3 "RCCm2",
        RCC_M3 = 4 "RCCm3",
    }

    /// Reason in an error payload (RFC 3830 §6.12, RFC 4738 §3.9.2, RFC 6043 §6).
    ErrorNo {
        AUTHENTICATION = 0 "authentication failure",
        TIMESTAMP = 1 "timestamp",
        PRF = 2 "PRF",
        MAC_ALG = 3 "MAC algorithm",
        ENCR_ALG = 4 "encryption algorithm",
        HASH = 5 "hash",
        DH_GROUP = 6 "DH group",
        ID_TYPE = 7 "ID type",
        CERTIFICATE = 8 "certificate",
        SP_TYPE = 9 "SP type",
        SP_PARAMETERS = 10 "SP parameters",
        DATA_TYPE = 11 "data type",
        UNSPECIFIED = 12 "unspecified",
        UNPARSEABLE = 13 "unparseable message",
        TICKET_TYPE = 14 "ticket type",
        TICKET_POLICY = 15 "ticket policy parameters",
    }

    /// Kind of a general extension (RFC 3830 §6.15 and the documents of the others).
    ExtType {
        VENDOR_ID = 0 "Vendor ID",
        SDP_IDS = 1 "SDP IDs",
        TESLA_I_KEY = 2 "TESLA I-Key",
        KEY_ID = 3 "Key ID",
        CSB_ID = 4 "CSB_ID",
        OMA_BCAST = 5 "OMA BCAST",
        SAKKE_TO_SELF = 6 "SAKKE-to-self",
        KEY_PARAMETERS = 7 "3GPP key parameters",
    }

    /// Kind of an identifier in the Key ID extension (RFC 4563 §4).
    KeyIdType {
        KEY_DOMAIN = 0 "MBMS Key Domain ID",
        MSK = 1 "MBMS Service Key ID",
        MTK = 2 "MBMS Traffic Key ID",
    }

    /// Subtype of the OMA BCAST extension (RFC 5410 §3).
    BcastSubtype {
        LTKM = 1 "LTKM",
        STKM = 2 "STKM",
        LTKM_REPORTING = 3 "LTKM reporting",
        PARENTAL_CONTROL = 4 "parental control",
    }

    /// Group of a DH payload (RFC 3830 §6.4).
    DhGroup {
        OAKLEY_5 = 0 "OAKLEY 5",
        OAKLEY_1 = 1 "OAKLEY 1",
        OAKLEY_2 = 2 "OAKLEY 2",
    }

    /// Hash of a CHASH payload (RFC 3830 §6.8).
    HashFunc {
        SHA_1 = 0 "SHA-1",
        MD5 = 1 "MD5",
    }

    /// Signature of a SIGN payload, four bits (RFC 3830 §6.5).
    SignType {
        RSA_PKCS1 = 0 "RSA PKCS#1 v1.5",
        RSA_PSS = 1 "RSA-PSS",
    }
}

impl MacAlg {
    /// Octets of the MAC, which no length field tells; `None` for an algorithm not known.
    #[must_use]
    pub const fn mac_len(self) -> Option<usize> {
        match self {
            Self::NULL => Some(0),
            Self::HMAC_SHA_1_160 => Some(20),
            Self::HMAC_SHA_256_256 => Some(32),
            _ => None,
        }
    }
}

impl KeyType {
    /// Whether a salt follows the key; `None` for a type not known.
    #[must_use]
    pub const fn has_salt(self) -> Option<bool> {
        match self {
            Self::TGK | Self::TEK | Self::GTGK | Self::MPK => Some(false),
            Self::TGK_SALT | Self::TEK_SALT | Self::GTGK_SALT => Some(true),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_point_prints_its_name_and_number() {
        assert_eq!(ExtType::OMA_BCAST.to_string(), "OMA BCAST (5)");
        assert_eq!(PayloadType(19).to_string(), "unassigned (19)");
    }
}
