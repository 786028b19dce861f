//! The page at `/`, for people who open the port in a browser.
//!
//! Owns: its markup. Never: script, or anything loaded from elsewhere.

use std::fmt::{self, Display};

/// What the page links to: path and words.
pub(super) const LINKS: [(&str, &str); 3] = [
    ("/metrics", "metrics, for Prometheus to scrape"),
    ("/-/healthy", "whether the process runs"),
    ("/-/ready", "whether the numbers can be trusted yet"),
];

/// The page of a program of this `name` and `version`.
pub(super) fn page(name: &str, version: &str, links: &[(&str, &str)]) -> String {
    let (name, version) = (Escaped(name), Escaped(version));
    let items: String = links
        .iter()
        .map(|(path, words)| {
            format!("<li><a href=\"{0}\">{0}</a>: {1}</li>\n", Escaped(path), Escaped(words))
        })
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{name}</title>\n</head>\n<body>\n\
         <h1>{name}</h1>\n<p>Version {version}</p>\n<ul>\n{items}</ul>\n</body>\n</html>\n"
    )
}

/// Text within markup or a quoted attribute.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            _ => write!(f, "{c}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_links_and_escapes() {
        let page = page("a & <b>", "1.0\"'", &LINKS);
        assert!(page.contains("<h1>a &amp; &lt;b&gt;</h1>\n<p>Version 1.0&quot;&#39;</p>"), "{page}");
        assert!(page.contains("<a href=\"/metrics\">/metrics</a>"), "{page}");
        assert!(!page.contains("<script"));
    }
}
