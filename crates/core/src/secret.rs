//! The one type that holds secrets: wiped when dropped, printed as `[secret]`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// Secret bytes. `Debug` and `Display` print `[secret]`; the memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes; the caller must not copy them anywhere that outlives it unwiped.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, if they are UTF-8 (a PEM, a password).
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A secret as it stands in the store. All sealing and opening goes through `node::trust`; nothing else looks inside.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// How it is sealed.
    pub scheme: SealScheme,
    /// What `scheme` made of the secret.
    pub bytes: Secret,
}

/// How a [`Sealed`] was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SealScheme {
    /// Not sealed: whoever reads the store reads the secret.
    None,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({:?}, [secret])", self.scheme)
    }
}

#[derive(Serialize, Deserialize)]
struct SealedForm {
    scheme: SealScheme,
    data: Zeroizing<String>,
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data = Zeroizing::new(crate::encoding::base64(self.bytes.expose()));
        SealedForm { scheme: self.scheme, data }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = SealedForm::deserialize(deserializer)?;
        let bytes = crate::encoding::from_base64(&form.data).map_err(|_| serde::de::Error::custom("sealed data is not base64"))?;
        Ok(Self { scheme: form.scheme, bytes: Secret::new(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let secret = Secret::from("hunter2".to_owned());
        let sealed = Sealed { scheme: SealScheme::None, bytes: secret.clone() };
        assert_eq!(format!("{secret:?} {secret}"), "[secret] [secret]");
        assert!(!format!("{sealed:?}").contains("hunter2"));
    }

    #[test]
    fn sealed_values_survive_json() {
        let sealed = Sealed { scheme: SealScheme::None, bytes: Secret::new(vec![0, 255, 7]) };
        let json = serde_json::to_string(&sealed).expect("serialises");
        assert_eq!(serde_json::from_str::<Sealed>(&json).expect("parses"), sealed);
    }
}
