//! The typing rules: what each operation makes of its operands' types.
//! Law: a node's type follows from its operation and its operands' types alone.

use super::{At, Axes, AxisNames, Graph, NodeId, Op, Red, Subst, Type, sorted};
use gannet_lang::program::{Axis, Elem, Fun, Lib, Ty};
use smallvec::SmallVec;

/// `ensure!(condition, "message {}", ..)`: else returns the message as the error.
macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err(format!($($message)*));
        }
    };
}
pub(super) use ensure;

/// A type or what is wrong.
type Typed = Result<Type, String>;

fn real(axes: Axes) -> Type {
    Type { elem: Elem::Real, axes }
}

fn scalar(elem: Elem) -> Type {
    Type { elem, axes: Axes::new() }
}

fn entry<'t, T>(table: &'t [T], index: usize, what: &str) -> Result<&'t T, String> {
    table.get(index).ok_or_else(|| format!("there is no {what} {index}"))
}

fn stored(ty: &Ty) -> Type {
    Type { elem: ty.elem, axes: sorted(ty.axes.iter().copied()) }
}

/// The number of directions of an `Along` with these operands.
fn directions(args: &[NodeId]) -> usize {
    args.len() / 2
}

impl Graph {
    /// The type of an operation applied to operands of this graph.
    ///
    /// # Errors
    /// A text that says why the operands do not fit.
    pub fn type_of(&self, op: &Op, args: &[NodeId]) -> Typed {
        self.check_arity(op, args.len())?;
        let t = &self.tables;
        match op {
            Op::Input(i) => Ok(stored(&entry(&t.inputs, i.index(), "input")?.ty)),
            Op::Param(p) => Ok(stored(&entry(&t.params, p.index(), "parameter")?.ty)),
            Op::State(s) => Ok(stored(&entry(&t.states, s.index(), "state")?.ty)),
            Op::Hyper(h) => entry(&t.hypers, h.index(), "hyperparameter").map(|_| scalar(Elem::Real)),
            Op::Size(d) => entry(&t.dims, d.index(), "dim").map(|_| scalar(Elem::Real)),
            Op::Step => Ok(scalar(Elem::Real)),
            Op::Const(_, elem) => Ok(scalar(*elem)),
            Op::Iota(axis) => Ok(Type { elem: Elem::Index(axis.dim), axes: SmallVec::from_slice(&[*axis]) }),
            Op::Random(_, _, axes) => Ok(real(sorted(axes.iter().copied()))),
            Op::Map(fun) => Ok(Type { elem: self.map_elem(*fun, args)?, axes: self.union(args) }),
            Op::Reduce(red, axes) => self.type_of_reduce(*red, axes, args[0]),
            Op::Contract(axes) => self.type_of_contract(axes, args),
            Op::Read { at, guarded } => self.type_of_read(at, *guarded, args),
            Op::Fiber { red, at, over } => self.type_of_fiber(*red, at, over, args),
            Op::Library(lib) => self.type_of_library(lib, args),
            Op::Part(k) => self.part_type(args[0], *k),
            Op::Point(_) | Op::Stop | Op::Custom { .. } => Ok(self.ty(args[0]).clone()),
            Op::Arg(_, elem, axes) => Ok(Type { elem: *elem, axes: sorted(axes.iter().copied()) }),
            Op::Loop(body) => self.type_of_loop(body, args),
            Op::Grad { axes, shared: _ } => {
                let own: Vec<Axis> = axes.iter().map(|n| n.0).collect();
                ensure!(sorted(own.clone()) == self.ty(args[1]).axes, "{own:?} are not the axes of {}", args[1]);
                Ok(real(sorted(self.ty(args[0]).axes.iter().copied().chain(axes.iter().map(|n| n.1)))))
            }
            Op::Along(names) => self.type_of_along(names, args),
        }
    }

    fn check_arity(&self, op: &Op, count: usize) -> Result<(), String> {
        let (least, most) = match op {
            Op::Map(Fun::Add | Fun::Mul) => (1, usize::MAX),
            Op::Map(fun) => (fun_arity(*fun), fun_arity(*fun)),
            Op::Contract(_) => (2, usize::MAX),
            Op::Read { guarded, .. } => (1 + usize::from(*guarded), usize::MAX),
            Op::Fiber { .. } => (1, usize::MAX),
            Op::Reduce(..) | Op::Point(_) | Op::Stop | Op::Part(_) => (1, 1),
            Op::Loop(body) => (body.states, usize::MAX),
            Op::Library(lib) => (lib.fun.signature().operands.len(), lib.fun.signature().operands.len()),
            Op::Grad { .. } => (2, 2),
            Op::Along(names) => (1 + 2 * names.len(), 1 + 2 * names.len()),
            Op::Custom { inputs } => (2 + 2 * *inputs as usize, 2 + 2 * *inputs as usize),
            _ => (0, 0),
        };
        ensure!((least..=most).contains(&count), "it cannot have {count} operands");
        Ok(())
    }

    /// The operands have the types of the body's `Arg`s, slices the loop's axis besides. The node itself is a bundle
    /// without a value of its own.
    fn type_of_loop(&self, body: &super::Body, args: &[NodeId]) -> Typed {
        for id in body.graph.ids() {
            let Op::Arg(k, elem, axes) = &body.graph.node(id).op else { continue };
            let x = *args.get(*k as usize).ok_or_else(|| format!("operand {k} is missing"))?;
            let slice = (body.states..body.states + body.slices).contains(&(*k as usize));
            let wanted = sorted(axes.iter().copied().chain(slice.then_some(body.axis)));
            let kind = |e: Elem| if let Elem::Index(_) = e { Elem::Int } else { e };
            let ty = self.ty(x);
            let fits = ty.axes == wanted && kind(ty.elem) == kind(*elem);
            ensure!(fits, "operand {k} is {ty:?}, the step takes {elem:?} over {wanted:?}");
        }
        Ok(scalar(Elem::Real))
    }

    /// The node itself has no value; its type is that of a real number, so that what depends on it counts as smooth.
    fn type_of_library(&self, lib: &Lib, args: &[NodeId]) -> Typed {
        let axes: Vec<&[Axis]> = args.iter().map(|a| &self.ty(*a).axes[..]).collect();
        lib.check(&axes)?;
        ensure!(args.iter().all(|a| self.ty(*a).elem == Elem::Real), "its operands are real");
        let fits = !lib.fun.signature().square || lib.is_square(&self.tables.dims);
        ensure!(fits, "rows and columns differ in number");
        Ok(scalar(Elem::Real))
    }

    /// The type of result `k` of a node that has several.
    ///
    /// # Errors
    /// A text, if the node has no such result.
    pub fn part_type(&self, node: NodeId, k: u32) -> Result<Type, String> {
        let node = self.node(node);
        match &node.op {
            Op::Library(lib) => {
                let axes: Vec<&[Axis]> = node.args.iter().map(|a| &self.ty(*a).axes[..]).collect();
                let (elem, axes) = lib.part(k as usize, &axes)?;
                Ok(Type { elem, axes: axes.into_iter().collect() })
            }
            Op::Loop(body) => body.part_type(k as usize),
            op => Err(format!("{op:?} has no parts")),
        }
    }

    fn type_of_along(&self, names: &[AxisNames], args: &[NodeId]) -> Typed {
        let mut axes = self.ty(args[0]).axes.clone();
        for (k, names) in names.iter().enumerate() {
            let (wrt, tangent) = (args[1 + k], args[1 + directions(args) + k]);
            let own: Axes = names.iter().map(|n| n.0).collect();
            ensure!(own == self.ty(wrt).axes, "{own:?} are not the axes of {wrt}");
            ensure!(self.ty(tangent).elem == Elem::Real, "the tangent {tangent} is not real");
            axes.extend(self.ty(tangent).axes.iter().copied().filter(|a| names.iter().all(|n| n.1 != *a)));
        }
        Ok(real(sorted(axes)))
    }

    fn type_of_reduce(&self, red: Red, axes: &Axes, x: NodeId) -> Typed {
        let ty = self.ty(x);
        ensure!(axes.iter().all(|a| ty.has(*a)), "{axes:?} are not all axes of {x}, which has {:?}", ty.axes);
        let elem = match red {
            Red::ArgMax | Red::ArgMin => {
                ensure!(axes.len() == 1, "{red:?} goes over one axis");
                Elem::Index(axes[0].dim)
            }
            _ => ty.elem,
        };
        Ok(Type { elem, axes: ty.axes.iter().copied().filter(|a| !axes.contains(a)).collect() })
    }

    fn type_of_contract(&self, axes: &Axes, args: &[NodeId]) -> Typed {
        let all = self.union(args);
        ensure!(axes.iter().all(|a| all.contains(a)), "{axes:?} do not all occur in the factors, which have {all:?}");
        ensure!(args.iter().all(|a| self.ty(*a).elem == Elem::Real), "factors are real");
        Ok(real(all.into_iter().filter(|a| !axes.contains(a)).collect()))
    }

    /// The whole-number operand at position `k` of `count` operands of which the last may be a value outside.
    fn index_axes(&self, k: u8, args: &[NodeId], guarded: bool) -> Result<&Axes, String> {
        let indices = 1..args.len() - usize::from(guarded);
        ensure!(indices.contains(&(k as usize)), "there is no index operand {k}");
        let ty = self.ty(args[k as usize]);
        ensure!(matches!(ty.elem, Elem::Int | Elem::Index(_)), "index operand {k} is no whole number");
        Ok(&ty.axes)
    }

    fn type_of_read(&self, at: &Subst, guarded: bool, args: &[NodeId]) -> Typed {
        let ty = self.ty(args[0]);
        ensure!(at.iter().all(|(a, _)| ty.has(*a)), "{at:?} names axes that {} lacks: {:?}", args[0], ty.axes);
        let kept = ty.axes.iter().copied().filter(|a| at.iter().all(|(b, _)| a != b));
        let mut axes: Vec<Axis> = kept.collect();
        for (_, to) in at {
            match to {
                At::Affine { terms, .. } => axes.extend(terms.iter().map(|t| t.1)),
                At::Arg(k) => axes.extend(self.index_axes(*k, args, guarded)?.iter().copied()),
            }
        }
        if guarded {
            let outside = self.ty(args[args.len() - 1]);
            let real = |e: Elem| e == Elem::Real;
            ensure!(real(outside.elem) == real(ty.elem), "the value outside is {:?}, not {:?}", outside.elem, ty.elem);
            axes.extend(outside.axes.iter().copied());
        }
        Ok(Type { elem: ty.elem, axes: sorted(axes) })
    }

    fn type_of_fiber(&self, red: Red, at: &Subst, over: &Axes, args: &[NodeId]) -> Typed {
        ensure!(!matches!(red, Red::ArgMax | Red::ArgMin), "a fiber has no {red:?}");
        for (_, to) in at {
            if let At::Arg(k) = to {
                self.index_axes(*k, args, false)?;
            }
        }
        // The operand is taken over the union of all operands' axes and the reduced ones: along an axis that it lacks,
        // it repeats.
        let kept = sorted(self.union(args).into_iter().filter(|a| !over.contains(a)));
        let named = at.iter().map(|(a, _)| *a);
        let clash = named.clone().find(|a| kept.contains(a));
        ensure!(clash.is_none(), "{clash:?} is an axis of the operands and of the result");
        Ok(Type { elem: self.ty(args[0]).elem, axes: sorted(kept.into_iter().chain(named)) })
    }

    fn map_elem(&self, fun: Fun, args: &[NodeId]) -> Result<Elem, String> {
        let elem = |k: usize| self.ty(args[k]).elem;
        let is_real = |a: &NodeId| self.ty(*a).elem == Elem::Real;
        Ok(match fun {
            Fun::Lt
            | Fun::Le
            | Fun::Gt
            | Fun::Ge
            | Fun::Eq
            | Fun::Ne
            | Fun::And
            | Fun::Or
            | Fun::Not
            | Fun::IsFinite => Elem::Bool,
            Fun::ToReal => Elem::Real,
            Fun::ToInt => Elem::Int,
            Fun::Select => {
                ensure!(is_real(&args[1]) == is_real(&args[2]), "branches are {:?} and {:?}", elem(1), elem(2));
                if elem(1) == elem(2) { elem(1) } else { Elem::Int }
            }
            Fun::Add | Fun::Mul | Fun::Sub | Fun::Min | Fun::Max | Fun::Neg | Fun::Abs | Fun::IntDiv | Fun::Mod
                if !args.iter().any(is_real) =>
            {
                Elem::Int
            }
            _ => {
                ensure!(args.iter().all(is_real), "{fun:?} takes reals");
                Elem::Real
            }
        })
    }
}

/// The number of operands of a scalar function; of `Add` and `Mul`, the least one.
pub fn fun_arity(fun: Fun) -> usize {
    match fun {
        Fun::Neg
        | Fun::Abs
        | Fun::Sign
        | Fun::Recip
        | Fun::Exp
        | Fun::Expm1
        | Fun::Log
        | Fun::Log1p
        | Fun::Sqrt
        | Fun::Sin
        | Fun::Cos
        | Fun::Tan
        | Fun::Tanh
        | Fun::Sigmoid
        | Fun::Softplus
        | Fun::Erf
        | Fun::Floor
        | Fun::Ceil
        | Fun::Round
        | Fun::Not
        | Fun::IsFinite
        | Fun::ToReal
        | Fun::ToInt
        | Fun::ToF32
        | Fun::ToF16
        | Fun::ToBf16
        | Fun::Add
        | Fun::Mul => 1,
        Fun::Select => 3,
        _ => 2,
    }
}
