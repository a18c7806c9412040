//! Any text is answered with a tree or with diagnostics, and both can be shown.
#![no_main]

use gannet_lang::diag::Sources;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut sources = Sources::default();
    let file = sources.add("fuzz.gnt", text);
    match gannet_lang::parse(&sources, file) {
        Ok(tree) => drop(gannet_lang::print::print(&tree)),
        Err(errors) => {
            assert!(!errors.0.is_empty());
            gannet_lang::render::render(&sources, &errors, false);
        }
    }
});
