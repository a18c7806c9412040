//! What is printed reads back.

use super::{read, tables};
use gannet_compiler::graph::Graph;
use gannet_compiler::graph::random::{Config, Rng, random_graph};

/// Every operation, in the form in which it is printed.
const ALL: &str = r##"%0 = input in0 "x" : real[batch, row@1]
%1 = input in1 "label" : row@1[batch]
%2 = param w0 "f.w" : real[row@1, 3]  # w, weights
%3 = state s0 "m" : real[batch]
%4 = hyper h0 "lr" : real
%5 = step : real
%6 = const -1e-7 : real
%7 = const inf : real
%8 = const 3 : int
%9 = const 1 : bool
%10 = size batch : real
%11 = iota 3.1 : 3[3.1]
%12 = random.normal r2 [3, batch] : real[batch, 3]
%13 = map.mul %4 %5 : real
%14 = map.select %9 %6 %7 : real
%15 = reduce.argmax [row@1] %0 : row@1[batch]
%16 = contract [row@1] %0 %2 : real[batch, 3]
%17 = read [row@1 = arg1] %0 %1 : real[batch]
%18 = read [batch = -2*3@2 + row@4 - 3, row@1 = 3] %0 else %6 : real[3, row@4]
%19 = read [3 = 0] %2 : real[row@1]
%20 = fiber.sum [row@1 = arg1] over [batch] %3 %1 : real[row@1]
%21 = fiber.max [real@3 = batch + 3@2.1] over [batch, 3.1] %3 : real[real@3]
%22 = point p3 %3 : real[batch]
%23 = grad [batch as batch.1] shared [row@1] %22 %22 : real[batch, batch.1]
%24 = custom 1 %3 %22 %22 %3 : real[batch]
%25 = stop %24 : real[batch]
%26 = iota @5.1 : @5[@5.1]
output param w0 = %2
output state s0 = %25
output loss = %13
output report 1 = %8
output value "a \"b\" \\" = %26
"##;

#[test]
fn every_operation_reads_back() {
    let outputs: String = (0..27).map(|k| format!("output value \"{k}\" = %{k}\n")).collect();
    let text = format!("{ALL}{outputs}");
    assert_eq!(read(&text).to_string(), text);
}

#[test]
fn labels_may_have_gaps_and_dead_equations_are_not_printed() {
    let graph =
        read("%4 = hyper h0 : real\n\n# a remark\n%7 = step : real # t\n%9 = map.sin %7 : real\noutput loss = %9");
    assert_eq!(graph.to_string(), "%1 = step : real  # t\n%2 = map.sin %1 : real\noutput loss = %2\n");
}

#[test]
fn random_graphs_read_back() {
    for seed in 0..300 {
        let graph = random_graph(seed, &Config { steps: 20, ..Config::default() }).graph;
        let graph = graph.rebuild(|new, _, node, args| new.add(node.op.clone(), args.iter().copied()));
        let text = graph.to_string();
        let back = Graph::parse(&text, graph.tables.clone()).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{text}"));
        assert_eq!(back.to_string(), text);
        assert!(graph.ids().all(|id| graph.node(id).op == back.node(id).op), "seed {seed}");
        assert!(graph.ids().all(|id| graph.ty(id) == back.ty(id)), "seed {seed}");
        assert_eq!((graph.len(), &graph.outputs), (back.len(), &back.outputs));
    }
}

fn error(text: &str) -> String {
    Graph::parse(text, tables()).expect_err(text).to_string()
}

#[test]
fn errors_name_the_line() {
    let cases = [
        ("%0 = step : real\n%1 = map.add %0 %5 : real", "line 2: %5 is not defined above"),
        ("%0 = stop %0 : real", "line 1: %0 is not defined above"),
        ("%0 = step : real\n%0 = hyper h0 : real", "line 2: %0 is defined twice"),
        ("%0 = step : real[batch]", "line 1: the type is"),
        ("%0 = step : complex", "line 1: there is no dim `complex`"),
        ("%0 = iota row : row[row]", "line 1: there is no dim `row`"),
        ("%0 = map.sinh %0 : real", "line 1: there is no `sinh`"),
        ("%0 = leap : real", "line 1: there is no operation `leap`"),
        ("%0 = step", "line 1: expected `:`, found None"),
        ("%0 = step : real real", "line 1: Word(\"real\") is too much"),
        ("%0 = param w7 : real", "line 1: there is no parameter 7"),
        ("output gain = %0", "line 1: there is no output `gain`"),
        ("%0 = hyper h0 \"lr : real", "line 1: a quote is not closed"),
    ];
    for (text, message) in cases {
        let got = error(text);
        assert!(got.starts_with(message), "{text:?}: {got}");
    }
}

/// Broken text gives errors, never panics.
#[test]
fn broken_text_is_refused() {
    let mut rng = Rng(5);
    let lines: Vec<&str> = ALL.lines().collect();
    for _ in 0..3000 {
        let mut line: Vec<char> = rng.pick(&lines).chars().collect();
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(line.len());
            match rng.below(3) {
                0 => drop(line.remove(at)),
                1 => line.insert(at, rng.pick(&['%', '[', ']', '=', '9', 'é', '"', '-', '.', '@', ' '])),
                _ => line.swap(at, rng.below(at + 1)),
            }
        }
        let line: String = line.into_iter().collect();
        let cut = rng.below(lines.len());
        let text: Vec<&str> =
            lines[..cut].iter().copied().chain([line.as_str()]).chain(lines[cut..].iter().copied()).collect();
        let _ = Graph::parse(&text.join("\n"), tables());
    }
}
