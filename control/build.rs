//! Compiles the gRPC interface with a protobuf compiler written in Rust, so that no `protoc` need be installed.

/// Our own services.
const OURS: [&str; 3] = ["proto/weir.proto", "proto/tablet.proto", "proto/controller.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    OURS.iter().for_each(|file| println!("cargo:rerun-if-changed={file}"));
    // Maps sorted: what is written twice has the same bytes.
    let own = tonic_prost_build::configure().btree_map(".");
    own.compile_fds(protox::compile(OURS, ["proto"])?)?;
    Ok(())
}
