//! What can go wrong when something is opened or verified. No variant carries a key, a token or a plain text.

/// The errors of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes were not sealed by this crate, or by a later version of it.
    #[error("not sealed bytes of a known format")]
    NotSealed,
    /// The bytes were sealed under another master key.
    #[error("sealed under another master key (key id {sealed_under}, ours is {ours})")]
    OtherMaster {
        /// Key id in the sealed bytes.
        sealed_under: u8,
        /// Key id of this process.
        ours: u8,
    },
    /// The sealed bytes or their context were altered.
    #[error("sealed bytes do not belong to this context or were altered")]
    Tampered,
    /// A public key is not a JWK for ES256.
    #[error("public key is not a P-256 JWK: {0}")]
    BadJwk(&'static str),
    /// A JWS is not of the one form that is accepted.
    #[error("malformed JWS: {0}")]
    MalformedJws(&'static str),
    /// None of the given public keys is the one that the signature names.
    #[error("signed with a key that is not among the given public keys")]
    UnknownSigner,
    /// The signature does not fit the bytes.
    #[error("signature does not match")]
    BadSignature,
}
