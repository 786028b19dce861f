//! Replaces `NaN`, `Infinity` and `-Infinity`, which JSON does not have but Python writes, with null.

const TOKENS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// Returns the body with such numbers as null; `None` if it contains none. Strings stay as they are.
pub(crate) fn replace_non_finite(body: &[u8]) -> Option<Vec<u8>> {
    let mut replaced = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(b"\"") {
            at += json_string_len(rest);
        } else if let Some(token) = TOKENS.iter().find(|token| rest.starts_with(token)) {
            replaced.extend_from_slice(body.get(copied..at).unwrap_or_default());
            replaced.extend_from_slice(b"null");
            at += token.len();
            copied = at;
        } else {
            at += 1;
        }
    }
    if copied == 0 {
        return None;
    }
    replaced.extend_from_slice(body.get(copied..).unwrap_or_default());
    Some(replaced)
}

/// The length of the string that begins here, with its quotation marks; that of `rest` if the string does not end.
fn json_string_len(rest: &[u8]) -> usize {
    let mut is_escaped = false;
    for (at, byte) in rest.iter().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replaced(body: &str) -> Option<String> {
        replace_non_finite(body.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn numbers_become_null_and_strings_stay() {
        let cases = [
            (r#"{"a":NaN,"b":-Infinity,"c":[Infinity]}"#, Some(r#"{"a":null,"b":null,"c":[null]}"#)),
            ("NaN", Some("null")),
            (r#"["NaN","\"NaN",1]"#, None),
            (r#"["\\",NaN]"#, Some(r#"["\\",null]"#)),
            (r#"["\\\"NaN",NaN]"#, Some(r#"["\\\"NaN",null]"#)),
            (r#"[-1,-I,Inf,nan,"NaN"#, None),
            ("", None),
        ];
        for (body, expected) in cases {
            assert_eq!(replaced(body).as_deref(), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn valid_json_stays(text in "\\PC{0,20}", number in any::<f64>()) {
            let body = serde_json::json!({ text.clone(): [number, text, null, true] }).to_string();
            prop_assert_eq!(replaced(&body), None);
        }
    }
}
