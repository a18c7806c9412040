//! What an expression is while it is elaborated.

use crate::ast::{Expr, FnDecl, Let, NetDecl, RuleDecl};
use crate::diag::Span;
use crate::program::{Axis, DimId, ParamId, Role, StateId, TermId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A tensor: its term, and the axes that have a position. Axes of the term that are not listed belong to index
/// variables of the scopes around.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub id: TermId,
    pub axes: Vec<Axis>,
}

/// A leaf of a tree.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Its path below the tree.
    pub name: String,
    pub role: Role,
    /// The parameter that it is or stands for.
    pub param: Option<ParamId>,
    pub value: Tensor,
}

/// A record of parameters, or anything of that shape.
#[derive(Clone, Debug)]
pub struct Tree {
    pub leaves: Vec<Leaf>,
}

/// A function with the scope that it sees.
#[derive(Clone, Debug)]
pub struct Closure {
    pub params: Vec<String>,
    pub body: Expr,
    pub scope: Rc<Scope>,
}

/// A net with its static arguments.
#[derive(Clone, Debug)]
pub struct Net {
    pub decl: Rc<NetDecl>,
    pub statics: Vec<(String, Value)>,
    /// Were the static arguments given (or are there none)?
    pub applied: bool,
}

/// A net with parameters of its own, found by its path.
#[derive(Clone, Debug)]
pub struct Instance {
    pub net: Net,
    pub path: String,
    /// The dims over which it is a family, outermost first; those with a member stand before the open ones.
    pub family: Vec<Member>,
    /// Neither in training nor advancing its states.
    pub frozen: bool,
    /// Other values in place of its parameters.
    pub at: Vec<(ParamId, Tensor)>,
}

/// A dim over which an instance is a family.
#[derive(Clone, Debug)]
pub struct Member {
    pub dim: DimId,
    /// Which one is meant: a whole number without positions. `None`: all of them.
    pub at: Option<Tensor>,
}

impl Instance {
    /// One instance, no family.
    pub fn single(net: Net, path: String, family: Vec<Member>) -> Instance {
        Instance { net, path, family, frozen: false, at: vec![] }
    }

    /// The dims whose members are not chosen yet.
    pub fn open_dims(&self) -> Vec<DimId> {
        self.family.iter().filter(|m| m.at.is_none()).map(|m| m.dim).collect()
    }

    /// The members that are chosen.
    pub fn chosen(&self) -> Vec<Tensor> {
        self.family.iter().filter_map(|m| m.at.clone()).collect()
    }
}

/// A rule with its arguments.
#[derive(Clone, Debug)]
pub struct Rule {
    pub decl: Rc<RuleDecl>,
    pub args: Vec<(String, Value)>,
    pub span: Span,
}

/// The next value of a state that a backward block sets: `next` speaks of the gradient that arrives at `at` by `cotangent`.
#[derive(Clone, Debug)]
pub struct LateState {
    pub state: StateId,
    pub next: TermId,
    pub cotangent: TermId,
    pub at: TermId,
}

/// The objective of a `minimize`, a function of the trained tree.
#[derive(Clone, Debug)]
pub struct Objective {
    pub loss: Expr,
    /// `where z = f(x)`.
    pub outputs: Option<Let>,
    /// The axes of the loss before it is averaged.
    pub axes: Vec<Axis>,
    /// Names its draws.
    pub pass: String,
    pub negated: bool,
    pub over: Vec<ParamId>,
    /// The objective of an inner problem instead.
    pub inner: Option<Inner>,
}

/// The objective of an inner problem: a function of its variable.
#[derive(Clone, Debug)]
pub struct Inner {
    pub function: Value,
    /// Is the variable a tensor, which rules see as a tree of one leaf?
    pub tensor: bool,
}

/// A value of the elaborator.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number known now.
    Num(f64),
    /// A truth value known now.
    Truth(bool),
    Text(String),
    Dim(DimId),
    Tensor(Tensor),
    /// An argument of a train block: a hyperparameter, whose value may also be needed now.
    Hyper(Tensor, f64),
    Tuple(Vec<Value>),
    Record(Vec<(String, Value)>),
    Tree(Tree),
    Fn(Rc<FnDecl>),
    Lambda(Rc<Closure>),
    Builtin(&'static str),
    Net(Net),
    Instance(Rc<Instance>),
    /// Rules in order: transforms, then the rule.
    Rules(Vec<Rule>),
    Objective(Rc<Objective>),
    /// The outputs of a `minimize ... where z = ...`, a function of the trained tree.
    Outputs(Rc<Objective>),
    /// A data set, or one of its splits.
    Data(usize, Option<String>),
    /// A train block or task, by name.
    Program(String),
    /// A run of one.
    Run(usize),
    /// What a faulty statement defines: the fault is noted already.
    Faulty,
    /// The compiled plan of a run.
    Plan(usize),
}

impl Value {
    /// What it is, for messages.
    pub fn what(&self) -> &'static str {
        match self {
            Value::Num(_) | Value::Hyper(..) => "a number",
            Value::Truth(_) => "a truth value",
            Value::Text(_) => "a text",
            Value::Dim(_) => "a dim",
            Value::Tensor(_) => "a tensor",
            Value::Tuple(_) => "a tuple",
            Value::Record(_) => "a record",
            Value::Tree(_) => "a tree of parameters",
            Value::Fn(_) | Value::Lambda(_) | Value::Builtin(_) => "a function",
            Value::Net(_) => "a net",
            Value::Instance(_) => "an instance of a net",
            Value::Rules(_) => "a rule",
            Value::Objective(_) => "an objective",
            Value::Outputs(_) => "the outputs of an objective",
            Value::Data(..) => "a data set",
            Value::Program(_) => "a train block or task",
            Value::Run(_) => "a run",
            Value::Faulty => "a faulty definition",
            Value::Plan(_) => "a plan",
        }
    }
}

/// Names in sight: a frame and the scope around it.
#[derive(Debug, Default)]
pub struct Scope {
    names: RefCell<BTreeMap<String, Value>>,
    parent: Option<Rc<Scope>>,
}

impl Scope {
    /// A scope inside another.
    pub fn inside(parent: &Rc<Scope>) -> Rc<Scope> {
        Rc::new(Scope { names: RefCell::default(), parent: Some(parent.clone()) })
    }

    /// Defines a name; a later definition shadows.
    pub fn set(&self, name: impl Into<String>, value: Value) {
        self.names.borrow_mut().insert(name.into(), value);
    }

    /// The definition of this scope itself.
    pub fn own(&self, name: &str) -> Option<Value> {
        self.names.borrow().get(name).cloned()
    }

    /// The nearest definition.
    pub fn get(&self, name: &str) -> Option<Value> {
        let found = self.names.borrow().get(name).cloned();
        found.or_else(|| self.parent.as_ref().and_then(|p| p.get(name)))
    }

    /// Names of its own frame.
    pub fn own_names(&self) -> Vec<String> {
        self.names.borrow().keys().cloned().collect()
    }

    /// Names in sight, for near misses.
    pub fn all(&self) -> Vec<String> {
        let mut names: Vec<String> = self.names.borrow().keys().cloned().collect();
        names.extend(self.parent.iter().flat_map(|p| p.all()));
        names
    }
}

impl Scope {
    /// The nearest scope whose own frame defines a name.
    pub fn nearest(scope: &Rc<Scope>, name: &str) -> Option<Rc<Scope>> {
        if scope.names.borrow().contains_key(name) {
            return Some(scope.clone());
        }
        scope.parent.as_ref().and_then(|p| Scope::nearest(p, name))
    }
}
