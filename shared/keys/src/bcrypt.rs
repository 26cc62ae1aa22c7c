//! bcrypt (Provos and Mazières, "A Future-Adaptable Password Scheme", 1999), of the Blowfish that RustCrypto has.
//!
//! Only to compare with hashes that other systems made; nothing new is hashed with it.

use blowfish::Blowfish;

/// The bytes of a hash. The last of the 24 that are computed has never been a part of it.
pub(crate) const HASH_LEN: usize = 23;

/// The bytes of a salt.
pub(crate) const SALT_LEN: usize = 16;

/// Hashes a text of at most 71 bytes and without NUL, for which `2a`, `2b` and `2y` are the same. Takes 2^`cost` rounds.
pub(crate) fn hash(cost: u8, salt: &[u8; SALT_LEN], text: &[u8]) -> [u8; HASH_LEN] {
    let key = [text, &[0]].concat();
    let mut state = Blowfish::bc_init_state();
    state.salted_expand_key(salt, &key);
    for _ in 0..1_u64 << cost {
        state.bc_expand_key(&key);
        state.bc_expand_key(salt);
    }
    let mut whole = [0; 24];
    for (part, plain) in whole.chunks_exact_mut(8).zip(PLAIN) {
        let [left, right] = (0..64).fold(plain, |block, _| state.bc_encrypt(block));
        part[..4].copy_from_slice(&left.to_be_bytes());
        part[4..].copy_from_slice(&right.to_be_bytes());
    }
    let mut hash = [0; HASH_LEN];
    hash.copy_from_slice(&whole[..HASH_LEN]);
    hash
}

/// "OrpheanBeholderScryDoubt" as three blocks.
const PLAIN: [[u32; 2]; 3] =
    [[0x4f72_7068, 0x6561_6e42], [0x6568_6f6c, 0x6465_7253], [0x6372_7944, 0x6f75_6274]];
