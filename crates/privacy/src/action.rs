//! What is done to a value.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is done to a value before it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is kept as it travelled.
    Keep,
    /// It is not kept; its place stays, empty or `null`.
    Drop,
    /// A `*` stands for each of its characters.
    Mask,
    /// A keyed pseudonym stands for it, `[REDACTED len=n h=…]`: equal values have equal pseudonyms, and nobody without the
    /// key finds the value by trying.
    Hmac,
    /// It is sealed under the key of the person whom the call is about, `[ENCRYPTED k=… v=…]`, and gone with that key.
    Encrypt,
}

/// All actions, in the order in which they are told.
pub(crate) const ACTIONS: [(Action, &str); 5] = [
    (Action::Keep, "keep"),
    (Action::Drop, "drop"),
    (Action::Mask, "mask"),
    (Action::Hmac, "hmac"),
    (Action::Encrypt, "encrypt"),
];

impl Action {
    /// Whether a secret is needed for it.
    #[must_use]
    pub fn needs_key(self) -> bool {
        matches!(self, Self::Hmac | Self::Encrypt)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = ACTIONS.iter().find(|(action, _)| action == self).map_or("", |(_, word)| word);
        f.write_str(word)
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ACTIONS
            .iter()
            .find(|(_, word)| *word == text)
            .map(|(action, _)| *action)
            .ok_or_else(|| format!("{text:?} is no action: keep, drop, mask, hmac or encrypt"))
    }
}
