//! The single pass over an item's JSON text.

use std::borrow::Cow;

use super::cards::{Check, MIN_DIGITS, mask};
use super::keys::{DroppedKeys, unescaped};
use super::redacted::{EXTRACTED, Redacted, RedactionCounts};
use super::rules::{Action, PartialMatches, Rules, Span};
use super::strings::{Escape, may_contain_card, string_end};
use crate::spec::Redaction;

/// The tokens that the grammar allows next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
}

/// An open object or array.
#[derive(Clone, Copy)]
struct Frame {
    is_array: bool,
    /// The span, without quotes, of the key of the current value; in an array, of the array's key.
    key: (usize, usize),
    /// Whether a member was written.
    kept: bool,
    /// Position of the last comma.
    comma: usize,
    /// The rules that apply inside it.
    rules: Span,
}

/// A member being removed or replaced: its value is skipped.
#[derive(Clone, Copy)]
struct Removal {
    /// Number of open frames at its key.
    level: usize,
    /// Start of the removed text: after the colon if the key stays.
    from: usize,
    cause: Cause,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    DroppedKey,
    Rule(Action),
}

impl Removal {
    /// Whether only the value is replaced.
    fn keeps_key(self) -> bool {
        !matches!(self.cause, Cause::DroppedKey | Cause::Rule(Action::Drop))
    }
}

/// A member to extract whose value is being read.
#[derive(Clone, Copy)]
struct Extraction {
    /// Index among the keys to extract.
    index: usize,
    /// Start of its value, or of the blanks before it.
    from: usize,
}

/// The pass over one item.
pub(super) struct Scan<'a, 'r> {
    item: &'a str,
    spec: &'r Redaction,
    rules: &'r Rules,
    matches: PartialMatches<'r>,
    keys: [&'r str; EXTRACTED],
    extraction: Option<Extraction>,
    extracted: [Option<&'a str>; EXTRACTED],
    dropped_keys: DroppedKeys,
    at: usize,
    frames: Vec<Frame>,
    removal: Option<Removal>,
    out: String,
    /// Up to where the item is copied to `out` or left out.
    copied: usize,
    counts: RedactionCounts,
    pub(super) depth: u32,
}

impl<'a, 'r> Scan<'a, 'r> {
    pub(super) fn new(
        item: &'a str,
        spec: &'r Redaction,
        rules: &'r Rules,
        keys: [&'r str; EXTRACTED],
    ) -> Self {
        Self {
            item,
            spec,
            rules,
            matches: PartialMatches::new(rules),
            keys,
            extraction: None,
            extracted: [None; EXTRACTED],
            dropped_keys: DroppedKeys::new(spec.dropped),
            at: 0,
            frames: Vec::with_capacity(8),
            removal: None,
            out: String::new(),
            copied: 0,
            counts: RedactionCounts::default(),
            depth: 0,
        }
    }

    /// Reads the whole text; none if its structure is not JSON.
    pub(super) fn run(&mut self) -> Option<()> {
        let mut expect = Expect::Value;
        loop {
            let Some(byte) = self.skip_blanks() else {
                return (expect == Expect::CommaOrEnd && self.frames.is_empty()).then_some(());
            };
            expect = match (expect, byte) {
                (Expect::Value | Expect::ValueOrEnd, b'{') => self.open(false),
                (Expect::Value | Expect::ValueOrEnd, b'[') => self.open(true),
                (Expect::Value | Expect::ValueOrEnd, b'"') => self.string()?,
                (Expect::ValueOrEnd | Expect::CommaOrEnd, b']') => self.close(true)?,
                (Expect::Value | Expect::ValueOrEnd, _) => self.scalar(byte)?,
                (Expect::Key | Expect::KeyOrEnd, b'"') => self.key()?,
                (Expect::KeyOrEnd | Expect::CommaOrEnd, b'}') => self.close(false)?,
                (Expect::CommaOrEnd, b',') => self.comma()?,
                (Expect::Key | Expect::KeyOrEnd | Expect::CommaOrEnd, _) => return None,
            };
        }
    }

    pub(super) fn finish(mut self) -> Redacted<'a> {
        let text = if self.copied == 0 {
            Cow::Borrowed(self.item)
        } else {
            self.out
                .push_str(self.item.get(self.copied..).unwrap_or_default());
            Cow::Owned(self.out)
        };
        Redacted {
            text,
            counts: self.counts,
            depth: self.depth,
            extracted: self.extracted,
            valid: true,
        }
    }

    fn skip_blanks(&mut self) -> Option<u8> {
        loop {
            match *self.item.as_bytes().get(self.at)? {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn open(&mut self, is_array: bool) -> Expect {
        self.at += 1;
        let key = self.frames.last().filter(|_| is_array);
        let rules = match self.frames.last() {
            Some(list) if list.is_array => list.rules,
            Some(object) => self.matches.after(object.rules),
            None => self.matches.all(),
        };
        self.frames.push(Frame {
            is_array,
            key: key.map_or((0, 0), |frame| frame.key),
            kept: false,
            comma: 0,
            rules,
        });
        let depth = u32::try_from(self.frames.len()).unwrap_or(u32::MAX);
        self.depth = self.depth.max(depth);
        if is_array {
            Expect::ValueOrEnd
        } else {
            Expect::KeyOrEnd
        }
    }

    fn close(&mut self, is_array: bool) -> Option<Expect> {
        self.frames.pop_if(|frame| frame.is_array == is_array)?;
        self.at += 1;
        Some(self.after_value())
    }

    fn comma(&mut self) -> Option<Expect> {
        let at = self.at;
        self.at += 1;
        let frame = self.frames.last_mut()?;
        frame.comma = at;
        if frame.is_array {
            return Some(Expect::Value);
        }
        if !frame.kept && self.removal.is_none() {
            // All members so far were removed: their commas are removed too.
            self.replace(at, at + 1, "");
        }
        Some(Expect::Key)
    }

    /// Ends a value, and the removal of its member.
    fn after_value(&mut self) -> Expect {
        if self.frames.len() == 1
            && let Some(Extraction { index, from }) = self.extraction.take()
            && let Some(value) = self.extracted.get_mut(index)
        {
            *value = self.item.get(from..self.at).map(str::trim);
        }
        if let Some(removal) = self.removal {
            if removal.level == self.frames.len() {
                self.removal = None;
                self.remove(removal);
            }
        } else if let Some(frame) = self.frames.last_mut() {
            frame.kept = true;
        }
        Expect::CommaOrEnd
    }

    fn key(&mut self) -> Option<Expect> {
        let quote = self.at;
        let (end, escape) = string_end(self.item.as_bytes(), quote + 1)?;
        let key = self.item.as_bytes().get(quote + 1..end)?;
        self.at = end + 1;
        let level = self.frames.len();
        let frame = self.frames.last_mut()?;
        frame.key = (quote + 1, end);
        let start = if frame.kept { frame.comma } else { quote };
        if self.removal.is_none() {
            let cause = self.removal_cause(quote + 1, end, escape);
            self.removal = cause.map(|cause| Removal {
                level,
                from: start,
                cause,
            });
            if self.removal.is_none_or(Removal::keeps_key) && may_contain_card(key, escape) {
                self.mask_string(quote + 1, end, Check::Luhn);
            }
        }
        if self.skip_blanks()? != b':' {
            return None;
        }
        self.at += 1;
        if let Some(removal) = &mut self.removal
            && removal.level == level
            && removal.keeps_key()
        {
            removal.from = self.at;
        }
        if level == 1
            && let Some(index) = self.keys.iter().position(|it| it.as_bytes() == key)
        {
            let from = self.at;
            self.extraction = Some(Extraction { index, from });
        }
        Some(Expect::Value)
    }

    /// Why the member with this key is removed; none if it is not.
    fn removal_cause(&mut self, start: usize, end: usize, escape: Escape) -> Option<Cause> {
        let key = self.item.get(start..end)?;
        let may_be_dropped =
            escape != Escape::None || self.dropped_keys.may_contain(key.as_bytes());
        if !may_be_dropped && self.matches.is_empty() {
            return None;
        }
        let key = unescaped(key);
        if may_be_dropped && self.dropped_keys.contains(&key) {
            return Some(Cause::DroppedKey);
        }
        let rules = self.frames.last()?.rules;
        self.matches.descend(rules, &key).map(Cause::Rule)
    }

    /// Removes the member whose value ends here, or replaces its value.
    fn remove(&mut self, Removal { from, cause, .. }: Removal) {
        let action = match cause {
            Cause::Rule(action @ (Action::Mask | Action::Hash)) => action,
            Cause::Rule(Action::Drop) => {
                self.counts.dropped += 1;
                return self.replace(from, self.at, "");
            }
            Cause::DroppedKey => {
                self.counts.keys += 1;
                return self.replace(from, self.at, "");
            }
        };
        if let Some(frame) = self.frames.last_mut() {
            frame.kept = true;
        }
        let value = self.item.get(from..self.at).unwrap_or_default();
        let value = value.trim_start();
        if let Some(replacement) = self.rules.replacement(value, action) {
            self.counts.hashed += u64::from(action == Action::Hash);
            self.counts.masked += u64::from(action == Action::Mask);
            self.replace(self.at - value.len(), self.at, &replacement);
        }
    }

    fn string(&mut self) -> Option<Expect> {
        let start = self.at + 1;
        let (end, escape) = string_end(self.item.as_bytes(), start)?;
        self.at = end + 1;
        if self.removal.is_none()
            && may_contain_card(self.item.as_bytes().get(start..end)?, escape)
            && let Some(check) = self.card_check()
        {
            self.mask_string(start, end, check);
        }
        Some(self.after_value())
    }

    fn scalar(&mut self, first: u8) -> Option<Expect> {
        let start = self.at;
        let rest = self.item.as_bytes().get(start..)?;
        let length = match first {
            b'n' if rest.first_chunk() == Some(b"null") => 4,
            b't' if rest.first_chunk() == Some(b"true") => 4,
            b'f' if rest.first_chunk() == Some(b"false") => 5,
            b'-' | b'0'..=b'9' => {
                let is_part =
                    |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                rest.iter().take_while(is_part).count()
            }
            _ => return None,
        };
        self.at += length;
        if length >= MIN_DIGITS && self.removal.is_none() {
            self.mask_number(start);
        }
        Some(self.after_value())
    }

    /// How card numbers in the current value are recognized, by its key; none if its digits are exact.
    fn card_check(&self) -> Option<Check> {
        let Some(&Frame {
            key: (start, end), ..
        }) = self.frames.last()
        else {
            return Some(Check::Luhn);
        };
        let key = unescaped(self.item.get(start..end).unwrap_or_default());
        if self.spec.cards.contains(&key.as_ref()) {
            Some(Check::Length)
        } else if self.spec.exact.contains(&key.as_ref()) {
            None
        } else {
            Some(Check::Luhn)
        }
    }

    fn mask_string(&mut self, start: usize, end: usize, check: Check) {
        let text = self.item.get(start..end);
        if let Some(masked) = text.and_then(|text| mask(text, check)) {
            self.counts.cards += u64::from(masked.numbers);
            self.replace(start, end, &masked.text);
        }
    }

    /// Masks a number whose integer part contains a card number; it becomes a string.
    fn mask_number(&mut self, start: usize) {
        let Some(token) = self.item.get(start..self.at) else {
            return;
        };
        let whole = token.split(['.', 'e', 'E']).next().unwrap_or_default();
        if whole.len() < MIN_DIGITS {
            return;
        }
        if let Some(check) = self.card_check()
            && mask(whole, check).is_some()
            && let Some(masked) = mask(token, check)
        {
            self.counts.cards += u64::from(masked.numbers);
            self.replace(start, self.at, &format!("\"{}\"", masked.text));
        }
    }

    fn replace(&mut self, start: usize, end: usize, with: &str) {
        if self.copied == 0 {
            self.out.reserve(self.item.len());
        }
        self.out
            .push_str(self.item.get(self.copied..start).unwrap_or_default());
        self.out.push_str(with);
        self.copied = end;
    }
}
