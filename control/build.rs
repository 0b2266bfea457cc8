//! Compiles the gRPC interface with a protobuf compiler written in Rust, so that no `protoc` need be installed.
//!
//! Beside the code it writes `methods.rs`, the paths of all methods of our own services, for the test that keeps the
//! table of who may call what complete.

use std::path::Path;

/// Our own services.
const OURS: [&str; 3] = ["proto/weir.proto", "proto/tablet.proto", "proto/controller.proto"];

/// Somebody else's, of which we are a client.
const ETCD: &str = "proto/etcd.proto";

/// The same; the tests are its server, too.
const OTLP: &str = "proto/otlp.proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    OURS.iter().chain([&ETCD, &OTLP]).for_each(|file| println!("cargo:rerun-if-changed={file}"));
    let files = protox::compile(OURS, ["proto"])?;
    let mut methods = Vec::new();
    for file in &files.file {
        for service in &file.service {
            let path = format!("/{}.{}", file.package(), service.name());
            methods.extend(service.method.iter().map(|method| format!("{path}/{}", method.name())));
        }
    }
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("methods.rs"), format!("{methods:?}"))?;
    // Maps sorted: what is written twice has the same bytes.
    tonic_prost_build::configure().btree_map(".").compile_fds(files)?;
    let etcd = protox::compile([ETCD], ["proto"])?;
    tonic_prost_build::configure().build_server(false).compile_fds(etcd)?;
    tonic_prost_build::configure().compile_fds(protox::compile([OTLP], ["proto"])?)?;
    Ok(())
}
