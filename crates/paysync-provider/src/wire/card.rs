//! Card numbers.

/// The first digits and the last four of an account number that looks like a card number: at least
/// twelve digits and `*`, with blanks and hyphens ignored.
pub fn card_digits(account: &str) -> (Option<String>, Option<String>) {
    let compact: String = account
        .chars()
        .filter(|c| !matches!(c, ' ' | '-'))
        .collect();
    let looks_like_card = compact.len() >= 12
        && compact
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'*')
        && compact.bytes().any(|byte| byte.is_ascii_digit());
    if !looks_like_card {
        return (None, None);
    }
    let first: String = compact
        .chars()
        .take_while(char::is_ascii_digit)
        .take(8)
        .collect();
    // In an unmasked number, only six digits may be stored.
    let length = if first.len() == 8 && !compact.contains('*') {
        6
    } else {
        first.len()
    };
    let bin: String = first.chars().take(length).collect();
    let tail: Vec<char> = compact
        .chars()
        .rev()
        .take_while(char::is_ascii_digit)
        .take(4)
        .collect();
    let last4: String = tail.into_iter().rev().collect();
    (
        (bin.len() >= 6).then_some(bin),
        (last4.len() == 4).then_some(last4),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_card_like_accounts_give_card_digits() {
        assert_eq!(
            card_digits("424242******4242"),
            (Some("424242".into()), Some("4242".into()))
        );
        assert_eq!(
            card_digits("400000***0002"),
            (Some("400000".into()), Some("0002".into()))
        );
        assert_eq!(
            card_digits("42424242****4242"),
            (Some("42424242".into()), Some("4242".into()))
        );
        assert_eq!(
            card_digits("4242424242424242"),
            (Some("424242".into()), Some("4242".into()))
        );
        assert_eq!(card_digits("wallet-9222"), (None, None));
        assert_eq!(card_digits("9222"), (None, None));
        assert_eq!(card_digits("************"), (None, None));
    }
}
