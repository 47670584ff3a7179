//! Makes Rust of mediasoup's schemas.

use std::path::Path;

use planus_translation::{ConverterOptions, translate_files_with_options};

/// Derived by the generator, and used by nobody here.
const UNUSED_DERIVES: &str = "::serde::Serialize, ::serde::Deserialize";

fn main() {
    println!("cargo::rerun-if-changed=schemas");
    let declarations = translate_files_with_options(&["schemas/message.fbs"], ConverterOptions::default());
    // What is wrong with a schema stands on standard error by then.
    let declarations = declarations.expect("the schemas can be read");
    let code = planus_codegen::generate_rust(&declarations, false).expect("Rust can be made of the schemas");
    let folder = std::env::var_os("OUT_DIR").expect("cargo names a folder");
    let file = Path::new(&folder).join("fbs.rs");
    std::fs::write(file, code.replace(UNUSED_DERIVES, "")).expect("the folder can be written to");
}
