//! What several tests share. Each of them uses a part.
#![allow(dead_code, unused_macros)]

use gannet::{Model, Options};
use std::io::Write;
use std::process::Command;

/// A test for each line: its name, and what is held against the snapshot of that name.
macro_rules! says {
    ($($name:ident $what:expr;)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), $what);
        }
    )*};
}

/// Standard error and exit code of a command, which does not panic.
pub fn said_by(command: &mut Command) -> String {
    let out = command.output().expect("the binary runs");
    let text = String::from_utf8_lossy(&out.stderr).to_string();
    assert!(!text.contains("panicked"), "{text}");
    format!("{text}exit {}", out.status.code().map_or("by a signal".to_string(), |c| c.to_string()))
}

/// A zip archive; every second member is packed.
pub fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (k, (name, bytes)) in members.iter().enumerate() {
        let method = if k % 2 == 0 { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        zip.start_file(*name, options).expect("started");
        zip.write_all(bytes).expect("written");
    }
    zip.finish().expect("written").into_inner()
}

/// A PNG file of rows and columns.
pub fn png((rows, columns): (u32, u32), colour: png::ColorType, depth: png::BitDepth, pixels: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, columns, rows);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.write_header().expect("written").write_image_data(pixels).expect("written");
    out
}

/// The first entry of each report of the task `t`, in double precision.
pub fn reports_of(model: &Model) -> Result<Vec<(String, f64)>, String> {
    let options = Options { double: true, threads: 2, ..Options::default() };
    let unit = model.unit(Some("t"), &[]).map_err(|e| e.to_string())?;
    let mut session = model.session(unit, &options).map_err(|e| e.to_string())?;
    let found = session.reports().map_err(|e| model.error(e).to_string())?;
    Ok(found.into_iter().map(|(name, values)| (name, values[0])).collect())
}
