//! The constructs of the language and the operations of the Graph, and which of them occurred.
//! Law: the lists are exhaustive: a new variant does not compile until it stands here.

use crate::compare::Seen;
use gannet::compiler::graph::{At, Graph, Op, Red};
use gannet::lang::ast;
use gannet::lang::diag::Sources;
use gannet::lang::program::{Dist, Fun, LibFun};
use std::collections::BTreeSet;

/// A list of the variants of an enum that occur, and of those that do not, with a match over both that must be exhaustive.
macro_rules! variants {
    ($($list:ident: $ty:path { $($name:ident)* } without { $($other:ident)* })*) => {
        $(
            const $list: &[&str] = &[$(stringify!($name)),*];
            const _: fn(&$ty) = |x| {
                use $ty as E;
                match x { $(E::$name { .. } => {})* $(E::$other { .. } => {})* }
            };
        )*
        /// What a source text must contain somewhere, and then what a graph must.
        const ALL: &[(&str, &[&str])] = &[$((stringify!($list), $list)),*];
    };
}

variants! {
    ITEMS: ast::Item { Dim Data Fn Net Rule Train Task Edges Let } without { Check Use }
    EXPRESSIONS: ast::ExprKind {
        Number Name Unary Binary Call Bracket Field At With Tuple Record Stack If Else Lambda Block Pipe FileRef Loop Argmin
    } without { Text Columns Column EdgesInto SampleOf }
    STATEMENTS: ast::Stmt { Let Param State Save Keep Const Sample Each For Edges } without {}
    LINES: ast::TrainStmt { Net Minimize Steps Report Every Stmt Stage } without { Batch BatchOf BatchNear Epochs Plot }
    INDICES: ast::IndexItem { Expr Bind Rest Range Fiber } without {}
    FIRST_VALUES: ast::Init { Value Draw } without {}
    AXES: ast::TypeAxis { Rest Dim Named } without {}
    LOOPS: ast::LoopKind { Scan Fix Iterate } without {}
    UNARY: ast::UnaryOp { Neg Not } without {}
    BINARY: ast::BinaryOp { Add Sub Mul Div IntDiv Mod Pow MatMul Lt Le Gt Ge Eq Ne And Or } without {}
    OPERATIONS: Op {
        Param State Hyper Step Const Size Iota Random Map Reduce Contract Read Fiber Library Part Point Grad Along Custom Stop
        Arg Loop Input
    } without {}
    // Differences and quotients are sums and products there. Narrow types jump everywhere: each is tested entry by entry.
    FUNCTIONS: Fun {
        Neg Abs Sign Recip Exp Expm1 Log Log1p Sqrt Sin Cos Tan Tanh Sigmoid Softplus Erf Floor Ceil Round Not IsFinite ToReal
        ToInt Add Mul Pow Min Max Atan2 IntDiv Mod Lt Le Gt Ge Eq Ne And Or Select
    } without { Sub Div ToF32 ToF16 ToBf16 }
    REDUCTIONS: Red { Sum Prod Max Min Any All ArgMax ArgMin } without {}
    DISTRIBUTIONS: Dist { Normal Uniform Rademacher Gumbel Exponential } without {}
    PLACES: At { Affine Arg } without {}
    LIBRARY: LibFun { Sort Recur Solve Cholesky Qr Eigh Svd LogDet Pinv Expm Fft Assign } without { Host }
}

/// The lists from this one on speak of graphs.
const GRAPHS: &str = "OPERATIONS";

/// Names of variants that occurred.
#[derive(Default)]
pub struct Cover {
    text: BTreeSet<String>,
    graph: BTreeSet<String>,
}

/// The words of a value's debug form that are not names of the program.
fn words(debug: &str, into: &mut BTreeSet<String>) {
    for (k, part) in debug.split('"').enumerate() {
        if k % 2 == 0 {
            for word in part.split(|c: char| !c.is_alphanumeric()).filter(|w| w.starts_with(char::is_uppercase)) {
                if !into.contains(word) {
                    into.insert(word.to_string());
                }
            }
        }
    }
}

impl Cover {
    /// Counts a program.
    pub fn add(&mut self, one: &Seen) {
        let mut sources = Sources::default();
        let file = sources.add("random.gnt", one.text.as_str());
        let tree = gannet::lang::parse(&sources, file).expect("it was checked");
        words(&format!("{tree:?}"), &mut self.text);
        one.graphs.iter().for_each(|g| self.graph(g));
    }

    fn graph(&mut self, graph: &Graph) {
        for id in graph.ids() {
            match &graph.node(id).op {
                Op::Loop(body) => {
                    self.graph.insert("Loop".into());
                    self.graph(&body.graph);
                }
                op => words(&format!("{op:?}"), &mut self.graph),
            }
        }
    }

    /// What never occurred.
    pub fn missing(&self) -> Vec<String> {
        let graphs = ALL.iter().position(|l| l.0 == GRAPHS).expect("it is one of the lists");
        let lists = ALL.iter().enumerate();
        lists
            .flat_map(|(k, (list, names))| {
                let seen = if k < graphs { &self.text } else { &self.graph };
                names.iter().filter(|n| !seen.contains(**n)).map(move |n| format!("{list}: {n}"))
            })
            .collect()
    }
}
