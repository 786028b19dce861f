//! The ways in which the API writes a moment.
//!
//! Owns: writing timestamps quickly, since a page holds thousands. Never: reading them.

use chrono::{DateTime, Datelike, Timelike, Utc};

use super::quirks::Stamp;

/// Writes `moment` without quotes.
pub(crate) fn write(out: &mut Vec<u8>, moment: DateTime<Utc>, form: Stamp) {
    digits(out, moment.year().unsigned_abs(), 4);
    out.push(b'-');
    digits(out, moment.month(), 2);
    out.push(b'-');
    digits(out, moment.day(), 2);
    out.push(if form == Stamp::Spaced { b' ' } else { b'T' });
    digits(out, moment.hour(), 2);
    out.push(b':');
    digits(out, moment.minute(), 2);
    out.push(b':');
    digits(out, moment.second(), 2);
    out.push(b'.');
    let micros = (moment.nanosecond() / 1000).min(999_999);
    match form {
        Stamp::Spaced => digits(out, micros / 10, 5),
        Stamp::Offset | Stamp::Zulu | Stamp::Naive => digits(out, micros, 6),
    }
    match form {
        Stamp::Offset => out.extend_from_slice(b"+00:00"),
        Stamp::Zulu => out.push(b'Z'),
        Stamp::Naive | Stamp::Spaced => {}
    }
}

/// `moment` as an HTTP date (RFC 9110, section 5.6.7).
pub(crate) fn http_date(moment: DateTime<Utc>) -> String {
    moment.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The last `width` decimal digits of `number`.
fn digits(out: &mut Vec<u8>, number: u32, width: usize) {
    let end = out.len() + width;
    out.resize(end, b'0');
    let mut rest = number;
    for place in out[end - width..].iter_mut().rev() {
        *place = b"0123456789"[(rest % 10) as usize];
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_the_one_seen_in_the_field() {
        let moment = DateTime::from_timestamp_micros(1_787_217_302_370_120).unwrap();
        let written = |form| {
            let mut out = Vec::new();
            write(&mut out, moment, form);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(Stamp::Offset), "2026-08-20T09:15:02.370120+00:00");
        assert_eq!(written(Stamp::Zulu), "2026-08-20T09:15:02.370120Z");
        assert_eq!(written(Stamp::Naive), "2026-08-20T09:15:02.370120");
        assert_eq!(written(Stamp::Spaced), "2026-08-20 09:15:02.37012");
        assert_eq!(http_date(moment), "Thu, 20 Aug 2026 09:15:02 GMT");
    }
}
