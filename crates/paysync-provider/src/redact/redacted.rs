//! The result of redacting an item.

use std::borrow::Cow;
use std::ops::AddAssign;

/// Number of members that one pass can extract.
pub const EXTRACTED: usize = 2;

/// An item that may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted<'a> {
    /// The text; borrowed if unchanged.
    pub text: Cow<'a, str>,
    /// Numbers of redactions.
    pub counts: RedactionCounts,
    /// The deepest nesting of objects and arrays; 0 for a scalar.
    pub depth: u32,
    /// The extracted values in their exact text, before redaction; of each key the last one at the top
    /// level.
    pub extracted: [Option<&'a str>; EXTRACTED],
    /// Whether the text has the structure of JSON. If not, card numbers are masked as in one long string
    /// and no member is removed.
    pub valid: bool,
}

/// Numbers of redactions, by kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RedactionCounts {
    /// Card numbers masked.
    pub cards: u64,
    /// Members dropped for every provider or for this one.
    pub keys: u64,
    /// Values masked by configured rules.
    pub masked: u64,
    /// Values hashed by configured rules.
    pub hashed: u64,
    /// Members dropped by configured rules.
    pub dropped: u64,
}

impl RedactionCounts {
    /// The counts with the values of the metric's label.
    pub const fn by_kind(&self) -> [(&'static str, u64); 5] {
        [
            ("card", self.cards),
            ("key", self.keys),
            ("mask", self.masked),
            ("hash", self.hashed),
            ("drop", self.dropped),
        ]
    }

    /// The sum of all kinds.
    pub fn total(&self) -> u64 {
        self.by_kind().iter().map(|(_, number)| number).sum()
    }
}

impl AddAssign for RedactionCounts {
    fn add_assign(&mut self, other: Self) {
        self.cards += other.cards;
        self.keys += other.keys;
        self.masked += other.masked;
        self.hashed += other.hashed;
        self.dropped += other.dropped;
    }
}
