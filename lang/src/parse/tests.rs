//! The grammar, construct by construct: source and tree side by side in snapshots.

use crate::diag::{Diagnostics, Sources};
use crate::print::print;
use crate::render::render;

use super::parse;

mod random;

fn read(source: &str) -> (Sources, Result<crate::ast::File, Diagnostics>) {
    let mut sources = Sources::default();
    let file = sources.add("test.gnt", source);
    let result = parse(&sources, file);
    (sources, result)
}

/// The source and its tree, or its diagnostics.
fn shown(source: &str) -> String {
    let (sources, result) = read(source);
    let below = match result {
        Ok(file) => print(&file),
        Err(errors) => render(&sources, &errors, false),
    };
    format!("{}\n----\n{below}", source.trim_end())
}

/// The tree of an expression.
fn expr(source: &str) -> String {
    let (sources, result) = read(&format!("x = {source}"));
    match result {
        Ok(file) => print(&file).trim().trim_start_matches("x = ").to_string(),
        Err(errors) => render(&sources, &errors, false),
    }
}

fn first_error(source: &str) -> crate::diag::Diagnostic {
    read(source).1.expect_err("the source is wrong").0.remove(0)
}

/// Sources that together hold every construct; each is a snapshot and a seed of the random test.
const CONSTRUCTS: &[(&str, &str)] = &[
    ("dims", "dim batch\ndim class = 10, pixel = 8*8; dim half = pixel div 2 + pixel mod 3"),
    ("uses", "use std.rules\nuse \"other.gnt\" { encoder, decoder }"),
    ("data", include_str!("tests/data.gnt")),
    ("functions", include_str!("tests/functions.gnt")),
    ("nets", include_str!("tests/nets.gnt")),
    ("rules", include_str!("tests/rules.gnt")),
    ("train", include_str!("tests/train.gnt")),
    ("indices", include_str!("tests/indices.gnt")),
    ("loops", include_str!("tests/loops.gnt")),
    ("values", include_str!("tests/values.gnt")),
    ("names", include_str!("tests/names.gnt")),
    ("layout", include_str!("tests/layout.gnt")),
];

#[test]
fn constructs() {
    for (name, source) in CONSTRUCTS {
        insta::assert_snapshot!(*name, shown(source));
    }
}

/// What the language has and this version lacks is read, and said to be missing.
#[test]
fn unsupported() {
    insta::assert_snapshot!(shown(include_str!("tests/unsupported.gnt")));
}

/// The tree's text is itself a source with the same tree, but for two forms that only the tree has.
#[test]
fn trees_read_back() {
    for (name, source) in CONSTRUCTS {
        let printed = print(&read(source).1.unwrap_or_else(|e| panic!("{name}: {e}")));
        let again = read(&printed).1.unwrap_or_else(|e| panic!("{name} printed: {e}\n{printed}"));
        assert_eq!(printed, print(&again), "{name}");
    }
}

#[test]
fn precedence() {
    let cases = [
        ("-a^2", "(-(a ^ 2))"),
        ("a^b^c", "(a ^ (b ^ c))"),
        ("2^-1 + 3", "((2 ^ (-1)) + 3)"),
        ("a - b - c", "((a - b) - c)"),
        ("a + b * c @ d", "(a + ((b * c) @ d))"),
        ("-a * b", "((-a) * b)"),
        ("not a == b and c or d", "(((not (a == b)) and c) or d)"),
        ("a div b mod c", "((a div b) mod c)"),
        ("clip(1) |> decay(k = 2) |> adam(lr)", "((clip(1) |> decay(k = 2)) |> adam(lr))"),
        ("if a < b then c + 1 else d + 2", "(if (a < b) then (c + 1) else (d + 2))"),
        ("1 + if a then b else c + 2", "(1 + (if a then b else (c + 2)))"),
        ("if a then b else if c then d else e", "(if a then b else (if c then d else e))"),
        ("(x[i] * 2 else 0) + 1", "(((x[i] * 2) else 0) + 1)"),
        ("sum[i](x[i + 1] else 0)", "sum[i]((x[(i + 1)] else 0))"),
        ("x => y => x + y", "((x) => ((y) => (x + y)))"),
        ("√x^2 + √(a + b)", "((sqrt(x) ^ 2) + sqrt((a + b)))"),
        ("-x² · y³", "((-(x ^ 2)) * (y ^ 3))"),
        ("20% * 1e-3", "(0.2 * 0.001)"),
        ("columns 0..64 / 16", "((columns 0..64) / 16)"),
        ("file \"a.gz\" / 255", "(file \"a.gz\" / 255)"),
        ("f{theta}(x).h[i]", "f{theta}(x).h[i]"),
        ("x with [i, j] = v + 1", "(x with [i, j] = (v + 1))"),
    ];
    for (source, tree) in cases {
        assert_eq!(expr(source), tree, "{source}");
    }
}

/// Each wrong source with the whole text of its diagnostics.
#[test]
fn errors() {
    let mut text = String::new();
    for source in include_str!("tests/errors.gnt").split("\n====\n") {
        text.push_str(&shown(source));
        text.push('\n');
    }
    insta::assert_snapshot!(text);
}

#[test]
fn spans_cover_what_was_written() {
    let source = "fn f(x) = {\n  y = x +  # λ\n    λ2 \n  y * 2\n}  \n";
    let crate::ast::Item::Fn(f) = &read(source).1.expect("it is right").items[0] else { panic!("a function") };
    let text = |span: crate::diag::Span| &source[span.start as usize..span.end as usize];
    let crate::ast::Stmt::Let(y) = &f.body.stmts[0] else { panic!("an equation") };
    assert_eq!(text(y.span), "y = x +  # λ\n    λ2");
    assert_eq!(text(f.body.value.as_ref().expect("a value").span), "y * 2");
}

/// 10,000 open brackets, and other ways to nest, are a diagnostic and no overflow.
#[test]
fn deep_nesting_is_refused() {
    let forms =
        ["(", "[", "f(", "x[", "{ a = ", "-", "not ", "a^", "a + ", "if a then ", "x => ", "√", "a.b", "a |> ", "f()"];
    for form in forms {
        let error = first_error(&format!("x = {}", form.repeat(10_000)));
        assert!(error.message.starts_with("more than"), "{form}: {}", error.message);
    }
}

/// What is just within the limits is read on a thread's ordinary stack.
#[test]
fn nesting_within_the_limits_is_read() {
    for (open, inner, close, times) in [
        ("(", "a", ")", 90),
        ("f(", "a", ")", 90),
        ("[", "a", "]", 90),
        ("{ b = 1; ", "a", " }", 90),
        ("x[", "a", "]", 90),
    ] {
        let source = format!("x = {}{inner}{}", open.repeat(times), close.repeat(times));
        assert!(read(&source).1.is_ok(), "{open}");
    }
    let mixed = "f(x => if a then b else -";
    let source = format!("x = {}a{}", mixed.repeat(50), ")".repeat(50));
    assert!(read(&source).1.is_ok(), "{mixed}");
    for form in ["-", "not ", "a^", "a + ", "if a then b else ", "x => ", "√"] {
        let times = if form.len() > 3 { 120 } else { 390 };
        let source = format!("x = {}a", form.repeat(times));
        assert!(read(&source).1.is_ok(), "{form}");
    }
}

/// Lists have no limit, and reading them takes time in proportion to their length.
#[test]
fn long_lists_are_read() {
    let source = format!("x = [{}]", vec!["-1"; 20_000].join(", "));
    assert!(read(&source).1.is_ok());
    assert!(read(&"y = a + b\n\n# note\n".repeat(20_000)).1.is_ok());
}
