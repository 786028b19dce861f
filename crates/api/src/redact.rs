//! Overwrites every known API key in what servers send: whole, truncated or encoded.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A shorter key is no secret and may be part of any word, as may a shorter beginning of a key.
const MIN_LEN: usize = 8;

const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The keys of this process. A key stays when its target is removed, because a server may still echo it.
static KNOWN: Mutex<KnownKeys> = Mutex::new(KnownKeys { forms: BTreeSet::new(), finder: None });

struct KnownKeys {
    /// Each key in every form in which it may come back.
    forms: BTreeSet<Vec<u8>>,
    /// Absent after a change, until it is needed.
    finder: Option<Arc<Finder>>,
}

/// Finds the beginnings of `forms`.
struct Finder {
    beginnings: AhoCorasick,
    forms: BTreeSet<Vec<u8>>,
}

/// Adds `key` to the known keys.
pub(crate) fn register(key: &str) {
    if key.len() < MIN_LEN {
        return;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.forms.insert(key.as_bytes().to_vec()) {
        known.forms.extend(encoded_forms(key));
        known.finder = None;
    }
}

/// `key` in URLs, in JSON, and in base64 at each of the three offsets to its groups of bytes.
fn encoded_forms(key: &str) -> Vec<Vec<u8>> {
    let in_url = utf8_percent_encode(key, NOT_UNRESERVED).to_string();
    let in_json = key.replace('\\', r"\\").replace('"', "\\\"");
    let in_lower_case = in_url.replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d");
    let texts = [in_lower_case, in_url, in_json.replace('/', r"\/"), in_json];
    let in_base64 = [(0, 0), (1, 2), (2, 3)].into_iter().flat_map(|(offset, skipped)| {
        let bytes = [&[0; 2][..offset], key.as_bytes()].concat();
        [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)]
            .map(|text| text[skipped..].to_owned())
    });
    texts.into_iter().chain(in_base64).map(String::into_bytes).collect()
}

/// Overwrites the known keys in `text`, and what begins like one.
pub(crate) fn redact(text: &mut [u8]) {
    let Some(finder) = finder() else { return };
    let mut remaining = text;
    while let Some(found) = finder.beginnings.find(&*remaining) {
        let (_, echo) = remaining.split_at_mut(found.start());
        let common = |form: &Vec<u8>| form.iter().zip(&*echo).take_while(|(one, other)| one == other).count();
        let longest = finder.forms.iter().map(common).max().unwrap_or_default();
        // Half an escape sequence would swallow the quotation mark after it.
        let length = longest - usize::from(echo.get(longest - 1) == Some(&b'\\'));
        let (echo, rest) = echo.split_at_mut(length.max(MIN_LEN));
        echo.fill(b'*');
        remaining = rest;
    }
}

/// `None` if no key is known.
fn finder() -> Option<Arc<Finder>> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.finder.is_none() && !known.forms.is_empty() {
        let forms = known.forms.clone();
        let beginnings = forms.iter().filter_map(|form| form.get(..MIN_LEN));
        let beginnings =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(beginnings).ok()?;
        known.finder = Some(Arc::new(Finder { beginnings, forms }));
    }
    known.finder.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        redact(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn key_is_overwritten_in_every_form() {
        let key = r#"sk-Qz7+mark/9"x\y"#;
        register(key);
        register("other-target's-key");
        register("k");
        for (sent, cleaned) in [
            (key, "*****************"),
            ("a sk-Qz7+mark b", "a *********** b"),
            ("key=sk-Qz7+m...", "key=********..."),
            ("sk-Qz7+", "sk-Qz7+"),
            (r#"{"a":"sk-Qz7+mark\/9\"x\\y"}"#, r#"{"a":"********************"}"#),
            (r#"{"a":"sk-Qz7+mark\"}"#, r#"{"a":"***********\"}"#),
            ("?k=sk-Qz7%2Bmark%2F9%22x", "?k=*********************"),
            ("?k=sk-Qz7%2bmark", "?k=*************"),
            ("sk-Qz7+mark/9other-target's-key", "*******************************"),
            ("kind", "kind"),
            ("", ""),
        ] {
            assert_eq!(redacted(sent), cleaned, "{sent}");
        }
        for prefix in ["", "u", "us", "user:"] {
            let sent = STANDARD_NO_PAD.encode(format!("{prefix}{key}:pass"));
            let cleaned = redacted(&sent);
            assert!(cleaned.matches('*').count() >= 20, "{prefix}: {sent} {cleaned}");
        }
    }
}
