//! `response_parameters`: the GraphQL query that selects the fields of a row.
//!
//! Only the documented subset: an anonymous or named query, fields and nested braces; no arguments,
//! aliases, fragments or directives. A field may be selected twice, as `method` in the documentation's
//! sample; its parts are merged.

/// A selected field with the fields selected inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) inside: Vec<Field>,
}

/// The fields that can be selected inside an object: scalars, as blank-separated names, and objects, which
/// need braces.
#[derive(Debug)]
struct Shape {
    scalars: &'static [&'static str],
    objects: &'static [(&'static str, &'static Shape)],
}

const fn scalars(scalars: &'static [&'static str]) -> Shape {
    Shape {
        scalars,
        objects: &[],
    }
}

const PERSON: &str = "id ip first_name last_name middle_name full_name gender birth_date phone email \
    address country city zip state device_id";

const METHOD: Shape = Shape {
    scalars: &["type alternative_account alternative_type alternative_payment_info"],
    objects: &[(
        "credit_card",
        &scalars(&[
            "product first_1 bin bin_8 last_4 holder exp_month exp_year brand sub_brand",
            "stamp token token_provider issuer_country issuer_bank",
        ]),
    )],
};

const RECIPIENT: Shape = Shape {
    scalars: &[],
    objects: &[("customer", &scalars(&[PERSON]))],
};

const TRANSACTION: Shape = Shape {
    scalars: &[
        "uid status description amount currency type tracking_id created_at paid_at settled_at",
        "psp_settled_at updated_at manually_corrected_at expired_at closed_at message",
        "friendly_message code language test parent_uid reason converted_currency converted_amount",
        "recurring_type subscription_id product_id fraud smart_routing_verification",
        "avs_cvc_verification provider_response",
    ],
    objects: &[
        (
            "merchant",
            &scalars(&[
                "enabled id name company_name bank_id legal_address email postal_code country city",
            ]),
        ),
        (
            "shop",
            &scalars(&[
                "enabled id name company_name business_category_id contact_phone url contact_email",
                "legal_address mailing_address postal_code country city",
            ]),
        ),
        (
            "provider_raw",
            &scalars(&[
                "auth_code bank_code rrn ref_id message dynamic_billing_descriptor amount currency",
            ]),
        ),
        (
            "gateway",
            &scalars(&["id type note agent_id vendor connection_type"]),
        ),
        (
            "links",
            &scalars(&["receipt_url redirect_url return_url notification_url"]),
        ),
        (
            "three_d_secure_verification",
            &scalars(&[
                "status message acs_url pa_req md pa_res_url eci pa_status xid cavv cavv_algorithm",
                "fail_reason method_process_url creq",
            ]),
        ),
        ("customer", &scalars(&[PERSON, "taxpayer_id"])),
        ("method", &METHOD),
        ("recipient", &RECIPIENT),
    ],
};

impl Shape {
    fn scalar(&self, name: &str) -> Option<&'static str> {
        let mut names = self.scalars.iter().flat_map(|names| names.split(' '));
        names.find(|known| *known == name)
    }
}

/// The fields selected by `query { transactions { … } }`, or the error message.
pub(crate) fn parse(text: &str) -> Result<Vec<Field>, String> {
    let tokens = tokens(text)?;
    let mut rest = tokens.as_slice();
    if let Some(("query", after)) = next(rest) {
        rest = after;
        if let Some((name, after)) = next(rest).filter(|(token, _)| is_name(token)) {
            debug_assert!(!name.is_empty());
            rest = after;
        }
    }
    let rest = expect(rest, "{")?;
    let rest = expect(rest, "transactions")?;
    let rest = expect(rest, "{")?;
    let (mut fields, rest) = fields(rest, &TRANSACTION, "transactions")?;
    let rest = expect(rest, "}")?;
    if let Some((token, _)) = next(rest) {
        return Err(format!("Syntax error: unexpected {token}"));
    }
    if !fields.iter().any(|field| field.name == "uid") {
        // A mandatory field is sent even if it is not selected.
        fields.push(Field {
            name: "uid",
            inside: Vec::new(),
        });
    }
    Ok(fields)
}

fn fields<'a>(
    mut rest: &'a [&'a str],
    shape: &'static Shape,
    parent: &str,
) -> Result<(Vec<Field>, &'a [&'a str]), String> {
    let mut selected: Vec<Field> = Vec::new();
    loop {
        let Some((token, after)) = next(rest) else {
            return Err("Syntax error: unexpected end".to_owned());
        };
        rest = after;
        if token == "}" {
            if selected.is_empty() {
                return Err(format!("Syntax error: nothing is selected in {parent}"));
            }
            return Ok((selected, rest));
        }
        let mut field = Field {
            name: "",
            inside: Vec::new(),
        };
        if let Some(name) = shape.scalar(token) {
            field.name = name;
        } else if let Some((name, inner)) = shape.objects.iter().find(|(name, _)| *name == token) {
            field.name = name;
            let inside =
                expect(rest, "{").map_err(|_| format!("Field '{token}' must have selections"))?;
            (field.inside, rest) = fields(inside, inner, name)?;
        } else {
            return Err(format!("Field '{token}' doesn't exist on '{parent}'"));
        }
        merge(&mut selected, field);
    }
}

fn merge(selected: &mut Vec<Field>, field: Field) {
    match selected.iter_mut().find(|other| other.name == field.name) {
        Some(other) => {
            for inner in field.inside {
                merge(&mut other.inside, inner);
            }
        }
        None => selected.push(field),
    }
}

fn next<'a>(tokens: &'a [&'a str]) -> Option<(&'a str, &'a [&'a str])> {
    tokens.split_first().map(|(first, rest)| (*first, rest))
}

fn expect<'a>(tokens: &'a [&'a str], wanted: &str) -> Result<&'a [&'a str], String> {
    match next(tokens) {
        Some((token, rest)) if token == wanted => Ok(rest),
        Some((token, _)) => Err(format!("Syntax error: expected {wanted}, found {token}")),
        None => Err(format!("Syntax error: expected {wanted}, found the end")),
    }
}

fn is_name(token: &str) -> bool {
    token
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn tokens(text: &str) -> Result<Vec<&str>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(ignored);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '{' | '}' => 1,
            _ => rest
                .find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if token.is_empty() {
            return Err(format!("Syntax error: unexpected {first}"));
        }
        tokens.push(token);
        rest = after.trim_start_matches(ignored);
    }
    Ok(tokens)
}

/// Commas are white space in GraphQL.
fn ignored(letter: char) -> bool {
    letter.is_whitespace() || letter == ','
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn nested_fields_are_selected_and_merged() {
        let fields = parse(
            "query { transactions { uid method{credit_card{bin}}, shop { id } method {type} } }",
        )
        .unwrap();
        let names: Vec<_> = fields.iter().map(|field| field.name).collect();
        assert_eq!(names, ["uid", "method", "shop"]);
        let method: Vec<_> = fields[1].inside.iter().map(|field| field.name).collect();
        assert_eq!(method, ["credit_card", "type"]);
    }

    #[test]
    fn uid_is_always_selected() {
        let fields = parse("query Named {transactions {status}}").unwrap();
        assert_eq!(fields[1].name, "uid");
    }

    #[test]
    fn other_queries_are_refused() {
        for text in [
            "",
            "query { transactions { } }",
            "query { transactions { uid }",
            "query { transactions { uid } } }",
            "query { transactions { nothing } }",
            "query { transactions { merchant_id } }",
            "query { transactions { shop } }",
            "query { transactions { uid { id } } }",
            "query { transactions(limit: 1) { uid } }",
            "query { payments { uid } }",
            "query { transactions { avs-cvc_verification } }",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
