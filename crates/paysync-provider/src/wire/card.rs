//! Card numbers.

/// The first digits and the last four of an account number that looks like a card number: at least
/// twelve digits and `*`, with blanks and hyphens ignored.
pub fn card_digits(account: &str) -> (Option<String>, Option<String>) {
    let compact = account.replace([' ', '-'], "");
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let looks_like_card = compact.len() >= 12
        && compact.bytes().all(|byte| is_digit(byte) || byte == b'*')
        && compact.bytes().any(is_digit);
    if !looks_like_card {
        return (None, None);
    }
    // In an unmasked number, only six digits may be stored.
    let longest = if compact.contains('*') { 8 } else { 6 };
    let digits = compact.chars().take_while(char::is_ascii_digit);
    let bin: String = digits.take(longest).collect();
    let last4 = compact.get(compact.len() - 4..);
    let last4 = last4.filter(|last4| last4.bytes().all(is_digit));
    ((bin.len() >= 6).then_some(bin), last4.map(str::to_owned))
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
