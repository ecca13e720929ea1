fn main() {
    // Without std nobody else asks for the C runtime that calls `main`.
    println!("cargo:rustc-link-lib=c");
}
