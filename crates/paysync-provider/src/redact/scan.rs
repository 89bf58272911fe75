//! The pass over an item's JSON text.

use std::borrow::Cow;

use super::cards::{Rule, SHORTEST, cut};
use super::keys::{DroppedKeys, unescaped};
use super::rules::{Action, Rules, Span, UnderWay};
use super::strings::{Escape, may_hold_card, string_end};
use super::{MEMBERS, Redacted, Taken};
use crate::Redaction;

/// What may come next.
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
    /// Where the key stands that names the value being read, without its quotes; arrays have their own.
    key: (usize, usize),
    /// Whether a member was kept.
    kept: bool,
    /// Where the last comma stands.
    comma: usize,
    /// Which of the rules under way hold inside it.
    rules: Span,
}

/// A member being taken out: nothing inside it is looked at.
#[derive(Clone, Copy)]
struct Taking {
    /// Frames open at its key.
    level: usize,
    /// Where the cut starts; if the key stays, that is after its colon.
    from: usize,
    by: Why,
}

/// Why a member is taken out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It always is.
    Key,
    /// By a rule of the installation.
    Rule(Action),
}

impl Taking {
    /// Whether only the value goes.
    fn keeps_key(self) -> bool {
        !matches!(self.by, Why::Key | Why::Rule(Action::Drop))
    }
}

/// A member asked for, being read.
#[derive(Clone, Copy)]
struct Finding {
    place: usize,
    /// Where its value starts, or the blanks before it.
    from: usize,
}

/// The pass over one item.
pub(super) struct Scan<'a, 'r> {
    item: &'a str,
    spec: &'r Redaction,
    rules: &'r Rules,
    under_way: UnderWay<'r>,
    keys: [&'r str; MEMBERS],
    finding: Option<Finding>,
    members: [Option<&'a str>; MEMBERS],
    dropped_keys: DroppedKeys,
    at: usize,
    frames: Vec<Frame>,
    taking: Option<Taking>,
    out: String,
    /// How much of the item is in `out`, or left out of it.
    copied: usize,
    taken: Taken,
    pub(super) depth: u32,
}

impl<'a, 'r> Scan<'a, 'r> {
    pub(super) fn new(
        item: &'a str,
        spec: &'r Redaction,
        rules: &'r Rules,
        keys: [&'r str; MEMBERS],
    ) -> Self {
        Self {
            item,
            spec,
            rules,
            under_way: UnderWay::new(rules),
            keys,
            finding: None,
            members: [None; MEMBERS],
            dropped_keys: DroppedKeys::new(spec.dropped),
            at: 0,
            frames: Vec::with_capacity(8),
            taking: None,
            out: String::new(),
            copied: 0,
            taken: Taken::default(),
            depth: 0,
        }
    }

    /// Reads the whole text; `None` if it is not built like JSON.
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
            taken: self.taken,
            depth: self.depth,
            members: self.members,
            valid: true,
        }
    }

    fn byte(&self) -> Option<u8> {
        self.item.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) -> Option<u8> {
        loop {
            match self.byte()? {
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
            Some(object) => self.under_way.after(object.rules),
            None => self.under_way.all(),
        };
        self.frames.push(Frame {
            is_array,
            key: key.map_or((0, 0), |frame| frame.key),
            kept: false,
            comma: 0,
            rules,
        });
        self.depth = self
            .depth
            .max(u32::try_from(self.frames.len()).unwrap_or(u32::MAX));
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
        if !frame.kept && self.taking.is_none() {
            // All members so far were dropped: their commas go too.
            self.replace(at, at + 1, "");
        }
        Some(Expect::Key)
    }

    /// Ends a value, and its member if that is taken out.
    fn after_value(&mut self) -> Expect {
        if self.frames.len() == 1
            && let Some(Finding { place, from }) = self.finding.take()
            && let Some(member) = self.members.get_mut(place)
        {
            *member = self.item.get(from..self.at).map(str::trim);
        }
        if let Some(taking) = self.taking {
            if taking.level == self.frames.len() {
                self.taking = None;
                self.take_out(taking);
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
        if self.taking.is_none() {
            self.taking = self.why(quote + 1, end, escape).map(|by| Taking {
                level,
                from: start,
                by,
            });
            if self.taking.is_none_or(Taking::keeps_key) && may_hold_card(key, escape) {
                self.mask_string(quote + 1, end, Rule::Luhn);
            }
        }
        if self.skip_blanks()? != b':' {
            return None;
        }
        self.at += 1;
        if let Some(taking) = &mut self.taking
            && taking.level == level
            && taking.keeps_key()
        {
            taking.from = self.at;
        }
        if level == 1
            && let Some(place) = self.keys.iter().position(|asked| asked.as_bytes() == key)
        {
            let from = self.at;
            self.finding = Some(Finding { place, from });
        }
        Some(Expect::Value)
    }

    /// Why the member of this key is taken out, if it is.
    fn why(&mut self, start: usize, end: usize, escape: Escape) -> Option<Why> {
        let is_suspect = escape != Escape::None
            || self
                .dropped_keys
                .look_like(self.item.as_bytes().get(start..end)?);
        if !is_suspect && self.under_way.is_none() {
            return None;
        }
        let key = unescaped(self.item.get(start..end)?);
        if is_suspect && self.dropped_keys.contain(&key) {
            return Some(Why::Key);
        }
        let held = self.frames.last()?.rules;
        self.under_way.follow(held, &key).map(Why::Rule)
    }

    /// Takes out the member whose value ends here.
    fn take_out(&mut self, Taking { from, by, .. }: Taking) {
        let action = match by {
            Why::Rule(action @ (Action::Mask | Action::Hash)) => action,
            Why::Rule(Action::Drop) | Why::Key => {
                let is_ruled = by != Why::Key;
                self.taken.dropped += u64::from(is_ruled);
                self.taken.keys += u64::from(!is_ruled);
                return self.replace(from, self.at, "");
            }
        };
        if let Some(frame) = self.frames.last_mut() {
            frame.kept = true;
        }
        let value = self.item.get(from..self.at).unwrap_or_default();
        let value = value.trim_start();
        if let Some(other) = self.rules.in_place_of(value, action) {
            self.taken.hashed += u64::from(action == Action::Hash);
            self.taken.masked += u64::from(action == Action::Mask);
            self.replace(self.at - value.len(), self.at, &other);
        }
    }

    fn string(&mut self) -> Option<Expect> {
        let start = self.at + 1;
        let (end, escape) = string_end(self.item.as_bytes(), start)?;
        self.at = end + 1;
        if self.taking.is_none()
            && may_hold_card(self.item.as_bytes().get(start..end)?, escape)
            && let Some(rule) = self.rule()
        {
            self.mask_string(start, end, rule);
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
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let length = rest.iter().take_while(|byte| is_part(byte)).count();
                self.at += length;
                if length >= SHORTEST && self.taking.is_none() {
                    self.mask_number(start);
                }
                return Some(self.after_value());
            }
            _ => return None,
        };
        self.at += length;
        Some(self.after_value())
    }

    /// How the digits of the value being read are cut, by its key; `None` if they are exact.
    fn rule(&self) -> Option<Rule> {
        let Some(&Frame {
            key: (start, end), ..
        }) = self.frames.last()
        else {
            return Some(Rule::Luhn);
        };
        let written = self.item.get(start..end).unwrap_or_default();
        let key = unescaped(written);
        if self.spec.cards.contains(&key.as_ref()) {
            Some(Rule::Always)
        } else if self.spec.exact.contains(&key.as_ref()) {
            None
        } else {
            Some(Rule::Luhn)
        }
    }

    fn mask_string(&mut self, start: usize, end: usize, rule: Rule) {
        if let Some(cut) = self.item.get(start..end).and_then(|text| cut(text, rule)) {
            self.taken.cards += u64::from(cut.numbers);
            self.replace(start, end, &cut.text);
        }
    }

    /// Cuts a number whose whole part is a card; it becomes a string. Fractions alone are no cards.
    fn mask_number(&mut self, start: usize) {
        let Some(token) = self.item.get(start..self.at) else {
            return;
        };
        let whole = token.split(['.', 'e', 'E']).next().unwrap_or_default();
        if whole.len() < SHORTEST {
            return;
        }
        if let Some(rule) = self.rule()
            && cut(whole, rule).is_some()
            && let Some(cut) = cut(token, rule)
        {
            self.taken.cards += u64::from(cut.numbers);
            self.replace(start, self.at, &format!("\"{}\"", cut.text));
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
