//! Compiles the gRPC interface with a protobuf compiler written in Rust, so that no `protoc` need be installed.

const FILES: [&str; 2] = ["proto/weir.proto", "proto/tablet.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    FILES.iter().for_each(|file| println!("cargo:rerun-if-changed={file}"));
    let files = protox::compile(FILES, ["proto"])?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
