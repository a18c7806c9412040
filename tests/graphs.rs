//! Reductions along fibers: against the same reduction written with a condition over all pairs, in values, first and
//! second derivatives, and against finite differences. The graph has parallel edges, loops and nodes without edges.

mod common;

use gannet::compiler::CompileOptions;
use gannet::{Model, Options};
use std::path::Path;

/// source, target, kind: node 6 has no edge, node 5 none that arrives, 3 -> 1 is there three times, 0 and 2 have loops.
const EDGES: &str = "src,dst,kind\n0,1,0\n0,0,1\n3,1,0\n3,1,1\n3,1,0\n2,2,1\n4,0,0\n1,4,1\n5,3,0\n5,2,0\n2,4,1\n";
const WEIGHTS: &str = "0.5\n-1.25\n0.75\n2\n-0.5\n1.5\n0.25\n-0.75\n1\n0.3\n-2\n";
const GROUPS: &str = "2\n0\n2\n0\n0\n2\n0\n";

const HEAD: &str = "dim node = 7, f = 3, kind = 2, group = 4
data toy from \"toy\" {
  edges link: node -> node by kind = file \"edges.csv\"
  w: real[link] = file \"w.csv\"
  g: group[node] = file \"g.csv\"
}
fn softened[i](x) = exp(x[i] - max[i](x[i])) / sum[j: i](exp(x[j] - max[i](x[i])))
fn centred[i](x) = x[i] - mean[i](x[i])
fn length[i](x) = sqrt(1 + sum[i](x[i]^2))
fn twice[i](x) = softened[i](2 * softened[i](x[i]))
fn soft[i](x) = sum[j: i](softmax[j](x[j]) * x[j])
fn agreement[i](x) = sum[j: i](tanh(x[i] * x[j]))
";

/// A folder with these files as the data set `toy`.
fn data(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let toy = folder.path().join("toy");
    std::fs::create_dir(&toy).expect("a folder");
    files.iter().for_each(|(name, text)| std::fs::write(toy.join(name), text).expect("written"));
    folder
}

/// Runs a task in double precision and gives its reports.
fn reports(body: &str) -> Vec<(String, f64)> {
    let folder = data(&[("edges.csv", EDGES), ("w.csv", WEIGHTS), ("g.csv", GROUPS)]);
    let source = format!("{HEAD}\ntask t() real f64 {{\n{body}\n}}\n");
    run(&source, folder.path())
}

fn run(source: &str, folder: &Path) -> Vec<(String, f64)> {
    let model = Model::from_source("graph.gnt", source).unwrap_or_else(|e| panic!("{source}\n{e}"));
    let model = model.data_folder(folder);
    common::reports_of(&model).unwrap_or_else(|e| panic!("{source}\n{e}"))
}

/// Every report is a difference that must be small.
fn small(what: &str, body: &str, tolerance: f64) {
    for (name, x) in reports(body) {
        assert!(x.abs() <= tolerance, "{what}: {name} is {x}\n{body}");
    }
}

/// `fiber` and `dense` are expressions of `u: real[node, f]`, `v` and `k`; both are summed with random weights.
fn same(what: &str, fiber: &str, dense: &str) {
    let body = format!(
        "  x ~ normal[node, f]\n  c ~ normal[node, f]\n  d ~ normal[node, f]\n
  arrive[v: node] = sum[e: link](if e.dst == v then 1 else 0)
  leave[v: node] = sum[e: link](if e.src == v then 1 else 0)
  fiber = u => {{ y[v: node, k: f] = {fiber}
    sum[v, k](c[v, k] * y[v, k]) }}
  dense = u => {{ y[v: node, k: f] = {dense}
    sum[v, k](c[v, k] * y[v, k]) }}
  gf = grad[u = x](fiber(u))
  gd = grad[u = x](dense(u))
  hf = grad[u = x](sum(d * grad[s = u](fiber(s))))
  hd = grad[u = x](sum(d * grad[s = u](dense(s))))
  h = 1e-5
  report value = fiber(x) - dense(x)
  report gradient = sum(abs(gf - gd))
  report second = sum(abs(hf - hd))
  report difference = (fiber(x + h*d) - fiber(x - h*d)) / (2*h) - sum(gf * d)\n"
    );
    small(what, &body, 1e-7);
}

#[test]
fn reductions_over_arriving_and_leaving_edges() {
    let message = "sin(w[e] * u[e.src, k] + 0.3*u[e.dst, k] + e.type)";
    for red in ["sum", "mean", "var", "prod", "logsumexp", "max", "min"] {
        for (arrow, end, degree) in [("->", "dst", "arrive"), ("<-", "src", "leave")] {
            // max, min and logsumexp are infinite over nothing.
            same(
                &format!("{red} {arrow}"),
                &format!("if {degree}[v] > 0 then {red}[e {arrow} v]({message}) else 2"),
                &format!("if {degree}[v] > 0 then {red}[e: link | not (e.{end} != v)]({message}) else 2"),
            );
            if ["sum", "mean", "var", "prod"].contains(&red) {
                same(
                    &format!("{red} {arrow} over nothing too"),
                    &format!("{red}[e {arrow} v]({message})"),
                    &format!("{red}[e: link | not (e.{end} != v)]({message})"),
                );
            }
        }
    }
}

#[test]
fn the_node_is_known_inside_and_guards_choose() {
    same(
        "the node inside",
        "sum[e -> v](tanh(u[e.src, k] * u[v, k] + v))",
        "sum[e: link | not (e.dst != v)](tanh(u[e.src, k] * u[v, k] + v))",
    );
    same(
        "a guard",
        "mean[e -> v | w[e] > 0 and e.type == 0](u[e.src, k]^2)",
        "mean[e: link | not (e.dst != v) and w[e] > 0 and e.type == 0](u[e.src, k]^2)",
    );
    same(
        "a fiber within a fiber",
        "sum[e -> v](u[e.src, k] / (1 + sum[r <- v](u[r.dst, k]^2)))",
        "sum[e: link | not (e.dst != v)](u[e.src, k] / (1 + sum[r: link | not (r.src != v)](u[r.dst, k]^2)))",
    );
    same(
        "along the edge's other end",
        "sum[e -> v](prod[j | g[j] = g[v]](u[j, k]) * w[e])",
        "sum[e: link | not (e.dst != v)](prod[j: node | not (g[j] != g[v])](u[j, k]) * w[e])",
    );
}

#[test]
fn fibers_of_any_index_array() {
    // The group with the number of the node: 1 and 3 are empty.
    for red in ["sum", "mean", "var", "prod"] {
        same(
            red,
            &format!("sum[q: group](if q == v then {red}[i | g[i] = q](u[i, k]^2) else 0)"),
            &format!("if v < 4 then {red}[i: node | g[i] - v == 0](u[i, k]^2) else 0"),
        );
    }
    same(
        "within its own group",
        "sum[i | g[i] = g[v]](u[i, k] * u[v, k])",
        "sum[i: node | g[i] - g[v] == 0](u[i, k] * u[v, k])",
    );
}

#[test]
fn axis_functions_along_fibers() {
    let dense = |of: &str| {
        format!(
            "(exp({of}) / sum[r: link | not (r.dst != e.dst)](exp({})))",
            of.replace("e.", "r.").replace("[e]", "[r]")
        )
    };
    let score = "w[e] * u[e.src, k]";
    for name in ["softmax", "softened"] {
        same(
            name,
            &format!("sum[e -> v]({name}[e -> v]({score}) * u[e.src, k])"),
            &format!("sum[e: link | not (e.dst != v)]({} * u[e.src, k])", dense(score)),
        );
        // As an equation of its own over all edges.
        same(
            "an equation",
            &format!(
                "{{ a[e] = {name}[e -> r]({score})
      sum[e <- v](a[e] * w[e]) }}"
            ),
            &format!("sum[e: link | not (e.src != v)]({} * w[e])", dense(score)),
        );
    }
    same(
        "centred",
        &format!("sum[e -> v](centred[e -> v]({score})^3)"),
        &format!("sum[e: link | not (e.dst != v)](({score} - mean[r: link | not (r.dst != v)](w[r] * u[r.src, k]))^3)"),
    );
    same(
        "a function that uses the index up",
        &format!("length[e -> v]({score})"),
        &format!("sqrt(1 + sum[e: link | not (e.dst != v)](({score})^2))"),
    );
    let once =
        |of: &str, r: &str| format!("(exp({of}) / sum[{r}: link | not ({r}.dst != v)](exp(w[{r}] * u[{r}.src, k])))");
    same(
        "a function of a function",
        &format!("sum[e -> v](twice[e -> v]({score}) * w[e])"),
        &format!(
            "sum[e: link | not (e.dst != v)](exp(2*{}) / sum[s: link | not (s.dst != v)](exp(2*{})) * w[e])",
            once(score, "r"),
            once("w[s] * u[s.src, k]", "r")
        ),
    );
    same(
        "pairs within a fiber",
        &format!("sum[e -> v](agreement[e -> v]({score}))"),
        "sum[e: link | not (e.dst != v)](sum[r: link | not (r.dst != v)](tanh(w[e]*u[e.src, k] * w[r]*u[r.src, k])))",
    );
    same(
        "a guard names the fiber",
        "softmax[i | g[i] = q](u[i, k]) [v]"
            .replace(" [v]", "")
            .replace("[i |", "[v |")
            .replace("g[i]", "g[v]")
            .replace("u[i", "u[v")
            .as_str(),
        "exp(u[v, k]) / sum[i: node | g[i] - g[v] == 0](exp(u[i, k]))",
    );
}

/// Values over nothing, and truth values and places, which have no gradient.
#[test]
fn over_nothing() {
    let found = reports(
        "  report sum = sum[v](if v == 6 then sum[e -> v](w[e]) else 0)
  report count = sum[v](if v == 6 then count[e -> v](w[e] > -9) else 0)
  report mean = sum[v](if v == 6 then mean[e -> v](w[e]) else 0)
  report prod = sum[v](if v == 6 then prod[e -> v](w[e]) else 0)
  report max = min[v](max[e -> v](w[e]))
  report min = max[v](min[e -> v](w[e]))
  report logsumexp = min[v](logsumexp[e -> v](w[e]))
  report any = sum[v](if any[e -> v](w[e] > 1) then 10^v else 0)
  report all = sum[v](if all[e -> v](w[e] > 0) then 10^v else 0)
  report argmax = sum[v](10^v * argmax[e -> v](w[e]))
  report argmin = sum[v](10^v * argmin[e -> v](w[e] * (1 - e.type)))
  report kinds = sum[q: kind](10^q * count[e | e.type = q](w[e] > -9))",
    );
    let arrive: [&[usize]; 7] = [&[1, 6], &[0, 2, 3, 4], &[5, 9], &[8], &[7, 10], &[], &[]];
    let w: Vec<f64> = WEIGHTS.lines().map(|l| l.parse().expect("a number")).collect();
    let kind = [0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1];
    let place = |f: &dyn Fn(usize) -> f64| -> f64 {
        let first =
            |edges: &&[usize]| edges.iter().copied().reduce(|a, b| if f(b) > f(a) { b } else { a }).unwrap_or(0) as f64;
        arrive.iter().enumerate().map(|(v, edges)| 10f64.powi(v as i32) * first(edges)).sum()
    };
    let digits = |f: &dyn Fn(&[usize]) -> bool| -> f64 {
        arrive.iter().enumerate().map(|(v, edges)| if f(edges) { 10f64.powi(v as i32) } else { 0.0 }).sum()
    };
    let expected = [
        ("sum", 0.0),
        ("count", 0.0),
        ("mean", 0.0),
        ("prod", 1.0),
        ("max", f64::NEG_INFINITY),
        ("min", f64::INFINITY),
        ("logsumexp", f64::NEG_INFINITY),
        ("any", digits(&|e| e.iter().any(|k| w[*k] > 1.0))),
        ("all", digits(&|e| e.iter().all(|k| w[*k] > 0.0))),
        ("argmax", place(&|k| w[k])),
        ("argmin", place(&|k| -w[k] * f64::from(1 - kind[k]))),
        ("kinds", 56.0),
    ];
    for (name, value) in expected {
        let got = found.iter().find(|r| r.0 == name).unwrap_or_else(|| panic!("{name} is reported")).1;
        assert_eq!(got, value, "{name}");
    }
}

/// A logarithm of a sum over nothing is a constant, which has the gradient 0.
#[test]
fn slopes_over_nothing() {
    small(
        "logsumexp",
        "  slope = grad[u = w](sum[v: node](exp(logsumexp[e: link -> v](u[e]))))
  report fiber = max(abs(slope - exp(w)))
  low = u => sum[v: node](exp(logsumexp[e: link | e.src < v and e.src > v](u[e])))
  report guard = max(abs(grad[u = w](low(u))))
  u = 1*w
  report forwards = along[u = w](low(u))",
        1e-12,
    );
}

/// Edges made from others, and their order.
#[test]
fn derived_edges() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("edges.csv"), "0,1,0.5\n2,1,-1\n0,3,2\n").expect("written");
    let source = "dim node = 4
edges back = reverse(link)
edges both = link + back
edges all = both + loops(node)
edges strong = link where w > 0 and link.src == 0
data toy from \"edges.csv\" {
  edges link: node -> node = (column 0, column 1)
  w: real[link] = column 2
}
task t() {
  report sizes = sum[e: link](1) + 10*sum[e: back](1) + 100*sum[e: both](1) + 1000*sum[e: all](1) + 10000*sum[e: strong](1)
  report back = sum[e: back](4^e * (e.src + 0.1 * e.dst))
  report degree = sum[v](10^v * count[e: all -> v](e.src >= 0))
  report strong = sum[v](10^v * count[e: strong -> v](e.src >= 0))
}
";
    let found = run(source, folder.path());
    let value = |name: &str| found.iter().find(|r| r.0 == name).expect("reported").1;
    assert_eq!(value("sizes"), 3.0 + 30.0 + 600.0 + 10_000.0 + 20_000.0);
    assert!((value("back") - (1.0 + 4.0 * 1.2 + 16.0 * 3.0)).abs() < 1e-9);
    assert_eq!(value("degree"), 3.0 + 30.0 + 200.0 + 2000.0);
    assert_eq!(value("strong"), 10.0 + 1000.0);
}

/// What is said about a graph whose files do not fit.
fn refused(edges: &str, weights: &str, head: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("edges.csv"), edges).expect("written");
    std::fs::write(folder.path().join("w.csv"), weights).expect("written");
    let source = format!("{head}\ntask t() {{ report n = sum[e: link](w[e] * e.src) }}\n");
    let model = Model::from_source("graph.gnt", &source).unwrap_or_else(|e| panic!("{source}\n{e}"));
    let model = model.data_folder(folder.path());
    let unit = model.unit(Some("t"), &[]).unwrap_or_else(|e| panic!("{source}\n{e}"));
    match model.session(unit, &Options { threads: 1, ..Options::default() }) {
        Ok(_) => "it is accepted".to_string(),
        Err(e) => e.to_string(),
    }
}

#[test]
fn faults_in_files_are_named() {
    let data = "data toy from \"edges.csv\" {
  edges link: node -> node = file \"edges.csv\"
  w: real[link] = file \"w.csv\"
}";
    let sized = format!("dim node = 4\n{data}");
    let typed = sized.replace("node -> node =", "node -> node by node =");
    let cases = [
        (
            "0,1\n2,7\n",
            "1\n2\n",
            &sized,
            &["G0503", "line 2, column 1 of", "`link.dst` is 7", "`node` (0 to below 4)"][..],
        ),
        ("0,1\n2,-1\n", "1\n2\n", &sized, &["G0503", "line 2, column 1 of", "-1"]),
        ("0,1\n0.5,1\n", "1\n2\n", &sized, &["G0503", "line 2, column 0 of", "0.5"]),
        ("0,1,2\n1,2,3\n", "1\n2\n", &sized, &["G0502", "as src, dst, _"]),
        ("0,1\n2,3\n", "1\n2\n", &typed, &["G0502", "3 columns"]),
        ("0,1\n2,3\n", "1\n2\n3\n", &sized, &["G0502", "2 edges `link`", "3 entries"]),
        ("0,1\n2,x\n", "1\n2\n", &sized, &["G0507", "line 2"]),
        ("0,1\n2,3\n", "1\n2\n", &format!("dim node\n{data}"), &["G0603", "`node`"]),
    ];
    for (edges, weights, head, parts) in cases {
        let said = refused(edges, weights, head);
        for part in parts {
            assert!(said.contains(part), "{part} is missing:\n{said}\n{head}\n{edges}");
        }
    }
}

/// A loop over the sets of edges that arrive at a dim goes through them in the order of their declaration; in it the loop's
/// name stands for the set.
#[test]
fn several_sets_of_edges() {
    let folder = data(&[("writes.csv", "src,dst\n0,0\n1,1\n2,0\n"), ("cites.csv", "src,dst\n0,1\n1,0\n")]);
    let source = "dim author = 3, paper = 2
data toy from \"toy\" {
  edges writes: author -> paper = file \"writes.csv\"
  edges cites: paper -> paper = file \"cites.csv\"
}
edges back = reverse(writes)
task t() {
  x ~ normal[paper]
  through = x => {
    z[v: paper] = x[v]
    for R in edges into paper {
      z'[v: paper] = sin(z[v]) + sum[e: R -> v](cos(R.src[e] + z[v]) + e.src)
    }
    z
  }
  by_hand = x => {
    a[v: paper] = sin(x[v]) + sum[e: writes -> v](cos(e.src + x[v]) + e.src)
    b[v: paper] = sin(a[v]) + sum[e: cites -> v](cos(e.src + a[v]) + e.src)
    b
  }
  report value = norm(through(x) - by_hand(x))
  report slope = norm(grad[u = x](sum(through(u))) - grad[u = x](sum(by_hand(u))))
  report some = min(0, norm(through(x)) - 1)
}
";
    for (name, x) in run(source, folder.path()) {
        assert!(x.abs() <= 1e-12, "{name} is {x}");
    }
}

#[test]
fn twins_lead_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Two edges from 0 to 1, one back, a loop, and a pair of another type.
    std::fs::write(folder.path().join("edges.csv"), "0,1,0\n1,0,0\n2,2,1\n0,2,1\n2,0,1\n").expect("written");
    let data = "dim node = 3, kind = 2
data toy from \"edges.csv\" {
  edges link: node -> node by kind = columns 0..3
  edges more = link + reverse(link)
}
";
    let task = "task t() {
  report at = sum[e: link](10^e * link.twin[e])
  report back = count[e: more](more.src[e.twin] == e.dst and more.dst[e.twin] == e.src and more.type[e.twin] == e.type)
  report all = count[e: more](more.twin[e.twin] == e)
}
";
    let found = run(&format!("{data}{task}"), folder.path());
    let value = |name: &str| found.iter().find(|r| r.0 == name).expect("reported").1;
    assert_eq!(value("at"), 1.0 + 200.0 + 4000.0 + 30_000.0);
    assert_eq!((value("back"), value("all")), (10.0, 10.0));

    std::fs::write(folder.path().join("edges.csv"), "0,1,0\n1,0,0\n0,1,0\n1,0,1\n").expect("written");
    let model = Model::from_source("graph.gnt", &format!("{data}{task}")).expect("accepted");
    let model = model.data_folder(folder.path());
    let unit = model.unit(Some("t"), &[]).expect("there is one");
    let said = match model.session(unit, &Options { threads: 1, ..Options::default() }) {
        Ok(_) => panic!("it is accepted"),
        Err(e) => e.to_string(),
    };
    for part in ["G0503", "2 of the edges `link` have no twin", "edge 2 goes from 0 to 1", "link + reverse(link)"] {
        assert!(said.contains(part), "{part} is missing:\n{said}");
    }
}

const SAMPLED: &str = "dim node = 7, trial = 4000
data toy from \"edges.csv\" {
  edges link: node -> node = file \"edges.csv\" as src, dst, _
  edges all = link + loops(node)
}
fn taken(z) = {
  edges near = sample 3 of all[-> v]
  c[k: all] = sum[e: near](if e.of == k then 1 else 0) + 0*z
  c
}
";

#[test]
fn samples_are_distinct_and_fair() {
    let folder = data(&[]);
    std::fs::write(folder.path().join("edges.csv"), EDGES).expect("written");
    // Node 1 is reached by edges 0, 2, 3, 4 and its loop, 12; node 6 by its loop alone, 17.
    let task = "task t() real f64 {
  edges near = sample 3 of all[-> v]
  differs[e: near] = if all.src[e.of] == e.src and all.dst[e.of] == e.dst then 0 else 1
  report differ = sum(differs)
  n[v: node] = sum[e: near -> v](1)
  report three_each = max(abs(n - 3))
  c[b: trial] = taken(1.0*b)
  report no_edge_twice = max[b](max(max(c[b, 0], c[b, 2]), max(c[b, 3], max(c[b, 4], c[b, 12])))) - 1
  report all_of_few = max[b](abs(c[b, 17] - 3))
  share[k: all] = mean[b](c[b, k])
  report fair_0 = share[0] - 0.6
  report fair_3 = share[3] - 0.6
  report fair_12 = share[12] - 0.6
  report fair_pairs = mean[b](c[b, 0]*c[b, 12]) - 0.3
}";
    for (name, x) in run(&format!("{SAMPLED}{task}\n"), folder.path()) {
        let most = if name.starts_with("fair") { 0.03 } else { 0.0 };
        assert!(x.abs() <= most, "{name} is {x}");
    }
}

#[test]
fn a_target_without_edges_cannot_be_sampled() {
    let data = "dim node = 4\ndata toy from \"edges.csv\" {
  edges link: node -> node = file \"edges.csv\"
  w: real[link] = file \"w.csv\"
  edges near = link
}";
    let body = "fn few(x) = { edges some = sample 2 of link[-> v]\n s = sum[e: some](x)\n s }";
    let task = "task u() { report n = few(1) }";
    let said = refused("0,1\n1,3\n", "1\n2\n", &format!("{data}\n{body}\n{task}"));
    assert_eq!(said, "it is accepted", "the task that does not sample runs");
    let source = format!("{data}\n{body}\n{}", task.replace("u()", "t()"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("edges.csv"), "0,1\n1,3\n").expect("written");
    std::fs::write(folder.path().join("w.csv"), "1\n2\n").expect("written");
    let model = Model::from_source("graph.gnt", &source).expect("accepted").data_folder(folder.path());
    let unit = model.unit(Some("t"), &[]).expect("there is one");
    let said = model.session(unit, &Options::default()).err().expect("refused").to_string();
    for part in ["G0503", "arrives at 2 of the targets", "the first is 0", "link + loops(node)"] {
        assert!(said.contains(part), "{part} is missing:\n{said}");
    }
}

/// An axis of one place beside the edges splits nothing over threads: each entry is added to by one thread.
#[test]
fn one_head_is_summed_by_one_thread() {
    let source = "dim node = 50, link = 200000, head = 1
data graph {
  src ~ categorical[link](node)
  dst ~ categorical[link](node)
}
task t {
  x ~ normal[node, head]
  edges fact = (graph.src, graph.dst)
  y[v: node, h: head] = sum[e: fact -> v](x[e.src, h] * x[e.dst, h])
  n[v: node] = sum[e: fact -> v](x[e.src, 0] * x[e.dst, 0])
  report y = y
  report n = n
}
";
    let model = Model::from_source("t.gnt", source).unwrap_or_else(|e| panic!("{e}"));
    let run = model.train("t", &Options { threads: 8, ..Options::default() }).unwrap_or_else(|e| panic!("{e}"));
    let [y, n] = ["y", "n"].map(|name| run.outcome.reports.iter().find(|r| r.0 == name).expect("reported").1.clone());
    assert_eq!(y, n);
    let unit = model.unit(Some("t"), &[]).expect("a task");
    let plan = model.stages(&unit, "report", &CompileOptions::default()).plan;
    plan.verify().unwrap_or_else(|fault| panic!("{fault}\n{plan}"));
}
