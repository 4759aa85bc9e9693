//! The committed generated code is what the `.proto` files say. `BAILIWICK_UPDATE_GOLDEN=1` writes it anew.

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn generated_code_is_current() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let proto = root.join("proto");
        let files =
            ["bailiwick/v1/snapshot.proto", "bailiwick/v1/control.proto", "bailiwick/v1/replicas.proto"];
        let descriptors = protox::compile(files, [&proto]).expect("the .proto files compile");
        let out = tempfile::tempdir().expect("a temporary folder");
        tonic_prost_build::configure()
            .build_transport(false)
            .emit_rerun_if_changed(false)
            .btree_map(".")
            .client_mod_attribute(".", "#[cfg(feature = \"rpc\")]")
            .server_mod_attribute(".", "#[cfg(feature = \"rpc\")]")
            .out_dir(out.path())
            .compile_fds(descriptors)
            .expect("code is generated");
        let generated =
            std::fs::read_to_string(out.path().join("bailiwick.v1.rs")).expect("one file a package");
        let committed = root.join("src/proto/bailiwick.v1.rs");
        if std::env::var_os("BAILIWICK_UPDATE_GOLDEN").is_some() {
            std::fs::write(&committed, &generated).expect("the golden file is written");
        }
        let held = std::fs::read_to_string(&committed).unwrap_or_default();
        assert!(
            held == generated,
            "src/proto/bailiwick.v1.rs is not what proto/ says: run with BAILIWICK_UPDATE_GOLDEN=1"
        );
    }
}
