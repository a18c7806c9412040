//! Damaged and unfit files of every format: each finding has a code, names the file with sizes, and says a way out.
//! Law: no file, whatever its bytes are, ends in a panic or takes memory that only its header asks for.

#[macro_use]
mod common;

use common::archive;
use gannet::{Model, Options};
use std::path::Path;

/// What is said of a program beside files, without the name of their folder.
fn said(folder: &Path, source: &str) -> String {
    let run = Model::from_source("model.gnt", source)
        .and_then(|m| m.data_folder(folder).train("t", &Options { threads: 1, ..Options::default() }));
    match run {
        Ok(_) => "nothing".to_string(),
        Err(e) => e.to_string().replace(&folder.display().to_string(), "[dir]"),
    }
}

/// What is said of a program that reads one file.
fn of_file(name: &str, bytes: &[u8], source: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(name), bytes).expect("written");
    said(folder.path(), source)
}

/// An npy file of version 1 with this header and what follows it.
fn npy(header: &str, body: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), body].concat()
}

fn described(kind: &str, shape: &str) -> String {
    format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}\n")
}

fn reals(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn pair() -> Vec<u8> {
    npy(&described("<f4", "2, 2"), &reals(&[1.0, 2.0, 3.0, 4.0]))
}

const ARRAY: &str = "data d from \"d.npy\" {\n  x: real[2] = file \"d.npy\"\n}\ntask t() { report a = sum(d.x) }\n";
const PACKED: &str = "data d from \"d.npz\" {\n  x: real[2] = file \"x\"\n}\ntask t() { report a = sum(d.x) }\n";

fn array(bytes: &[u8]) -> String {
    of_file("d.npy", bytes, ARRAY)
}

fn packed(bytes: &[u8]) -> String {
    of_file("d.npz", bytes, PACKED)
}

says! {
    npy_empty array(b"");
    npy_cut_in_its_numbers array(&pair()[..pair().len() - 3]);
    npy_cut_in_its_header array(&pair()[..20]);
    npy_shape_beyond_its_bytes array(&npy(&described("<f4", "4000000000, 2"), &[0; 16]));
    npy_shape_beyond_all_numbers array(&npy(&described("<f4", "4294967296, 4294967296, 4294967296"), &[0; 16]));
    npy_of_text array(&npy(&described("<U8", "2, 2"), &[0; 128]));
    npy_of_other_width array(&npy(&described("<f4", "2, 3"), &reals(&[0.0; 6])));
    npy_of_no_rows array(&npy(&described("<f4", "0, 2"), &[]));
    npy_with_nan array(&npy(&described("<f4", "1, 2"), &reals(&[1.0, f32::NAN])));
    npz_empty packed(b"");
    npz_without_members packed(&archive(&[]));
    npz_without_the_array packed(&archive(&[("y.npy", &pair()), ("z.npy", &pair())]));
    npz_cut packed(&archive(&[("x.npy", &pair())])[..80]);
    npz_of_a_changed_byte packed(&changed(archive(&[("x.npy", &pair())]), 60));
    npz_of_other_things packed(&archive(&[("x.npy", b"no array")]));
    npz_of_an_empty_array packed(&archive(&[("x.npy", b"")]));
    idx_shape_beyond_all_numbers of_file("d-idx", &[vec![0, 0, 8, 3], vec![0xff; 12], vec![1, 2, 3]].concat(), &ARRAY.replace("d.npy", "d-idx"));
}

fn changed(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 0x55;
    bytes
}

fn png(rows: u32, columns: u32, colour: png::ColorType, depth: png::BitDepth) -> Vec<u8> {
    let bytes = (rows * columns) as usize * colour.samples() * if depth == png::BitDepth::Sixteen { 2 } else { 1 };
    common::png((rows, columns), colour, depth, &vec![7; bytes])
}

fn gray(rows: u32, columns: u32) -> Vec<u8> {
    png(rows, columns, png::ColorType::Grayscale, png::BitDepth::Eight)
}

/// A PNG file that says it has other sizes than it has; the sum of its header is right.
fn lying(rows: u32, columns: u32) -> Vec<u8> {
    let mut bytes = gray(2, 3);
    bytes[16..20].copy_from_slice(&columns.to_be_bytes());
    bytes[20..24].copy_from_slice(&rows.to_be_bytes());
    let mut sum = flate2::Crc::new();
    sum.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    bytes
}

/// 8 x 8 gray points of 200, as JPEG.
const JPEG: &str = "ffd8ffe000104a46494600010100000100010000ffdb0043000201010101010201010102020202020403020202020504040304060506060605060606070908060709070606080b08090a0a0a0a0a06080b0c0b0a0c090a0a0affc0000b080008000801011100ffc40014000100000000000000000000000000000009ffc40014100100000000000000000000000000000000ffda0008010100003f00481fffd9";

fn jpeg() -> Vec<u8> {
    (0..JPEG.len() / 2).map(|k| u8::from_str_radix(&JPEG[2 * k..2 * k + 2], 16).expect("digits")).collect()
}

const PICTURES: &str = "dim row = 2, column = 3
data d from \".\" {
  x: real[row, column] = images(\"*/*\")
}
task t() { report a = sum(d.x) }
";

/// What is said of a good image and this one.
fn image(bytes: &[u8], source: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("cat")).expect("made");
    std::fs::write(folder.path().join("cat/1.png"), gray(2, 3)).expect("written");
    std::fs::write(folder.path().join("cat/2.png"), bytes).expect("written");
    said(folder.path(), source)
}

says! {
    image_empty image(b"", PICTURES);
    image_of_other_size image(&gray(3, 2), PICTURES);
    image_of_other_size_than_the_first image(&gray(4, 3), &PICTURES.replace("row = 2, column = 3", "row, column"));
    image_of_colours image(&png(2, 3, png::ColorType::Rgb, png::BitDepth::Eight), PICTURES);
    image_of_16_bits image(&png(2, 3, png::ColorType::Grayscale, png::BitDepth::Sixteen), PICTURES);
    image_cut image(&gray(2, 3)[..45], PICTURES);
    image_of_a_changed_byte image(&changed(gray(2, 3), 45), PICTURES);
    image_that_claims_too_much image(&lying(2_000_000_000, 2_000_000_000), PICTURES);
    images_that_claim_too_much image_alone(&lying(2_000_000_000, 2_000_000_000));
    jpeg_cut image(&jpeg()[..150], &PICTURES.replace("row = 2, column = 3", "row = 8, column = 8").replace("*/*", "*/2*"));
    image_of_four_dims image(&gray(2, 3), &PICTURES.replace("real[row, column]", "real[1, row, column, 1]"));
    image_of_as_many_points image(&gray(3, 2), &PICTURES.replace("real[row, column]", "real[6]"));
    image_that_is_none image(b"GIF89a", PICTURES);
}

fn image_alone(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("cat")).expect("made");
    std::fs::write(folder.path().join("cat/1.png"), bytes).expect("written");
    said(folder.path(), &PICTURES.replace("row = 2, column = 3", "row, column"))
}

#[test]
fn entries_of_images() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.jpg"), jpeg()).expect("written");
    let source = "dim row, column\ndata d from \".\" { x: real[row, column] = images(\"*.jpg\") / 2 }
task t() {\n  report low = min(d.x)\n  report high = max(d.x)\n  report n = 1.0*size(row)*size(column)\n}";
    let model = Model::from_source("model.gnt", source).expect("right").data_folder(folder.path());
    let run = model.train("t", &Options::default()).expect("right");
    let found: Vec<f64> = ["low", "high", "n"].iter().map(|r| run.report(r).expect("a report")).collect();
    assert_eq!(found, [100.0, 100.0, 64.0]);
}

const TEXT: &str = "dim token, time = 4
data d from \"d.txt\" {
  text: token[time + 1] = characters(every = time)
}
task t() { report a = 1.0*sum(d.text) }
";

says! {
    text_empty of_file("d.txt", b"", TEXT);
    text_shorter_than_a_window of_file("d.txt", b"abcd", TEXT);
    text_of_other_bytes of_file("d.txt", b"abc\xffdefgh", TEXT);
    text_of_more_characters of_file("d.txt", b"abcdefgh", &TEXT.replace("token,", "token = 3,"));
    text_in_no_steps of_file("d.txt", b"abcdefgh", &TEXT.replace("every = time", "every = 0"));
    computed_infinity of_file("d.csv", b"1\n0\n", "data d from \"d.csv\" {\n  x: real = column 0\n  inverse = 1/x\n}\ntask t() { report a = sum(d.inverse) }\n");
}

/// A column of numbers and one of names.
fn parquet() -> Vec<u8> {
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    let schema = "message s { required double x; optional binary kind (UTF8); }";
    let schema = parquet::schema::parser::parse_message_type(schema).expect("a schema");
    let mut out = Vec::new();
    let mut writer = parquet::file::writer::SerializedFileWriter::new(&mut out, schema.into(), Default::default())
        .expect("a writer");
    let mut rows = writer.next_row_group().expect("a group");
    let mut column = rows.next_column().expect("open").expect("there is one");
    column.typed::<DoubleType>().write_batch(&[0.5, -1.0, 2.0], None, None).expect("written");
    column.close().expect("closed");
    let mut column = rows.next_column().expect("open").expect("there is one");
    let names = ["b", "a"].map(ByteArray::from);
    column.typed::<ByteArrayType>().write_batch(&names, Some(&[1, 0, 1]), None).expect("written");
    column.close().expect("closed");
    rows.close().expect("closed");
    writer.close().expect("closed");
    out
}

/// Whatever byte of a file is changed and wherever it is cut, reading it ends with values or with a finding.
#[test]
fn changed_bytes() {
    let files: [(&str, Vec<u8>, &str); 5] = [
        (
            "d.parquet",
            parquet(),
            "data d from \"d.parquet\" { x: real = column \"x\" }\ntask t() { report a = sum(d.x) }",
        ),
        ("d.npy", pair(), ARRAY),
        ("d.npz", archive(&[("x.npy", &pair())]), PACKED),
        (
            "d.png",
            gray(2, 3),
            "dim row, column\ndata d from \".\" { x: real[row, column] = images(\"*\") }\ntask t() { report a = sum(d.x) }",
        ),
        (
            "d.jpg",
            jpeg(),
            "dim row, column\ndata d from \".\" { x: real[row, column] = images(\"*\") }\ntask t() { report a = sum(d.x) }",
        ),
    ];
    for (name, bytes, source) in files {
        every_change(name, &bytes, source);
    }
}

fn every_change(name: &str, bytes: &[u8], source: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let model = Model::from_source("model.gnt", source).expect("right").data_folder(folder.path());
    let unit = model.unit(Some("t"), &[]).expect("right");
    let options = Options { threads: 1, ..Options::default() };
    let load = |bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("written");
        if let Err(e) = model.load_data(&unit, &options) {
            assert!(e.to_string().contains("[G050"), "{e}");
        }
    };
    for k in 0..bytes.len() {
        load(&bytes[..k]);
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = bytes.to_vec();
            changed[k] ^= flip;
            load(&changed);
        }
    }
}
