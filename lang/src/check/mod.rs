//! From the Ast to the Program: a symbolic evaluator that applies functions, nets and rules where they are called.
//! Law: what it accepts has a type everywhere; what it refuses is refused with a place and a way out.

mod along;
mod argmin;
mod axis;
mod backward;
mod builtin;
mod call;
mod carry;
mod core;
mod data;
mod definitions;
mod domain;
mod draw;
mod each;
mod edges;
mod every;
mod expr;
mod family;
mod faults;
mod fiber;
mod globals;
mod groups;
mod host;
mod index;
mod inputs;
mod items;
mod known;
mod layers;
mod library;
mod made;
mod names;
mod near;
mod net;
mod objective;
mod open;
mod point;
mod program;
mod range;
mod reduce;
mod repeat;
mod repeat_value;
mod report;
mod rule;
mod rule_call;
mod run;
mod sampled;
mod schedule;
mod sets;
mod sorted;
mod stack;
mod stage;
mod store;
mod structure;
mod synthetic;
mod train;
mod tree;
mod types;
mod value;
mod variables;
mod with;

#[cfg(test)]
pub(crate) mod tests;

pub use items::Loader;
pub use program::{Checked, Options, check};

use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, DimId, HyperId, ParamId, PointId, SiteId, StateId, TermId, Ty, Unit};
use items::Items;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use value::{LateState, Member, Net, Scope, Tensor};

/// A result with a finding.
pub(crate) type Check<T> = Result<T, Box<Diagnostic>>;

/// Refuses.
pub(crate) fn fail<T>(d: Diagnostic) -> Check<T> {
    Err(Box::new(d))
}

/// What evaluating a definition of a train block depends on besides the text.
#[derive(Clone, Debug, Default)]
struct Mode {
    /// Are nets in training?
    training: bool,
    /// Reports: the split (`None`: the default one); `None` in the step.
    report: Option<Option<String>>,
    /// Other values in place of parameters.
    instead: BTreeMap<ParamId, Tensor>,
    /// Do net states advance?
    advance: bool,
    /// On another batch than the step's.
    fresh: bool,
    /// In the `init` function: states and parameters are their first values.
    first: bool,
}

/// Where a net's body is being evaluated.
#[derive(Clone, Debug, Default)]
struct Frame {
    path: String,
    passed: BTreeMap<Span, usize>,
    /// The turns of the unrolled loops around, from 1.
    turns: Vec<usize>,
    /// The families around, each at a member.
    family: Vec<Member>,
}

/// Nesting of calls beyond which a definition must need itself.
const DEPTH_LIMIT: usize = 200;

/// The elaborator of one unit.
struct Elab<'a> {
    items: &'a Items,
    options: &'a Options,
    unit: Unit,
    active: Vec<Axis>,
    /// Index variables that go along fibers, while an axis function runs: the index array over them, and the variable that
    /// stands for its entry.
    fibers: BTreeMap<Axis, (TermId, Axis)>,
    mode: Mode,
    frames: Vec<Frame>,
    /// Terms by operation and type: the same equation is the same term.
    known: known::Known,
    /// What is evaluated (a definition or a loss), part of the names of random sites.
    pass: String,
    /// How often a site was passed in this evaluation.
    passed_sites: BTreeMap<String, usize>,
    /// Paths of the instances that call sites own: path around, place, how often passed before.
    call_paths: train::CallPaths,
    /// Every how many steps the rule in hand is applied.
    stride: Option<u64>,
    /// The loops whose bodies are being evaluated.
    carriers: Vec<carry::Carrier>,
    /// The stage whose step is being made, as a prefix of names; empty without stages.
    stage: String,
    /// Holds the number of steps before the stage.
    clock: Option<HyperId>,
    /// States of the rules of this unit.
    rule_states: Vec<run::RuleState>,
    /// How many instances of a net a path has.
    numbers: BTreeMap<String, usize>,
    /// Types of the data arguments at the first call of an instance.
    called: BTreeMap<String, Vec<(String, Ty)>>,
    /// Guards of the axis functions around, by the axis of their index.
    guards: Vec<(Axis, Tensor)>,
    /// The guard of the axis function that is about to run.
    next_guard: Option<(Axis, Tensor)>,
    globals: Rc<Scope>,
    /// The scope around the library's declarations, which has none of the program's names.
    library: Rc<Scope>,
    sites: BTreeMap<String, SiteId>,
    points: u32,
    /// First values.
    first_params: Vec<TermId>,
    /// Those that a derivative may be taken by, as points.
    first_points: BTreeMap<ParamId, TermId>,
    first_states: Vec<TermId>,
    /// Instances that were evaluated, by their paths, with the dims of their families.
    instances: BTreeMap<String, (Net, Vec<DimId>)>,
    /// Families whose members came into being together.
    looked: BTreeSet<String>,
    /// Nets that are spoken of without an instance.
    shared: Vec<String>,
    /// Where the lines of a train block call its nets, until one was evaluated: calls first, then the whole lines.
    calls: BTreeMap<String, Vec<crate::ast::Expr>>,
    /// Is a net evaluated only to learn the shapes of its parameters?
    looking: bool,
    /// Parameters that no evaluation read so far: their net is used at other parameters only.
    unused: BTreeSet<ParamId>,
    /// Where parameters must stay.
    domains: BTreeMap<ParamId, Vec<domain::Domain>>,
    /// States of narrow types, with these.
    narrow_states: BTreeMap<StateId, String>,
    /// States (and members of families) whose next value is known.
    advanced: BTreeSet<(StateId, String)>,
    /// States that backward blocks set, until the loss is known.
    late_states: Vec<LateState>,
    /// Next values of net states and of a train block's own.
    next_states: BTreeMap<StateId, TermId>,
    depth: usize,
    /// Values that a derivative by another argument of the same function holds fixed.
    held: Vec<TermId>,
    /// Definitions of a train block, evaluated when first asked for, in each mode anew.
    definitions: Vec<Definition>,
    /// Definitions being evaluated, to find cycles.
    open: Vec<usize>,
    /// Top-level equations being evaluated.
    open_globals: Vec<String>,
    data: Option<usize>,
    /// Shapes of a loop's states are being found: operands may still lack dims.
    lenient: bool,
    /// Sets of edges that the program computed.
    made: Vec<made::Made>,
    /// Fields of loops' results.
    loop_fields: BTreeMap<repeat_value::LoopKey, Vec<(String, value::Value)>>,
    /// What was found wrong so far, where the rest can still be looked at.
    faults: Vec<Diagnostic>,
    /// Does a block go on behind a faulty statement? Only where `faults` are shown in the end.
    recovers: bool,
}

/// A definition of a train block.
#[derive(Clone)]
struct Definition {
    names: Vec<String>,
    stmt: crate::ast::Stmt,
    span: Span,
}

impl Elab<'_> {
    fn site(&mut self, key: &str, span: Span) -> SiteId {
        let path = self.frames.last().map(|f| f.path.clone()).unwrap_or_default();
        let count = self.sites.len();
        let fresh = if self.mode.fresh { "fresh " } else { "" };
        let place = format!("{fresh}{}:{path}:{key}:{}:{}", self.pass, span.file.0, span.start);
        let passed = self.passed_sites.entry(place.clone()).or_insert(0);
        let key = format!("{place}:{passed}");
        *passed += 1;
        *self.sites.entry(key).or_insert_with(|| SiteId::new(count))
    }

    fn point(&mut self) -> PointId {
        self.points += 1;
        PointId(self.points - 1)
    }

    /// Evaluates with further active axes.
    fn within<T>(&mut self, axes: &[Axis], f: impl FnOnce(&mut Self) -> Check<T>) -> Check<T> {
        let before = self.active.len();
        self.active.extend(axes.iter().copied());
        let result = f(self);
        self.active.truncate(before);
        result
    }

    /// Evaluates as part of a definition or loss: it draws what it drew when it was evaluated before.
    fn in_pass<T>(&mut self, pass: &str, f: impl FnOnce(&mut Self) -> Check<T>) -> Check<T> {
        let before = std::mem::replace(&mut self.pass, pass.to_string());
        let result = f(self);
        self.pass = before;
        result
    }

    /// Evaluates in another mode.
    fn in_mode<T>(&mut self, mode: Mode, f: impl FnOnce(&mut Self) -> Check<T>) -> Check<T> {
        let before = std::mem::replace(&mut self.mode, mode);
        let result = f(self);
        self.mode = before;
        result
    }
}

/// A name that is none here, but one of Python or its libraries.
fn foreign_name(name: &str, span: Span) -> Option<Diagnostic> {
    let hint = crate::foreign::module(name).or_else(|| crate::foreign::value(name))?;
    let d = Diagnostic::error(Code::G0108, span, format!("`{name}` is a name of another language or library"));
    Some(d.label(span, "unknown here").hint(hint))
}

/// Names near to one that is unknown.
fn near(name: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for k in known {
        let d = distance(name, &k);
        let limit = (name.chars().count() / 3).max(1);
        if d <= limit && d < name.chars().count() && best.as_ref().is_none_or(|(b, n)| (d, &k) < (*b, n)) {
            best = Some((d, k));
        }
    }
    best.map(|(_, n)| n)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}
