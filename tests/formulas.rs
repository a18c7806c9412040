//! Rules of rewriting on formulas as people write them.
//! Law: each rule here fires on its formula, and the formula keeps its value with and without rewriting.

use gannet::compiler::CompileOptions;
use gannet::compiler::egraph::{Options as Rewriting, rewrite_report, rules};
use gannet::{Model, Options};

/// Rules, and a formula of matrices `x` and `y`, vectors `v` and `w`, `u` between 0 and 1, truths `a`, `b` and `c`,
/// positive `d` of rows, and `q`, which picks a row for each of `edge`.
const FORMULAS: &[(&str, &str)] = &[
    ("sqrt-recip", "x * sqrt(1 / u)"),
    ("sqrt-over-itself", "x * sqrt(u) / u"),
    ("sqrt-square-times", "sqrt(0.3 * x * x)"),
    ("recip-product", "u / (u * x)"),
    ("exp-half-log", "exp(0.5 * log(u))"),
    ("exp-minus-half-log", "exp(-0.5 * log(u))"),
    ("exp-minus-log", "exp(-log(u))"),
    ("pow-five-halves", "u^2.5"),
    ("pow-quarter", "u^0.25"),
    ("pow-minus-quarter", "u^(-0.25)"),
    ("pow-minus-three-halves", "u^(-1.5)"),
    ("pow-minus-three", "u^(-3)"),
    ("pow-recip", "(1 / u)^0.3"),
    ("tan-neg", "tan(-x)"),
    ("abs-scale", "sum(abs(0.3 * x))"),
    ("sign-scale", "sign(0.3 * x)"),
    ("clip-clip", "min(max(min(max(x, -1), 0.5), -1), 0.5)"),
    ("clip-clip-below", "max(min(max(min(x, 0.5), -1), 0.5), -1)"),
    ("max-self-neg", "max(x, -x)"),
    ("min-self-neg", "min(x, -x)"),
    ("max-plus-min", "max(x, y) + min(x, y)"),
    ("max-minus-min", "max(x, y) - min(x, y)"),
    ("relu-minus-relu", "relu(x) - relu(-x)"),
    ("relu-plus-relu", "relu(x) + relu(-x)"),
    ("minus-relu", "x - relu(x)"),
    ("plus-relu", "x + relu(-x)"),
    ("relu-scale", "relu(0.5 * x)"),
    ("max-common-term", "max(x + y, x + v)"),
    ("min-common-term", "min(x + y, x + v)"),
    ("ceil-whole", "sum[i: n](ceil(real(i)) * v[i])"),
    ("round-whole", "sum[i: n](round(real(i)) * v[i])"),
    ("and-again", "if a and (a and b) then x else y"),
    ("and-or-not", "if a and ((not a) or b) then x else y"),
    ("or-and-not", "if a or ((not a) and b) then x else y"),
    ("and-nots", "(if (not a) and (not b) then x else y) + v"),
    ("or-nots", "(if (not a) or (not b) then x else y) + v"),
    ("or-of-ands", "if (a and b) or (a and c) then x else y"),
    ("and-of-ors", "if (a or b) and (a or c) then x else y"),
    ("indicator-not", "(1 - real(a)) * x"),
    ("indicator-above-half", "if real(a) > 0.5 then x else y"),
    ("indicator-is-one", "if real(a) == 1 then x else y"),
    ("indicator-is-zero", "if real(a) == 0 then x else y"),
    ("select-not-indicator", "x * (if a then 0 else 1)"),
    ("select-of-indicator", "if a then real(a) * x else y"),
    ("greater-scale", "if 2 * x > 0 then y else 1"),
    ("less-scale", "if 2 * x < 0 then y else 1"),
    ("sigmoid-above-half", "if sigmoid(x) > 0.5 then y else 1"),
    ("f32-f32", "f32(f32(x))"),
    ("f16-f16", "f16(f16(x))"),
    ("bf16-bf16", "bf16(bf16(x))"),
    ("f32-f16", "f32(f16(x))"),
    ("f32-bf16", "f32(bf16(x))"),
    ("log-one-minus-sigmoid", "mean(a * log(sigmoid(x)) + (1 - a) * log(1 - sigmoid(x)))"),
    ("log1p-minus-sigmoid", "log1p(-sigmoid(x))"),
    ("log-one-minus-tanh-square", "sum(log(1 - tanh(x)^2))"),
    ("tanh-of-sigmoid", "1 - 2 / (1 + exp(2 * x))"),
    ("tanh-written-out", "(exp(x) - exp(-x)) / (exp(x) + exp(-x))"),
    ("sigmoid-of-tanh", "0.5 * x * (1 + tanh(0.8 * (x + 0.04 * x^3)))"),
    ("sigmoid-pair", "y + sigmoid(x) + sigmoid(-x)"),
    ("sigmoid-slope-over", "grad[z = x](sum(log(1 - sigmoid(z))))"),
    ("tanh-slope-over", "grad[z = x](sum(log(1 - tanh(z)^2)))"),
    ("softplus-odd", "softplus(x) - softplus(-x)"),
    ("log-mean-exp", "log(mean[j](exp(x[.., j])))"),
    ("argmin-of-rising", "real(argmin[j: m](exp(x[0, j])))"),
    ("argmin-of-terms", "sum[i: n](v[i] * argmin[j: m](v[i]^2 + x[i, j]))"),
    ("argmin-of-product", "sum[i: n](v[i] * argmin[j: m](exp(v[i]) * x[i, j]))"),
    ("argmax-of-negative", "sum[i: n](v[i] * argmax[j: m](-2 * x[i, j]))"),
    ("argmin-of-negative", "sum[i: n](v[i] * argmin[j: m](-x[i, j]))"),
    ("max-of-bounded", "sum[i: n](v[i] * max[j: m](relu(x[i, j])))"),
    ("min-of-bounded", "sum[i: n](v[i] * min[j: m](min(x[i, j], 0.5)))"),
    ("all-of-all", "real(all[i: n](all[j: m](x[i, j] > -1)))"),
    ("prod-of-prod", "prod[i: n](prod[j: m](u[i, j]))"),
    ("any-of-not", "sum[i: n](v[i] * any[j: m](not (x[i, j] > 0)))"),
    ("all-of-not", "sum[i: n](v[i] * all[j: m](not (x[i, j] > 0)))"),
    ("all-of-or", "sum[i: n](v[i] * all[j: m](x[i, j] > 0 or w[i] > 0))"),
    ("sqrt-of-read", "sum[e: edge](sqrt(d[q[e]]) * f[e])"),
    ("recip-of-read", "sum[e: edge](f[e] / d[q[e]])"),
];

fn program(formula: &str) -> String {
    format!(
        "dim n = 5\ndim m = 4\ndim edge = 40\n\ntask t {{\n  x ~ normal[n, m]\n  y ~ normal[n, m]\n  u ~ uniform[n, m]\n  \
         v ~ normal[n]\n  w ~ normal[n]\n  f ~ normal[edge]\n  pick ~ normal[edge, n]\n  \
         q[e: edge] = argmax[i: n](pick[e, i])\n  a = x > 0\n  b = y > 0\n  c = x > y\n  \
         d = 1 + v^2\n  report r = {formula}\n}}\n"
    )
}

fn values(model: &Model, rewrites: bool) -> Vec<f64> {
    let mut options = Options { double: true, threads: 1, ..Options::default() };
    options.compile.rewrites = rewrites;
    let unit = model.unit(Some("t"), &[]).expect("the task is there");
    let mut session = model.session(unit, &options).expect("the task compiles");
    session.reports().expect("the task runs").remove(0).1
}

/// What is wrong with a formula.
fn fault(rule: &str, formula: &str) -> Option<String> {
    let model = match Model::from_source("formula.gnt", &program(formula)) {
        Ok(model) => model,
        Err(e) => return Some(format!("{rule}: {e}")),
    };
    let unit = model.unit(Some("t"), &[]).expect("the task is there");
    let stages = model.stages(&unit, "report", &CompileOptions { double: true, ..CompileOptions::default() });
    let (_, report) = rewrite_report(&stages.differentiated, Rewriting::default());
    if !report.rules.iter().any(|(name, _)| *name == rule) {
        return Some(format!("{rule} did not fire on {formula}:\n{}{report}", stages.differentiated));
    }
    let (with, without) = (values(&model, true), values(&model, false));
    let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
    let same = with.len() == without.len() && with.iter().zip(&without).all(close);
    (!same).then(|| format!("{rule}: {formula} is {with:?} in place of {without:?}"))
}

#[test]
fn rules_fire_on_formulas() {
    let faults: Vec<String> = FORMULAS.iter().filter_map(|(rule, formula)| fault(rule, formula)).collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), FORMULAS.len(), faults.join("\n"));
    let known = |name: &str| rules().iter().any(|r| r.name == name);
    assert!(FORMULAS.iter().all(|(rule, _)| known(rule)));
}

/// What these are for: far from 0 the text as it stands is infinite or NaN in single precision.
#[test]
fn stable_forms_are_finite() {
    let formulas = [
        "mean(log(1 - sigmoid(80 * x)))",
        "sum(log(1 - tanh(40 * x)^2))",
        "(exp(x^9) - exp(-x^9)) / (exp(x^9) + exp(-x^9))",
        "sum(log(mean[j](exp(200 * x[.., j]))))",
        "sum(grad[z = 80 * x](sum(log(1 - sigmoid(z)))))",
        "sum(grad[z = 40 * x](sum(log(1 - tanh(z)^2))))",
    ];
    for formula in formulas {
        let model = Model::from_source("formula.gnt", &program(formula)).unwrap_or_else(|e| panic!("{formula}: {e}"));
        let unit = model.unit(Some("t"), &[]).expect("the task is there");
        let options = Options { threads: 1, ..Options::default() };
        let mut session = model.session(unit, &options).expect("the task compiles");
        let values = session.reports().expect("the task runs").remove(0).1;
        assert!(values.iter().all(|v| v.is_finite()), "{formula} is {values:?}");
    }
}
