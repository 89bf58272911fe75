//! The rules of redaction in their plainest form, to prove that transactions do not depend on what
//! it removes.

use std::collections::BTreeMap;

use paysync_provider::Redaction;
use serde_json::value::RawValue;

/// Keys that are dropped for every provider.
const DROPPED: &[&str] = &["cavv", "creq", "cvv", "md", "pa_req"];

/// An item as it would be stored.
pub(crate) fn redact(item: &RawValue, keys: &Redaction) -> Box<RawValue> {
    RawValue::from_string(value(item.get(), "", keys)).unwrap()
}

fn value(text: &str, key: &str, keys: &Redaction) -> String {
    if let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
        let fields: Vec<String> = fields
            .iter()
            .filter(|(name, _)| !dropped(name, keys))
            .map(|(name, field)| {
                let name_text = serde_json::to_string(name).unwrap();
                format!("{name_text}:{}", value(field.get(), name, keys))
            })
            .collect();
        return format!("{{{}}}", fields.join(","));
    }
    if let Ok(values) = serde_json::from_str::<Vec<&RawValue>>(text) {
        let values: Vec<String> = values.iter().map(|v| value(v.get(), key, keys)).collect();
        return format!("[{}]", values.join(","));
    }
    if keys.exact.contains(&key) {
        return text.to_owned();
    }
    let masked = mask(text, keys.cards.contains(&key));
    if masked != text && !text.starts_with('"') {
        return format!("\"{masked}\"");
    }
    masked
}

fn dropped(name: &str, keys: &Redaction) -> bool {
    DROPPED.contains(&name) || keys.dropped.contains(&name)
}

/// Cuts digit runs of 13 to 19 that pass Luhn, or any of them under a card's key.
fn mask(text: &str, always: bool) -> String {
    let mut masked = String::new();
    let mut run: Vec<char> = Vec::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            run.push(c);
            continue;
        }
        if (13..=19).contains(&run.len()) && (always || luhn(&run)) {
            let tail = run.len() - 4;
            masked.extend(&run[..6]);
            masked.extend(std::iter::repeat_n('*', tail - 6));
            masked.extend(&run[tail..]);
        } else {
            masked.extend(&run);
        }
        run.clear();
        if c != '\0' {
            masked.push(c);
        }
    }
    masked
}

fn luhn(digits: &[char]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .zip([1, 2].into_iter().cycle())
        .map(|(digit, weight)| {
            let product = digit.to_digit(10).unwrap() * weight;
            product / 10 + product % 10
        })
        .sum();
    sum.is_multiple_of(10)
}
