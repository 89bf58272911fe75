//! Lanes: the reasons to read a window.

/// Why a window is read. The order is the order of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// The newest day.
    Live,
    /// Young windows, read again.
    Rescan,
    /// Rows of young windows that are not final, asked for by id.
    Repoll,
    /// Windows whose rows are compared with the provider's count.
    Audit,
    /// Everything older, newest first.
    Backfill,
}

impl Lane {
    /// The word in the `lane` column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Rescan => "rescan",
            Self::Repoll => "repoll",
            Self::Audit => "audit",
            Self::Backfill => "backfill",
        }
    }

    /// The lane of a word in the `lane` column.
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Live,
            Self::Rescan,
            Self::Repoll,
            Self::Audit,
            Self::Backfill,
        ]
        .into_iter()
        .find(|lane| lane.as_str() == word)
    }

    /// Whether the lane fills gaps; the others recheck what is covered.
    pub const fn fills(self) -> bool {
        matches!(self, Self::Live | Self::Backfill)
    }
}
