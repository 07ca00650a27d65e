//! Private keys in PEM, as operators and other tools hand them over.
//!
//! Also holds: an account key is written as it was read.

use certfleet_acme::{AccountKey, csr_with_key, inspect_csr, spki_of_key};
use certfleet_core::secret::Secret;

/// Takes it for an account's key and for a certificate's.
pub fn read(data: &[u8]) -> bool {
    let _ = AccountKey::from_pkcs8(&Secret::new(data.to_vec()));
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let account = AccountKey::from_pem(text);
    if let Ok(key) = &account {
        let again = AccountKey::from_pem(key.to_pem().expose_text().expect("PEM is text"));
        assert_eq!(again.as_ref(), Ok(key));
    }
    let names = ["example.com".parse().expect("a name")];
    let (hash, csr) = (spki_of_key(&Secret::new(data.to_vec())), csr_with_key(text, &names));
    if let Ok(csr) = &csr {
        let facts = inspect_csr(csr).expect("a request that was made here");
        assert_eq!((facts.names.as_slice(), Ok(facts.key)), (names.as_slice(), hash));
    }
    account.is_ok() || csr.is_ok()
}
