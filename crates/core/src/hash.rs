//! Hashing: identities of values, and the even spreading that ranks and jitter need. Not for secrets.

use sha2::{Digest, Sha256};

/// SHA-256 as lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A number drawn evenly from the parts; the same parts give the same number on every machine and in every version.
pub fn draw(parts: &[&str]) -> u64 {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part.as_bytes());
    }
    let digest = sha.finalize();
    digest.iter().take(8).fold(0, |n, byte| (n << 8) | u64::from(*byte))
}

/// A fraction in `0.0..1.0` drawn from the parts.
pub fn draw_fraction(parts: &[&str]) -> f64 {
    (draw(parts) >> 11) as f64 / (1_u64 << 53) as f64
}
