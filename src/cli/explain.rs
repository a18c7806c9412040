//! `gannet explain`: the page of a code; of a file what rewriting did to a function's equations, line by line.
//! Law: seconds are estimates with the sizes that the compiler assumes; what is told is what happened.

use super::args::ExplainArgs;
use super::profile::{line_text, position};
use gannet::compiler::CompileOptions;
use gannet::compiler::egraph::{Change, Explanation, Region, Report, Step, cost_of, estimate, rules};
use gannet::compiler::graph::{Graph, Op, Place};
use gannet::lang::diag::{Code, Diagnostic, Sources, Span};
use gannet::{Error, Model};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// Lines of the source that are listed unless one is asked for.
const LINES: usize = 25;
/// Letters of an expression or a line that are shown in a table.
const WIDTH: usize = 72;

/// Explains a code or a file.
///
/// # Errors
/// A code that does not exist; what is wrong with the file.
pub fn explain(args: &ExplainArgs) -> Result<ExitCode, Error> {
    let is_code = |text: &str| {
        let digits = text.strip_prefix(['G', 'g']).unwrap_or("");
        !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
    };
    match args.what.to_str().filter(|text| is_code(text)) {
        Some(code) => page(code),
        None => file(args),
    }
}

fn page(code: &str) -> Result<ExitCode, Error> {
    let wanted = code.to_uppercase();
    match Code::ALL.iter().find(|c| c.to_string() == wanted) {
        Some(code) => {
            say!("{}", gannet::lang::explain::page(*code));
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let (first, last) = (Code::ALL[0], Code::ALL[Code::ALL.len() - 1]);
            let d = Diagnostic::error(Code::G0703, None, format!("there is no code `{code}`"))
                .hint(format!("codes go from {first} to {last}, for example `gannet explain G0203`"));
            Err(Error { diagnostics: d.into(), sources: Default::default() })
        }
    }
}

fn file(args: &ExplainArgs) -> Result<ExitCode, Error> {
    let options = args.run.options();
    let model = Model::from_file(&args.what, &args.run.dims)?;
    let unit = model.unit(args.name.as_deref(), &options.hypers)?;
    let function = super::emit::chosen_function(&model, &unit, args.function.as_deref())?;
    let compile = CompileOptions { double: options.double || unit.double, ..options.compile };
    let found = model.explain(&unit, function, &compile);
    let told = Told::new(&found, model.sources());
    match args.line {
        Some(line) => told.line(line),
        None => told.all(&format!("{function} of `{}`", unit.name)),
    }
    Ok(ExitCode::SUCCESS)
}

/// A line of a file.
type Line = (u32, usize);

/// What happened on a line.
#[derive(Default)]
struct AtLine<'a> {
    span: Span,
    /// Seconds before and after.
    seconds: [f64; 2],
    /// Rules that were applied.
    steps: Vec<&'a Step>,
    /// Forms chosen in an e-graph.
    changes: Vec<&'a Change>,
}

impl AtLine<'_> {
    /// The rules that were applied, then those by which other forms were chosen.
    fn names(&self) -> String {
        let applied = counted(self.steps.iter().map(|s| s.rule));
        let chosen = counted(self.changes.iter().flat_map(|c| c.proof.iter().map(|s| s.rule)));
        match (applied.is_empty(), chosen.is_empty()) {
            (_, true) => applied,
            (true, false) => format!("chosen: {chosen}"),
            (false, false) => format!("{applied}; chosen: {chosen}"),
        }
    }
}

struct Told<'a> {
    found: &'a Explanation,
    sources: &'a Sources,
    lines: BTreeMap<Line, AtLine<'a>>,
}

impl<'a> Told<'a> {
    fn new(found: &'a Explanation, sources: &'a Sources) -> Told<'a> {
        let mut told = Told { found, sources, lines: BTreeMap::new() };
        for (k, graph) in [&found.before, &found.after].into_iter().enumerate() {
            told.count(graph, k, 1.0);
        }
        for report in &found.reports {
            report.steps.iter().for_each(|s| told.at(s.place).steps.push(s));
            report.regions.iter().flat_map(|r| &r.changes).for_each(|c| told.at(c.place).changes.push(c));
        }
        told
    }

    fn at(&mut self, place: Place) -> &mut AtLine<'a> {
        let line = (place.span.file.0, self.sources.position(place.span).0);
        let at = self.lines.entry(line).or_default();
        at.span = place.span;
        at
    }

    /// Adds the costs of a graph that runs so many times: a loop's are those of its step.
    fn count(&mut self, graph: &Graph, k: usize, times: f64) {
        let live = graph.live();
        for id in graph.ids().filter(|id| live[id.index()]) {
            match &graph.node(id).op {
                Op::Loop(body) => self.count(&body.graph, k, times * graph.tables.entries(&[body.axis])),
                _ => self.at(graph.place(id)).seconds[k] += times * cost_of(graph, id),
            }
        }
    }

    /// The whole, then the lines that changed most.
    fn all(&self, what: &str) {
        self.summary(what);
        say!("");
        say!("{:>10} {:>10}  line", "us before", "after");
        let changed = |l: &&AtLine| !l.steps.is_empty() || !l.changes.is_empty();
        let mut order: Vec<&AtLine> = self.lines.values().filter(changed).collect();
        let gain = |l: &AtLine| l.seconds[0] - l.seconds[1];
        order.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
        for line in order.iter().take(LINES) {
            let [before, after] = line.seconds.map(|s| s * 1e6);
            let text: String = line_text(self.sources, line.span).chars().take(WIDTH).collect();
            say!("{before:10.2} {after:10.2}  {:18} {text}", position(self.sources, line.span));
            say!("{:23} {}", "", line.names());
        }
        if order.len() > LINES {
            say!("{:23} and {} lines more", "", order.len() - LINES);
        }
        self.rules();
        say!("");
        say!("`--line N` shows what became of a line's equations, and by which laws");
    }

    fn summary(&self, what: &str) {
        let text = |g: &Graph| {
            let count = g.live().iter().filter(|live| **live).count();
            format!("{count} equations, {:.1} us by estimate", estimate(g) * 1e6)
        };
        say!("{what}: {} -> {}", text(&self.found.before), text(&self.found.after));
        let regions: Vec<&Region> = self.found.reports.iter().flat_map(|r| &r.regions).collect();
        let enodes: usize = regions.iter().map(|r| r.enodes).sum();
        let classes: usize = regions.iter().map(|r| r.classes).sum();
        let ms = |took: fn(&Region) -> Duration| regions.iter().map(|r| took(r).as_secs_f64() * 1e3).sum::<f64>();
        let (fill, choose) = (ms(|r| r.took.0), ms(|r| r.took.1));
        say!(
            "{} e-graphs of {enodes} e-nodes in {classes} classes, filled in {fill:.1} ms, chosen from in {choose:.1} ms; \
             {} rules known",
            regions.len(),
            rules().len()
        );
    }

    /// How often each rule fired, with its law.
    fn rules(&self) {
        let mut fired: BTreeMap<&str, usize> = BTreeMap::new();
        let reports: &[Report] = &self.found.reports;
        reports.iter().flat_map(|r| &r.rules).for_each(|(name, n)| *fired.entry(name).or_default() += n);
        say!("");
        say!("{:>6}  rule", "fired");
        for rule in rules().iter().filter(|r| fired.contains_key(r.name)) {
            say!("{:6}  {:22} {}", fired[rule.name], rule.name, rule.law);
        }
    }

    /// Everything that happened on a line of the model's own file.
    fn line(&self, line: usize) {
        let found = self.sources.ids().next().and_then(|own| self.lines.get(&(own.0, line)));
        let Some(at) = found.filter(|at| !at.steps.is_empty() || !at.changes.is_empty()) else {
            say!("no rule changed an equation of line {line}");
            return;
        };
        let [before, after] = at.seconds.map(|s| s * 1e6);
        say!("{}: {before:.2} us by estimate -> {after:.2} us", position(self.sources, at.span));
        say!("  {}", line_text(self.sources, at.span));
        for step in &at.steps {
            show_step(step, "");
        }
        for change in &at.changes {
            say!("chosen from an e-graph:");
            say!("      {}", change.before);
            say!("   -> {}", change.after);
            change.proof.iter().for_each(|step| show_step(step, "   "));
        }
    }
}

fn show_step(step: &Step, indent: &str) {
    say!("{indent}{}: {}", step.rule, step.law);
    say!("{indent}      {}", step.before);
    say!("{indent}    = {}", step.after);
}

/// Names, each with how often it occurs.
fn counted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match counts.iter_mut().find(|c| c.0 == name) {
            Some(known) => known.1 += 1,
            None => counts.push((name, 1)),
        }
    }
    let text = |(name, n): &(&str, usize)| if *n > 1 { format!("{name} x{n}") } else { name.to_string() };
    counts.iter().map(text).collect::<Vec<_>>().join(", ")
}
