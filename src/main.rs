//! The `polyai-exporter` command.

fn main() {}
