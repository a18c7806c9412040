//! Any text is answered with a checked program or with diagnostics, and both can be shown.
#![no_main]

use gannet_lang::check::{Loader, Options, check};
use gannet_lang::diag::Sources;

/// The standard library, which most programs use.
struct Library;

impl Loader for Library {
    fn load(&self, path: &str, _from: Option<&str>) -> Option<(String, String)> {
        gannet_stdlib::file(path).map(|text| (path.to_string(), text.to_string()))
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut sources = Sources::default();
    let file = sources.add("fuzz.gnt", text);
    match check(&mut sources, file, &Library, &Options::default()) {
        Ok(checked) => drop(gannet_lang::print_program::print(&checked.program)),
        Err(errors) => {
            assert!(!errors.0.is_empty());
            gannet_lang::render::render(&sources, &errors, false);
        }
    }
});
