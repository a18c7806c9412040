//! The verifier: every law of the Graph, checked on every node. Passes are run between two verifications in tests and
//! debug builds.
//! Law: a graph that it accepts can be printed, read back, evaluated, fused and emitted.

use super::typing::ensure;
use super::{At, Axes, Graph, NodeId, Op, Subst};
use gannet_lang::program::{Axis, Elem, Fun, Output};

impl Graph {
    /// Checks every node against the typing rules and every law of this level.
    ///
    /// # Errors
    /// A text that names the node and says what is wrong.
    pub fn verify(&self) -> Result<(), String> {
        for id in self.ids() {
            let node = self.node(id);
            let at = |e: String| format!("{id} = {:?} {:?}: {e}", node.op, node.args);
            if node.args.iter().any(|a| *a >= id) {
                return Err(at("it uses a node that does not come before it".into()));
            }
            let ty = self.type_of(&node.op, &node.args).map_err(at)?;
            self.check_laws(&node.op, &node.args).map_err(at)?;
            if ty != node.ty {
                return Err(at(format!("its type is {:?}, but {ty:?} follows", node.ty)));
            }
        }
        for (output, id) in &self.outputs {
            self.check_output(output, *id).map_err(|e| format!("{output:?} = {id}: {e}"))?;
        }
        match self.names.iter().find(|(_, id)| id.index() >= self.len()) {
            Some((name, id)) => Err(format!("`{name}` names {id}, which does not exist")),
            None => Ok(()),
        }
    }

    /// The laws of one node that are not typing rules.
    pub(super) fn check_laws(&self, op: &Op, args: &[NodeId]) -> Result<(), String> {
        self.axes_of(op).into_iter().try_for_each(|a| {
            ensure!(a.dim.index() < self.tables.dims.len(), "{a:?} is over no dim");
            Ok(())
        })?;
        match op {
            Op::Map(Fun::Sub | Fun::Div) => Err("sums and products stand for it".into()),
            Op::Map(Fun::Add | Fun::Mul) => {
                ensure!(args.len() >= 2, "it has two operands or more");
                ensure!(args.is_sorted(), "its operands are sorted");
                Ok(())
            }
            Op::Reduce(_, axes) => check_set(axes, true),
            Op::Contract(axes) => {
                ensure!(args.is_sorted(), "its factors are sorted");
                check_set(axes, true)
            }
            Op::Read { at, guarded } => {
                ensure!(*guarded || !at.is_empty(), "it reads nothing else");
                let same = at.iter().find(|(a, to)| to.as_axis() == Some(*a));
                ensure!(same.is_none(), "{same:?} renames an axis to itself");
                check_subst(at, args.len() - 1 - usize::from(*guarded))
            }
            Op::Fiber { at, over, .. } => {
                check_set(over, false)?;
                check_subst(at, args.len() - 1)
            }
            Op::Random(_, _, axes) => {
                ensure!(super::sorted(axes.iter().copied()).len() == axes.len(), "an axis occurs twice");
                Ok(())
            }
            Op::Grad { axes, shared } => {
                ensure!(axes.is_sorted_by(|x, y| x.0 < y.0), "its axes are sorted");
                ensure!(
                    matches!(self.node(args[1]).op, Op::Param(_) | Op::Point(_) | Op::Arg(..)),
                    "{} is no point",
                    args[1]
                );
                check_set(shared, false)
            }
            Op::Along(names) => {
                ensure!(names.iter().all(|n| n.is_sorted_by(|x, y| x.0 < y.0)), "its axes are sorted");
                let wrts = &args[1..=names.len()];
                let variable = |a: &NodeId| matches!(self.node(*a).op, Op::Param(_) | Op::Point(_));
                ensure!(wrts.iter().all(variable), "its directions move points");
                Ok(())
            }
            Op::Custom { inputs } => {
                let points = &args[1..2 + *inputs as usize];
                let point = |a: &NodeId| matches!(self.node(*a).op, Op::Point(_));
                ensure!(points.iter().all(point), "its inputs and cotangent are points");
                Ok(())
            }
            Op::Loop(body) => body.graph.verify(),
            _ => Ok(()),
        }
    }

    /// All axes that an operation names.
    fn axes_of(&self, op: &Op) -> Vec<Axis> {
        let places = |at: &Subst| -> Vec<Axis> {
            let terms = |to: &At| match to {
                At::Affine { terms, .. } => terms.iter().map(|t| t.1).collect(),
                At::Arg(_) => vec![],
            };
            at.iter().flat_map(|(a, to)| std::iter::once(*a).chain(terms(to))).collect()
        };
        match op {
            Op::Iota(axis) => vec![*axis],
            Op::Loop(body) => vec![body.axis],
            Op::Arg(_, _, axes) => axes.to_vec(),
            Op::Random(_, _, axes) | Op::Reduce(_, axes) | Op::Contract(axes) => axes.to_vec(),
            Op::Read { at, .. } => places(at),
            Op::Library(lib) => lib.groups.concat(),
            Op::Fiber { at, over, .. } => places(at).into_iter().chain(over.iter().copied()).collect(),
            Op::Grad { axes, shared } => axes.iter().flat_map(|n| [n.0, n.1]).chain(shared.iter().copied()).collect(),
            Op::Along(names) => names.iter().flatten().flat_map(|n| [n.0, n.1]).collect(),
            _ => vec![],
        }
    }

    fn check_output(&self, output: &Output, id: NodeId) -> Result<(), String> {
        ensure!(id.index() < self.len(), "the node does not exist");
        let wanted = match output {
            Output::Param(p) => self.tables.params.get(p.index()).map(|p| &p.ty).ok_or("no such parameter")?,
            Output::State(s) => self.tables.states.get(s.index()).map(|s| &s.ty).ok_or("no such state")?,
            Output::Loss => {
                ensure!(self.ty(id).axes.is_empty(), "a loss is a scalar");
                return Ok(());
            }
            Output::Report(_) | Output::Value(_) => return Ok(()),
        };
        let ty = self.ty(id);
        let kind = |e: Elem| if let Elem::Index(_) = e { Elem::Int } else { e };
        ensure!(kind(ty.elem) == kind(wanted.elem), "{:?} is stored as {:?}", ty.elem, wanted.elem);
        let axes = super::sorted(wanted.axes.iter().copied());
        ensure!(ty.axes == axes, "{:?} is stored over {axes:?}", ty.axes);
        Ok(())
    }
}

fn check_set(axes: &Axes, some: bool) -> Result<(), String> {
    ensure!(!some || !axes.is_empty(), "it goes over no axis");
    ensure!(axes.is_sorted_by(|a, b| a < b), "{axes:?} are not sorted");
    Ok(())
}

fn check_subst(at: &Subst, indices: usize) -> Result<(), String> {
    ensure!(at.is_sorted_by(|x, y| x.0 < y.0), "{at:?} is not sorted");
    let mut used = vec![false; indices];
    for (_, to) in at {
        match to {
            At::Affine { terms, .. } => {
                ensure!(terms.is_sorted_by(|x, y| x.1 < y.1), "{terms:?} are not sorted");
                ensure!(terms.iter().all(|t| t.0 != 0), "{terms:?} has a coefficient 0");
            }
            At::Arg(k) => {
                let place = (*k as usize).checked_sub(1).and_then(|k| used.get_mut(k));
                *place.ok_or_else(|| format!("there is no index operand {k}"))? = true;
            }
        }
    }
    ensure!(used.iter().all(|u| *u), "an index operand is not used");
    Ok(())
}
