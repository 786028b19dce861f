//! The known name that a misspelt one was meant to be.

use strsim::osa_distance;

/// The candidate that is nearest to `wanted`, if it is near enough to be a typing error.
pub fn closest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = normalize_name(wanted);
    candidates
        .into_iter()
        .map(|candidate| (osa_distance(&wanted, &normalize_name(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `name` without regard to case and hyphens, which other tools write differently.
pub(crate) fn normalize_name(name: &str) -> String {
    let letters = name.chars().take(60);
    letters.map(|letter| if letter == '-' { '_' } else { letter.to_ascii_lowercase() }).collect()
}
