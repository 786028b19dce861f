//! `NaN`, `Infinity` and `-Infinity` where JSON knows only numbers: some writers of JSON write them all the same, Python's
//! by default.
//!
//! Owns: making them null, so that a page can be read as JSON. Never: what stands within a text.

/// The longest first, as it begins with none of the others.
const TOKENS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// The body with such numbers as null; none if it has none.
pub(super) fn replace_non_finite(body: &[u8]) -> Option<Vec<u8>> {
    let mut mended = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(b"\"") {
            at += json_string_len(rest);
        } else if let Some(token) = TOKENS.iter().find(|token| rest.starts_with(token)) {
            mended.extend_from_slice(body.get(copied..at).unwrap_or_default());
            mended.extend_from_slice(b"null");
            at += token.len();
            copied = at;
        } else {
            at += 1;
        }
    }
    if copied == 0 {
        return None;
    }
    mended.extend_from_slice(body.get(copied..).unwrap_or_default());
    Some(mended)
}

/// The bytes of a text that begins here, both quotation marks included; all that is left if it does not end.
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

    fn mended(body: &str) -> Option<String> {
        replace_non_finite(body.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn such_numbers_become_null_and_texts_stay_as_they_are() {
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
            assert_eq!(mended(body).as_deref(), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn what_is_json_already_stays(text in "\\PC{0,20}", number in any::<f64>()) {
            let body = serde_json::json!({ text.clone(): [number, text, null, true] }).to_string();
            prop_assert_eq!(mended(&body), None);
        }
    }
}
