//! What `build` makes of the Program's terms, in units by hand.

use gannet_compiler::build::build;
use gannet_compiler::grad::differentiate;
use gannet_compiler::graph::Tables;
use gannet_lang::diag::Span;
use gannet_lang::program::{
    At, Axis, Dim, DimId, Elem, Fun, Function, Input, InputId, Op, Output, Param, ParamId, Part, PointId, Red, Role,
    Schedule, Size, Term, TermId, Ty, Unit, UnitKind,
};
use gannet_runtime::reference::{Env, eval};
use std::sync::Arc;

const ROW: Axis = Axis { dim: DimId(0), ix: 0 };
const COLUMN: Axis = Axis { dim: DimId(1), ix: 0 };
const NEG: f64 = f64::NEG_INFINITY;

/// in0: real[row, column] (2 by 3, open rows), in1: column[row], w0: real[column].
struct Sheet {
    unit: Unit,
    env: Env,
}

impl Sheet {
    fn new(entries: [f64; 6]) -> Sheet {
        let real = |axes: &[Axis]| Ty { elem: Elem::Real, axes: axes.to_vec() };
        let input = |name: &str, ty| Input { name: name.into(), field: None, part: Part::Argument, ty };
        let at = Ty { elem: Elem::Index(COLUMN.dim), axes: vec![ROW] };
        let dim = |name: &str, size| Dim { name: name.into(), size, span: None };
        let unit = Unit {
            name: "sheet".into(),
            kind: UnitKind::Task,
            double: false,
            dims: vec![dim("row", Size::Open), dim("column", Size::Fixed(3))],
            terms: vec![],
            names: vec![],
            inputs: vec![input("x", real(&[ROW, COLUMN])), input("at", at)],
            params: vec![Param { name: "w".into(), ty: real(&[COLUMN]), role: Role::Weight, span: Span::default() }],
            states: vec![],
            hypers: vec![],
            sites: 0,
            loops: Vec::new(),
            data: None,
            batch: None,
            schedule: Schedule::default(),
            stages: vec![],
            reports: vec![],
            runs: vec![],
            asks: vec![],
            hosts: vec![],
            functions: vec![],
        };
        let env = Env {
            sizes: vec![2, 3],
            inputs: vec![entries.to_vec(), vec![2.0, 1.0]],
            params: vec![vec![0.5, -1.0, 2.0]],
            ..Env::default()
        };
        Sheet { unit, env }
    }

    fn term(&mut self, op: Op, elem: Elem, axes: &[Axis]) -> TermId {
        let ty = Ty { elem, axes: axes.to_vec() };
        self.unit.terms.push(Term { op, ty, span: Span::default() });
        TermId::new(self.unit.terms.len() - 1)
    }

    fn x(&mut self) -> TermId {
        self.term(Op::Input(InputId(0)), Elem::Real, &[ROW, COLUMN])
    }

    fn w(&mut self) -> TermId {
        self.term(Op::Param(ParamId(0)), Elem::Real, &[COLUMN])
    }

    fn num(&mut self, x: f64) -> TermId {
        self.term(Op::Const(x), Elem::Real, &[])
    }

    /// `x > limit`.
    fn above(&mut self, x: TermId, limit: f64) -> TermId {
        let limit = self.num(limit);
        self.term(Op::Map(Fun::Gt, vec![x, limit]), Elem::Bool, &[ROW, COLUMN])
    }

    fn value(&mut self, term: TermId) -> Vec<f64> {
        let function = Function { name: "report".into(), outputs: vec![(Output::Value("y".into()), term)] };
        self.unit.names.push(("y".into(), term));
        let graph = build(&self.unit, &function, Arc::new(Tables::of(&self.unit)));
        graph.verify().unwrap_or_else(|e| panic!("{e}\n{graph}"));
        assert_eq!(graph.names, [("y".to_string(), graph.outputs[0].1)]);
        let graph = differentiate(&graph);
        eval(&graph, &self.env).unwrap_or_else(|f| panic!("{f:?}\n{graph}")).remove(0).1.data
    }
}

fn reduced(red: Red, axes: &[Axis], entries: [f64; 6], above: Option<f64>) -> Vec<f64> {
    let mut s = Sheet::new(entries);
    let of = s.x();
    let guard = above.map(|limit| s.above(of, limit));
    let left: Vec<Axis> = [ROW, COLUMN].into_iter().filter(|a| !axes.contains(a)).collect();
    let elem = if matches!(red, Red::ArgMax | Red::ArgMin) { Elem::Index(COLUMN.dim) } else { Elem::Real };
    let y = s.term(Op::Reduce { red, axes: axes.to_vec(), of, guard }, elem, &left);
    s.value(y)
}

fn near(got: &[f64], wanted: &[f64]) {
    let close = |(a, b): (&f64, &f64)| a == b || (a - b).abs() < 1e-14 * b.abs().max(1.0);
    assert!(got.len() == wanted.len() && got.iter().zip(wanted).all(close), "{got:?}, not {wanted:?}");
}

const X: [f64; 6] = [1.0, 2.0, 6.0, 4.0, -1.0, 0.0];

#[test]
fn reductions() {
    let rows = |red| reduced(red, &[COLUMN], X, None);
    near(&rows(Red::Sum), &[9.0, 3.0]);
    near(&rows(Red::Prod), &[12.0, 0.0]);
    near(&rows(Red::Max), &[6.0, 4.0]);
    near(&rows(Red::Min), &[1.0, -1.0]);
    near(&rows(Red::ArgMax), &[2.0, 0.0]);
    near(&rows(Red::ArgMin), &[0.0, 1.0]);
    near(&rows(Red::Mean), &[3.0, 1.0]);
    near(&rows(Red::Var), &[14.0 / 3.0, 14.0 / 3.0]);
    let lse = |x: [f64; 3]| x.iter().map(|x| x.exp()).sum::<f64>().ln();
    near(&rows(Red::LogSumExp), &[lse([1.0, 2.0, 6.0]), lse([4.0, -1.0, 0.0])]);
    near(&reduced(Red::Mean, &[ROW], X, None), &[2.5, 0.5, 3.0]);
    near(&reduced(Red::Mean, &[ROW, COLUMN], X, None), &[2.0]);
}

/// Above 3 there is one entry in each row, above 5 one in the first.
#[test]
fn guarded_reductions() {
    let rows = |red, limit| reduced(red, &[COLUMN], X, Some(limit));
    near(&rows(Red::Sum, 1.5), &[8.0, 4.0]);
    near(&rows(Red::Prod, 1.5), &[12.0, 4.0]);
    near(&rows(Red::Count, 1.5), &[2.0, 1.0]);
    near(&rows(Red::Mean, 1.5), &[4.0, 4.0]);
    near(&rows(Red::Var, 1.5), &[4.0, 0.0]);
    near(&rows(Red::Min, 1.5), &[2.0, 4.0]);
    near(&rows(Red::ArgMin, 1.5), &[1.0, 0.0]);
    near(&rows(Red::LogSumExp, 3.0), &[6.0, 4.0]);
}

#[test]
fn reductions_of_nothing() {
    let second = |red| reduced(red, &[COLUMN], X, Some(5.0))[1];
    let cases = [
        (Red::Sum, 0.0),
        (Red::Count, 0.0),
        (Red::Prod, 1.0),
        (Red::Mean, 0.0),
        (Red::Var, 0.0),
        (Red::Max, NEG),
        (Red::Min, f64::INFINITY),
        (Red::LogSumExp, NEG),
        (Red::ArgMax, 0.0),
    ];
    for (red, wanted) in cases {
        assert_eq!(second(red), wanted, "{red:?}");
    }
}

#[test]
fn logsumexp_is_stable() {
    let x = [1000.0, 1000.0, NEG, NEG, NEG, NEG];
    near(&reduced(Red::LogSumExp, &[COLUMN], x, None), &[1000.0 + 2f64.ln(), NEG]);
    near(&reduced(Red::LogSumExp, &[COLUMN], [-1e4; 6], None), &[-1e4 + 3f64.ln(); 2]);
    assert_eq!(reduced(Red::LogSumExp, &[ROW], [f64::INFINITY; 6], None), [f64::INFINITY; 3]);
}

#[test]
fn reductions_over_axes_that_the_operand_lacks() {
    for (red, wanted) in [(Red::Sum, -2.0), (Red::Mean, -1.0), (Red::Var, 0.0), (Red::Max, -1.0), (Red::Prod, 1.0)] {
        let mut s = Sheet::new(X);
        let w = s.w();
        let y = s.term(Op::Reduce { red, axes: vec![ROW], of: w, guard: None }, Elem::Real, &[COLUMN]);
        assert_eq!(s.value(y)[1], wanted, "{red:?}");
    }
}

#[test]
fn truth_is_counted() {
    let mut s = Sheet::new(X);
    let x = s.x();
    let truth = s.above(x, 1.5);
    let mean = s.term(Op::Reduce { red: Red::Mean, axes: vec![ROW, COLUMN], of: truth, guard: None }, Elem::Real, &[]);
    let any = s.term(Op::Reduce { red: Red::Any, axes: vec![COLUMN], of: truth, guard: None }, Elem::Bool, &[ROW]);
    let count = Op::Reduce { red: Red::Count, axes: vec![COLUMN], of: truth, guard: None };
    let count = s.term(count, Elem::Real, &[ROW]);
    near(&s.value(mean), &[0.5]);
    s.unit.names.clear();
    near(&s.value(any), &[1.0, 1.0]);
    s.unit.names.clear();
    near(&s.value(count), &[2.0, 1.0]);
}

#[test]
fn reads() {
    let mut s = Sheet::new(X);
    let (x, at) = (s.x(), s.term(Op::Input(InputId(1)), Elem::Index(COLUMN.dim), &[ROW]));
    let gather = Op::Read { of: x, at: vec![(COLUMN, At::Term(at))], otherwise: None };
    let gather = s.term(gather, Elem::Real, &[ROW]);
    near(&s.value(gather), &[6.0, -1.0]);
    let mut s = Sheet::new(X);
    let (x, zero) = (s.x(), s.num(9.0));
    let place = At::Affine { terms: vec![(1, COLUMN), (0, ROW)], offset: 1 };
    let shift =
        s.term(Op::Read { of: x, at: vec![(COLUMN, place)], otherwise: Some(zero) }, Elem::Real, &[ROW, COLUMN]);
    near(&s.value(shift), &[2.0, 6.0, 9.0, -1.0, 0.0, 9.0]);
}

/// Two computed indices keep apart, in whatever order the axes are named.
#[test]
fn two_gathers() {
    let mut s = Sheet::new(X);
    let (x, at) = (s.x(), s.term(Op::Input(InputId(1)), Elem::Index(COLUMN.dim), &[ROW]));
    let row = s.term(Op::Iota(ROW), Elem::Index(ROW.dim), &[ROW]);
    for places in [[(COLUMN, At::Term(at)), (ROW, At::Term(row))], [(ROW, At::Term(row)), (COLUMN, At::Term(at))]] {
        s.unit.names.clear();
        let y = s.term(Op::Read { of: x, at: places.to_vec(), otherwise: None }, Elem::Real, &[ROW]);
        near(&s.value(y), &[6.0, -1.0]);
    }
}

#[test]
fn numbers_and_sizes() {
    let mut s = Sheet::new(X);
    let (five, rows) = (s.term(Op::Const(5.0), Elem::Int, &[]), s.term(Op::Size(ROW.dim), Elem::Int, &[]));
    let columns = s.term(Op::Size(COLUMN.dim), Elem::Int, &[]);
    let w = s.w();
    let all = s.term(Op::Map(Fun::Add, vec![five, rows, columns, w]), Elem::Real, &[COLUMN]);
    let all = s.term(Op::View(all), Elem::Real, &[COLUMN]);
    let part = s.term(Op::Map(Fun::Div, vec![all, five]), Elem::Real, &[COLUMN]);
    let rest = s.term(Op::Map(Fun::Sub, vec![all, part]), Elem::Real, &[COLUMN]);
    near(&s.value(rest), &[8.4, 7.2, 9.6]);
}

/// The gradient of the loss `sum(x w^2)` is `2 w sum(x)`, with an axis name of its own.
#[test]
fn gradients() {
    let mut s = Sheet::new(X);
    let (x, w) = (s.x(), s.w());
    let point = s.term(Op::Point(w, PointId(0)), Elem::Real, &[COLUMN]);
    let product = s.term(Op::Map(Fun::Mul, vec![x, point, point]), Elem::Real, &[ROW, COLUMN]);
    let of = s.term(Op::Reduce { red: Red::Sum, axes: vec![ROW, COLUMN], of: product, guard: None }, Elem::Real, &[]);
    let named = Axis { ix: 1, ..COLUMN };
    let grad = s.term(Op::Grad { of, wrt: point, axes: vec![named], shared: vec![] }, Elem::Real, &[named]);
    near(&s.value(grad), &[5.0, -2.0, 24.0]);
}

/// `stop` and a gradient by hand: forward sign, backward the identity times 3.
#[test]
fn gradients_by_hand() {
    let mut s = Sheet::new(X);
    let w = s.w();
    let point = s.term(Op::Point(w, PointId(0)), Elem::Real, &[COLUMN]);
    let input = s.term(Op::Point(point, PointId(1)), Elem::Real, &[COLUMN]);
    let sign = s.term(Op::Map(Fun::Sign, vec![input]), Elem::Real, &[COLUMN]);
    let zero = s.num(0.0);
    let cotangent = s.term(Op::Point(zero, PointId(2)), Elem::Real, &[COLUMN]);
    let three = s.num(3.0);
    let back = s.term(Op::Map(Fun::Mul, vec![three, cotangent]), Elem::Real, &[COLUMN]);
    let custom = Op::Custom { value: sign, inputs: vec![input], cotangent, back: vec![back] };
    let custom = s.term(custom, Elem::Real, &[COLUMN]);
    let stopped = s.term(Op::Stop(point), Elem::Real, &[COLUMN]);
    let product = s.term(Op::Map(Fun::Mul, vec![custom, stopped]), Elem::Real, &[COLUMN]);
    let of = s.term(Op::Reduce { red: Red::Sum, axes: vec![COLUMN], of: product, guard: None }, Elem::Real, &[]);
    let grad = Op::Grad { of, wrt: point, axes: vec![COLUMN], shared: vec![] };
    let grad = s.term(grad, Elem::Real, &[COLUMN]);
    near(&s.value(grad), &[1.5, -3.0, 6.0]);
    s.unit.names.clear();
    near(&s.value(of), &[3.5]);
}
