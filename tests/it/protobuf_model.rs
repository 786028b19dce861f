//! The types of the protobuf format are what prost-build makes of the official definition, and nobody needs a protobuf compiler
//! to build the exporter.

use std::path::Path;

#[test]
#[expect(clippy::disallowed_methods, reason = "the switch of this test, as of contract.rs")]
fn the_checked_in_types_are_made_from_the_official_definition() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    let definition = protox::compile(["io/prometheus/client/metrics.proto"], [root.join("proto")]).unwrap();
    prost_build::Config::new().out_dir(out.path()).compile_fds(definition).unwrap();
    let made = std::fs::read_to_string(out.path().join("io.prometheus.client.rs")).unwrap();

    let path = root.join("src/exposition/protobuf/model.rs");
    if std::env::var("POLYAI_UPDATE_DOCS").is_ok() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept == made, "{} is not what proto/ gives: POLYAI_UPDATE_DOCS=1 writes it anew", path.display());
}
