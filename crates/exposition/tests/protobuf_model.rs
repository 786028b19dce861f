//! The message types that tests decode with are generated from the official definition, and no build needs a protobuf compiler.

use std::path::Path;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the switch of this test, as of the root package's contract.rs"
)]
fn message_types_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    let definition = protox::compile(["io/prometheus/client/metrics.proto"], [root.join("proto")]).unwrap();
    prost_build::Config::new().out_dir(out.path()).compile_fds(definition).unwrap();
    let generated = std::fs::read_to_string(out.path().join("io.prometheus.client.rs")).unwrap();

    let path = root.join("tests/model/mod.rs");
    if std::env::var("POLYAI_UPDATE_DOCS").is_ok() {
        std::fs::write(&path, &generated).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap();
    assert!(checked_in == generated, "{} is outdated: POLYAI_UPDATE_DOCS=1 updates it", path.display());
}
