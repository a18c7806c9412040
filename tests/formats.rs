//! Data from archives, images, text, Parquet and columns of text: what arrives, and what is said of files that do not fit.

mod common;

use common::{archive, png};
use gannet::{Model, Options};
use std::path::Path;
use std::sync::Arc;

/// Reports of the task `t` of a program beside these files.
fn reports(folder: &Path, source: &str) -> Result<Vec<(String, Vec<f64>)>, String> {
    let model = Model::from_source("formats.gnt", source).map_err(|e| e.to_string())?;
    let model = model.data_folder(folder);
    let run =
        model.train("t", &Options { double: true, threads: 1, ..Options::default() }).map_err(|e| e.to_string())?;
    Ok(run.outcome.reports)
}

fn values(folder: &Path, source: &str) -> Vec<Vec<f64>> {
    reports(folder, source).unwrap_or_else(|e| panic!("{source}\n{e}")).into_iter().map(|r| r.1).collect()
}

/// The message names all of these.
fn refused(folder: &Path, source: &str, parts: &[&str]) {
    let said = match reports(folder, source) {
        Ok(_) => panic!("it is accepted:\n{source}"),
        Err(e) => e,
    };
    parts.iter().for_each(|part| assert!(said.contains(part), "`{part}` is missing:\n{said}\n{source}"));
}

fn npy(shape: &[u64], numbers: &[f32]) -> Vec<u8> {
    use npyz::WriterBuilder;
    let mut out = Vec::new();
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut out).begin_nd().expect("it starts");
    writer.extend(numbers.iter().copied()).expect("written");
    writer.finish().expect("written");
    out
}

#[test]
fn archives() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let (x, y) = (npy(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), npy(&[3], &[0.0, 1.0, 1.0]));
    std::fs::write(path.join("set.npz"), archive(&[("x.npy", &x), ("y.npy", &y)])).expect("written");
    std::fs::write(path.join("one.npz"), archive(&[("x.npy", &x)])).expect("written");
    let program = |source: &str, x: &str, y: &str| {
        format!(
            "dim c = 2, k = 2\ndata d from \"{source}\" {{\n  x: real[c] = file \"{x}\"\n  y: k = file \"{y}\"\n}}
task t() {{\n  report a = d.x\n  report b = d.y\n}}"
        )
    };
    let expected = [vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vec![0.0, 1.0, 1.0]];
    assert_eq!(values(path, &program("set.npz", "x", "y")), expected);
    assert_eq!(values(path, &program("set.npz", "x.npy", "y.npy")), expected);
    assert_eq!(values(path, &program(".", "set.npz/x", "set.npz/y")), expected);
    assert_eq!(values(path, &program(".", "one.npz", "set.npz/y")), expected);
    refused(path, &program("set.npz", "x", "z"), &["G0501", "no array `z`", "x, y"]);
    refused(path, &program(".", "set.npz", "set.npz/y"), &["G0501", "holds 2 arrays", "x, y"]);
    let bytes = std::fs::read(path.join("set.npz")).expect("read");
    std::fs::write(path.join("cut.npz"), &bytes[..bytes.len() / 2]).expect("written");
    refused(path, &program("cut.npz", "x", "y"), &["G0501", "no npz file"]);
}

#[test]
fn images() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    for (class, shade) in [("cat", 10), ("dog", 200)] {
        std::fs::create_dir(path.join(class)).expect("made");
        for k in 0..2u8 {
            let pixels: Vec<u8> = (0..6).map(|p| shade + 10 * k + p).collect();
            let image = png((2, 3), png::ColorType::Grayscale, png::BitDepth::Eight, &pixels);
            std::fs::write(path.join(class).join(format!("{k}.png")), image).expect("written");
        }
    }
    let program = |ty: &str, pattern: &str| {
        format!(
            "dim row = 2, column = 3, channel = 3, kind\ndata d from \".\" {{\n  x: {ty} = images(\"{pattern}\") / 2
  y: kind = folders(\"{pattern}\")\n}}\ntask t() {{\n  report a = d.x\n  report b = d.y\n}}"
        )
    };
    let gray = program("real[row, column]", "*/*.png");
    let found = values(path, &gray);
    assert_eq!(found[0][..6], [5.0, 5.5, 6.0, 6.5, 7.0, 7.5]);
    assert_eq!(found[0][18..], [105.0, 105.5, 106.0, 106.5, 107.0, 107.5]);
    assert_eq!(found[1], [0.0, 0.0, 1.0, 1.0]);
    refused(
        path,
        &program("real[row, column, channel]", "*/*.png"),
        &["G0502", "2 rows, 3 columns and 1 channel,", "channel = 3"],
    );
    refused(path, &program("real[row, column]", "*/*.jpg"), &["G0501", "no files `*/*.jpg`"]);
    refused(path, &gray.replace("kind\n", "kind = 1\n"), &["G0503", "2 different names of a folder", "`kind`"]);
    let coloured = png((2, 3), png::ColorType::Rgb, png::BitDepth::Eight, &[1, 2, 3].repeat(6));
    std::fs::write(path.join("dog/2.png"), coloured).expect("written");
    refused(path, &gray, &["G0502", "2.png` has 2 rows, 3 columns and 3 channels", "real[row, column, channel]"]);
    std::fs::write(path.join("dog/2.png"), b"no image").expect("written");
    refused(path, &gray, &["G0501", "2.png` is neither PNG nor JPEG"]);
}

#[test]
fn texts() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    std::fs::write(path.join("a.txt"), "abbaéabc").expect("written");
    std::fs::write(path.join("b.txt"), "abcdabcd").expect("written");
    let program = |field: &str| {
        format!(
            "dim token, time = 3\ndata d from \"a.txt\" {{\n  text: token[time + 1] = {field}\n}}
task t() {{\n  report a = d.text\n  report n = 1.0*token\n}}"
        )
    };
    assert_eq!(values(path, &program("characters()")), [vec![0.0, 1.0, 1.0, 0.0, 3.0, 0.0, 1.0, 2.0], vec![4.0]]);
    let windows = values(path, &program("characters(every = time)"));
    assert_eq!(windows[0], [0.0, 1.0, 1.0, 0.0, 0.0, 3.0, 0.0, 1.0]);
    let bytes = values(path, &program("bytes(file \"b.txt\", every = 2)"));
    assert_eq!(bytes[0][..8], [97.0, 98.0, 99.0, 100.0, 99.0, 100.0, 97.0, 98.0]);
    assert_eq!(bytes[1], [256.0]);
    refused(path, &program("characters(64)"), &["G0301", "every = 64"]);
    refused(path, &program("characters()").replace("token,", "token = 3,"), &["G0503", "4 different names", "`token`"]);
    refused(path, &program("characters()").replace("time = 3", "time = 30"), &["G0502", "8 symbols", "31"]);
    std::fs::write(path.join("a.txt"), [97, 0xff, 97, 97, 97, 97]).expect("written");
    refused(path, &program("characters()"), &["G0501", "byte 1", "bytes()"]);
    let split = "dim token, time = 4\ndata d from \"b.txt\" {\n  text: token[time] = characters()
  split test { text = characters(file \"c.txt\") }\n}\ntask t() {\n  report a = d.test.text\n}";
    std::fs::write(path.join("c.txt"), "ddcc").expect("written");
    assert_eq!(values(path, split), [vec![3.0, 3.0, 2.0, 2.0]]);
    std::fs::write(path.join("c.txt"), "ddxc").expect("written");
    refused(path, split, &["G0503", "\"x\"", "read first"]);
}

#[test]
fn columns_of_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    std::fs::write(path.join("iris.csv"), "length,kind\n1.5,setosa\n2.5,virginica\n3.5,setosa\n").expect("written");
    let program = |field: &str| {
        format!(
            "dim kind\ndata d from \"iris.csv\" {{\n  x: real = column 0\n  y: kind = {field}\n}}
task t() {{\n  report y = d.y\n  report n = 1.0*kind\n}}"
        )
    };
    assert_eq!(values(path, &program("category(column \"kind\")")), [vec![0.0, 1.0, 0.0], vec![2.0]]);
    assert_eq!(values(path, &program("category(column 1)"))[0], [0.0, 1.0, 0.0]);
    refused(path, &program("category(column 2)"), &["G0502", "column 2"]);
    refused(path, &program("category(2)"), &["G0301", "one column"]);
    refused(path, &program("column 1"), &["G0507", "`setosa`", "category"]);
    let real = program("category(column 1)").replace("y: kind", "y: real");
    refused(path, &real, &["G0502", "an index", "dim kind"]);
}

#[test]
fn parquet_files() {
    use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
    use parquet::file::writer::SerializedFileWriter;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let schema = "message s { required double x; required int64 n; required boolean b; required binary kind (UTF8); }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).expect("a schema"));
    let file = std::fs::File::create(path.join("d.parquet")).expect("made");
    let mut writer = SerializedFileWriter::new(file, schema, Default::default()).expect("a writer");
    let mut rows = writer.next_row_group().expect("a group");
    macro_rules! column {
        ($ty:ty, $values:expr) => {{
            let mut column = rows.next_column().expect("open").expect("there is one");
            column.typed::<$ty>().write_batch(&$values, None, None).expect("written");
            column.close().expect("closed");
        }};
    }
    column!(DoubleType, [0.1, -2.5, 1e-9]);
    column!(Int64Type, [7, 0, 5]);
    column!(BoolType, [true, false, true]);
    column!(ByteArrayType, ["b", "a", "b"].map(ByteArray::from));
    rows.close().expect("closed");
    writer.close().expect("closed");
    let program = "dim kind\ndata d from \"d.parquet\" {\n  x: real = column \"x\"\n  n: int = column \"n\"
  b: bool = column \"b\"\n  y: kind = category(column \"kind\")\n}
task t() {\n  report x = d.x\n  report n = d.n\n  report b = d.b\n  report y = d.y\n}";
    let expected = [vec![0.1, -2.5, 1e-9], vec![7.0, 0.0, 5.0], vec![1.0, 0.0, 1.0], vec![1.0, 0.0, 1.0]];
    assert_eq!(values(path, program), expected);
    refused(path, &program.replace("column \"x\"", "column \"z\""), &["G0502", "`z`", "x, n, b, kind"]);
    let bytes = std::fs::read(path.join("d.parquet")).expect("read");
    for cut in [1, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(path.join("d.parquet"), &bytes[..cut]).expect("written");
        refused(path, program, &["G0501", "no Parquet file"]);
    }
}

#[test]
fn computed_fields() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    std::fs::write(path.join("a.csv"), "1,0\n2,1\n3,1\n6,0\n").expect("written");
    std::fs::write(path.join("b.csv"), "10,1\n").expect("written");
    let program = "dim k = 2
data d from \"a.csv\" {
  x: real = column 0
  y: k = column 1
  m = mean[d](x)
  centred: real = x - m
  z ~ normal[d]
  other = z - z + (if y == 1 then x else 0)
}
task t() {
  report c = d.centred
  report o = d.other
  report z = var(d.z) > 0
}";
    let found = values(path, program);
    assert_eq!(found[0], [-2.0, -1.0, 0.0, 3.0]);
    assert_eq!(found[1], [0.0, 2.0, 3.0, 0.0]);
    assert_eq!(found[2], [1.0]);
    let split = "dim k = 2
data d from \".\" {
  x: real[2] = file \"a.csv\"
  twice = 2*x
  split test { x = file \"b.csv\" }
}
task t() { report a = d.test.twice }";
    assert_eq!(values(path, split), [vec![20.0, 2.0]]);
    std::fs::write(path.join("e.csv"), "0,1\n1,2\n").expect("written");
    std::fs::write(path.join("h.csv"), "1\n2\n4\n").expect("written");
    let graph = "dim node
data g from \".\" {
  edges link: node -> node = file \"e.csv\"
  h: real[node] = file \"h.csv\"
  into[v] = sum[e: link -> v](h[e.src])
}
task t() {
  report a = g.into
}";
    assert_eq!(values(path, graph), [vec![0.0, 1.0, 2.0]]);
}
