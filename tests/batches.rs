//! Which rows a step trains on: batches of so many rows of each of some groups.

use gannet::{Model, Options};

/// Rows: their number, their class. Class 3 has too few.
fn data() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = String::new();
    for row in 0..60 {
        let class = if row < 58 { row % 3 } else { 3 };
        text += &format!("{row},{class}\n");
    }
    std::fs::write(folder.path().join("rows.csv"), text).expect("the file is written");
    folder
}

/// The rows and classes of the last step, over groups and shots.
fn last_batch(line: &str, steps: u64, seed: u64) -> Result<(Vec<f64>, Vec<f64>), gannet::Error> {
    let folder = data();
    let source = format!(
        "dim class = 4, group = 2, each = 5\n\
         data rows from \"rows.csv\" {{ number: real = column 0; label: class = column 1 }}\n\
         train run on rows {{\n  param w: real = 0\n  {line}\n  steps {steps}\n\
         state seen: real[group, each] = -1\n  state classes: real[group, each] = -1\n\
         seen'[g: group, s: each] = (sum[c: batch](if c == g then number[c, s] else 0))\n\
         classes'[g: group, s: each] = (sum[c: batch](if c == g then label[c, s] else 0))\n\
         minimize (w - number)^2 over w by sgd()\n}}\n"
    );
    let model = Model::from_source("batches.gnt", &source)?.data_folder(folder.path());
    let run = model.train("run", &Options { double: true, seed, ..Options::default() })?;
    let unit = &run.session.unit;
    let state = |name: &str| {
        let k = unit.states.iter().position(|s| s.name == name).expect("the block has the state");
        run.session.state(k)
    };
    Ok((state("seen"), state("classes")))
}

#[test]
fn so_many_rows_of_so_many_classes() {
    let mut pairs = std::collections::BTreeSet::new();
    for steps in 1..12 {
        let (rows, classes) = last_batch("batch of class[2] x each[5]", steps, 7).expect("it runs");
        let groups: Vec<Vec<f64>> = classes.chunks(5).map(<[f64]>::to_vec).collect();
        assert!(groups.iter().all(|g| g.iter().all(|c| *c == g[0] && *c < 3.0)), "{classes:?}");
        assert_ne!(groups[0][0], groups[1][0], "two different classes");
        let mut different = rows.clone();
        different.sort_by(f64::total_cmp);
        different.dedup();
        assert_eq!(different.len(), 10, "ten different rows: {rows:?}");
        assert!(rows.iter().zip(&classes).all(|(r, c)| *r as u64 % 3 == *c as u64), "{rows:?} {classes:?}");
        pairs.insert((groups[0][0] as u64, groups[1][0] as u64));
    }
    assert!(pairs.len() > 3, "steps draw different classes: {pairs:?}");
}

#[test]
fn drawn_from_the_seed_alone() {
    let line = "batch of label[2] x each[5]";
    let one = last_batch(line, 3, 7).expect("it runs");
    assert_eq!(one, last_batch(line, 3, 7).expect("it runs"));
    assert_ne!(one, last_batch(line, 3, 8).expect("it runs"));
}

#[test]
fn too_few_classes_have_so_many_rows() {
    let error = last_batch("batch of class[4] x each[5]", 1, 0).expect_err("class 3 has two rows").to_string();
    assert!(error.contains("3 values of `label` have so many"), "{error}");
}

#[test]
fn a_batch_of_more_rows_than_there_are() {
    for line in ["batch of class[2000] x each[5]", "batch of class[9000000000] x each[5]"] {
        let error = last_batch(line, 1, 0).expect_err("there are 60 rows").to_string();
        assert!(error.contains("groups of 5 rows is larger than the training data, 60 rows"), "{error}");
    }
}

/// The number of the epoch goes on from stage to stage, whichever way rows are drawn.
#[test]
fn epochs_of_stages() {
    let folder = data();
    let source = "dim class = 4\n\
         data rows from \"rows.csv\" { number: real = column 0; label: class = column 1 }\n\
         train run on rows {\n  param w: real = 0\n  loss = (w - number)^2\n\
         stage one { minimize loss over w by sgd(); batch 20; epochs 2 }\n\
         stage two { minimize loss over w by sgd(); batch of class[3] x each[4]; epochs 3 }\n}\n";
    std::fs::write(folder.path().join("model.gnt"), source).expect("the file is written");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gannet"));
    let out = command.args(["train", "model.gnt", "--json", "--out", "run"]).current_dir(folder.path()).output();
    let out = out.expect("the binary runs");
    let lines = String::from_utf8_lossy(&out.stdout);
    let events = lines.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).expect("a line is an object"));
    let epochs: Vec<u64> =
        events.filter(|e| e["event"] == "step").map(|e| e["epoch"].as_u64().expect("it has")).collect();
    assert_eq!(epochs.first(), Some(&1), "{lines}");
    assert_eq!(epochs.last(), Some(&5), "{lines}");
    assert!(epochs.is_sorted(), "{epochs:?}");
}
