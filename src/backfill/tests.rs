use chrono::TimeDelta;

use super::*;

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_787_227_200, 500_000_000).unwrap()
}

/// The samples of these scrapes, 15 s apart.
fn samples(scrapes: &[&str]) -> SampleStore {
    let mut samples = SampleStore::default();
    for (index, scrape) in (0..).zip(scrapes) {
        samples.append(noon() + TimeDelta::seconds(15) * index, scrape);
    }
    samples
}

fn written(samples: &SampleStore, labels: &[(&str, &str)]) -> String {
    let mut out = Vec::new();
    write(samples, labels, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn scrapes_become_one_block_per_series() {
    let first = "# HELP calls_total Calls \\ \"ended\".\n# TYPE calls_total counter\ncalls_total{to=\"a b\"} 1\n\
                 # HELP up Well.\n# TYPE up gauge\nup 1\n";
    let second = "# HELP calls_total Calls \\ \"ended\".\n# TYPE calls_total counter\ncalls_total{to=\"a b\"} 1\n\
                  calls_total{to=\"c\"} 0.5\n";
    let samples = samples(&[first, second, first]);
    assert_eq!((samples.scrape_count(), samples.series_count(), samples.sample_count()), (3, 3, 6));
    let expected = "# TYPE calls counter\n# HELP calls Calls \\ \\\"ended\\\".\n\
                    calls_total{to=\"a b\",job=\"j\\\"\"} 1 1787227200.500\n\
                    calls_total{to=\"a b\",job=\"j\\\"\"} 1 1787227215.500\n\
                    calls_total{to=\"a b\",job=\"j\\\"\"} 1 1787227230.500\n\
                    calls_total{to=\"c\",job=\"j\\\"\"} 0.5 1787227215.500\n\
                    # TYPE up gauge\n# HELP up Well.\n\
                    up{job=\"j\\\"\"} 1 1787227200.500\n\
                    up{job=\"j\\\"\"} 1 1787227230.500\n# EOF\n";
    assert_eq!(written(&samples, &[("job", "j\"")]), expected);
}

#[test]
fn lines_of_a_histogram_stay_together() {
    let scrape = "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 0\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\n\
                  h_bucket{a=\"le=\",le=\"+Inf\"} 3\nh_sum{a=\"le=\"} 4\nh_count{a=\"le=\"} 3\n";
    let order: Vec<String> = written(&samples(&[scrape, scrape]), &[])
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.replace(" 17872272", "@"))
        .collect();
    let expected = [
        "h_bucket{le=\"1.0\"} 0@00.500",
        "h_bucket{le=\"+Inf\"} 1@00.500",
        "h_sum 2@00.500",
        "h_count 1@00.500",
        "h_bucket{le=\"1.0\"} 0@15.500",
        "h_bucket{le=\"+Inf\"} 1@15.500",
        "h_sum 2@15.500",
        "h_count 1@15.500",
        "h_bucket{a=\"le=\",le=\"+Inf\"} 3@00.500",
        "h_sum{a=\"le=\"} 4@00.500",
        "h_count{a=\"le=\"} 3@00.500",
        "h_bucket{a=\"le=\",le=\"+Inf\"} 3@15.500",
        "h_sum{a=\"le=\"} 4@15.500",
        "h_count{a=\"le=\"} 3@15.500",
    ];
    assert_eq!(order, expected);
}
