//! Link arguments of every image of this package: no libc, fixed addresses, the layout of
//! `linker.ld`.

fn main() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let script = root.join("linker.ld");
    println!("cargo:rerun-if-changed={}", script.display());
    for kind in ["bins", "tests", "benches", "examples"] {
        for arg in [
            "-nostartfiles",
            "-nostdlib",
            "-static",
            "-no-pie",
            "-Wl,--build-id=none",
        ] {
            println!("cargo:rustc-link-arg-{kind}={arg}");
        }
        println!("cargo:rustc-link-arg-{kind}=-Wl,-T,{}", script.display());
        println!("cargo:rustc-link-arg-{kind}=-Wl,-z,max-page-size=0x1000");
    }
}
