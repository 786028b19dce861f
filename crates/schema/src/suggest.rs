//! The known name that a misspelt one was meant to be.

use strsim::osa_distance;

/// The candidate whose name is nearest to `wanted`, if it is near enough to be a typing error.
pub fn closest<'a>(
    wanted: &str,
    candidates: impl Iterator<Item = &'a str>,
    name: impl Fn(&str) -> &str,
) -> Option<&'a str> {
    candidates
        .map(|candidate| (osa_distance(wanted, name(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + name(candidate).chars().count() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
