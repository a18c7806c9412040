//! Batches of nodes with what they see: `batch of node[64] neighbours cite 2 hops where seen`.
//! Law: a step computes as on the whole graph, with only the nodes and edges of the batch in it; its loss is that of the
//! seeds.

use super::edges::EdgeSet;
use super::value::Tensor;
use super::{Check, Elab, fail};
use crate::ast::NearDecl;
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{
    Arrivals, At, Axis, DimId, Elem, End, Field, FieldExpr, Input, InputId, Near, NearSet, Op, Output, Part, TermId, Ty,
};
use std::collections::BTreeMap;

impl Elab<'_> {
    /// What the line says.
    pub fn neighbourhoods(&mut self, decl: &NearDecl) -> Check<Near> {
        let Some(data) = self.data.filter(|k| self.items.is_whole(*k)) else {
            let d = Diagnostic::error(Code::G0404, decl.span, "there is no graph to draw nodes from");
            return fail(d.hint("name data with edges: `train name on cora { ... }`; a batch of rows is `batch 64`"));
        };
        let Some(set) = self.items.filled_by(data).find(|e| e.name == decl.edges.name).cloned() else {
            let names: Vec<String> = self.items.filled_by(data).map(|e| e.name.clone()).collect();
            let message = format!("the data have no edges `{}`", decl.edges.name);
            let d = Diagnostic::error(Code::G0105, decl.edges.span, message);
            return fail(d.hint(format!("they have {}", names.join(", "))));
        };
        let node = self.unit.dims.iter().position(|d| d.name == decl.node.name).map(DimId::new);
        if node.is_none_or(|d| set.src != d || set.dst != d) {
            let (src, dst) = (self.dim_name(set.src), self.dim_name(set.dst));
            let message = format!("the edges `{}` go from `{src}` to `{dst}`", set.name);
            let d = Diagnostic::error(Code::G0201, decl.node.span, message).label(set.span, "declared here");
            return fail(d.hint("neighbours are found along edges from a dim to itself; name that dim"));
        }
        let scope = self.train_scope();
        let hops = self.count_of(&decl.hops, &scope)?;
        if hops == 0 {
            let d = Diagnostic::error(Code::G0303, decl.hops.span, "within 0 hops a node sees no other");
            return fail(d.hint("a net of two graph layers sees 2 hops far"));
        }
        let fields = &self.items.fields[data];
        let only = decl.condition.as_ref().map(|c| self.items.field_condition(c, set.src, fields)).transpose()?;
        let sets: Vec<NearSet> = self.items.filled_by(data).filter_map(|e| near_set(e, set.src, fields)).collect();
        let along = sets.iter().position(|s| s.dim == set.dim).expect("both its ends are nodes");
        let arrivals = Arrivals::ALL.map(|what| {
            let name = what.field(&set.name);
            fields.iter().position(|f| f.name == name).expect("every set that data fill has them")
        });
        Ok(Near { node: set.src, sets, along, arrivals, hops, only })
    }

    /// The loss of the seeds, where the step has neighbourhoods.
    pub fn at_seeds(&mut self, loss: Tensor, span: Span) -> Check<Tensor> {
        let Some(node) = self.schedule_now().near.as_ref().map(|n| n.node) else { return Ok(loss) };
        let name = self.dim_name(node);
        if self.mode.fresh {
            let message = "a fresh batch of neighbourhoods would have other nodes in the same step";
            let d = Diagnostic::error(Code::G0301, span, message);
            return fail(d.hint("use a rule without `L(w; fresh)`, or train on the whole graph"));
        }
        let places: Vec<usize> = (0..loss.axes.len()).filter(|k| loss.axes[*k].dim == node).collect();
        let [place] = places[..] else {
            let message = format!("the loss of a batch of neighbourhoods has one entry for each `{name}`");
            let d = Diagnostic::error(Code::G0209, span, message);
            return fail(d.hint(format!(
                "leave it a tensor over `{name}`, which is averaged over the seeds: `minimize loss over ...`; which nodes these are says the line: `batch of {name}[64] neighbours ... where seen`"
            )));
        };
        let rows = self.unit.batch.expect("a unit with data has batches");
        let batch = Axis { dim: rows, ix: 0 };
        let name = format!("{name}.seeds");
        let id = self.near_input(name, Part::Seeds, Ty { elem: Elem::Index(node), axes: vec![batch] });
        let seeds = self.term(Op::Input(id), Elem::Index(node), vec![batch], span);
        let id = self.read_axis(&loss, loss.axes[place], At::Term(seeds), &[batch], None, span);
        let mut axes = loss.axes;
        axes[place] = batch;
        Ok(Tensor { id, axes })
    }

    fn near_input(&mut self, name: String, part: Part, ty: Ty) -> InputId {
        if let Some(k) = self.unit.inputs.iter().position(|i| i.part == part) {
            return InputId::new(k);
        }
        self.unit.inputs.push(Input { name, field: None, part, ty });
        InputId::new(self.unit.inputs.len() - 1)
    }

    /// The outputs of a step, with states that it does not change read at the nodes and edges of the batch.
    pub fn near_step(&mut self, outputs: Vec<(Output, TermId)>) -> Check<Vec<(Output, TermId)>> {
        let Some(near) = self.schedule_now().near.clone() else { return Ok(outputs) };
        let dims: Vec<DimId> = near.sets.iter().map(|s| s.dim).chain([near.node]).collect();
        let mut map = BTreeMap::new();
        for id in crate::print_program::needed(&self.unit, &outputs) {
            let term = self.unit.term(id).clone();
            let over = term.ty.axes.iter().find(|a| dims.contains(&a.dim)).map(|a| self.dim_name(a.dim));
            match (term.op, over) {
                (Op::Param(p), Some(dim)) => {
                    let own = &self.unit.params[p.index()];
                    return fail(few(&dim, &format!("the parameter `{}`", own.name), own.span));
                }
                (Op::State(s), Some(dim))
                    if outputs.iter().any(|o| o.0 == Output::State(s)) || !dims.contains(&term.ty.axes[0].dim) =>
                {
                    let own = &self.unit.states[s.index()];
                    return fail(few(&dim, &format!("the state `{}`", own.name), own.span));
                }
                (Op::State(s), Some(_)) => {
                    let name = format!("{}.near", self.unit.states[s.index()].name);
                    let input = self.near_input(name, Part::Near(s), self.unit.states[s.index()].ty.clone());
                    map.insert(id, self.term(Op::Input(input), term.ty.elem, term.ty.axes, term.span));
                }
                (Op::Input(input), _) => self.near_field(input, &dims, term.span)?,
                _ => {}
            }
        }
        let terms: Vec<TermId> = outputs.iter().map(|o| o.1).collect();
        let terms = self.rebuilt(&terms, map);
        Ok(outputs.into_iter().zip(terms).map(|((what, _), t)| (what, t)).collect())
    }

    /// Can a field be taken for a part of the nodes and edges?
    fn near_field(&self, input: InputId, dims: &[DimId], span: Span) -> Check<()> {
        let input = &self.unit.inputs[input.index()];
        let (Some(data), Some(k)) = (self.data, input.field) else { return Ok(()) };
        let field = &self.items.fields[data][k];
        let why = match (&field.value, field.elem) {
            (FieldExpr::End(_, End::Src | End::Dst | End::Type), _) => return Ok(()),
            (FieldExpr::Arrivals(_, Arrivals::Order | Arrivals::First | Arrivals::Count), _) => {
                "edges are sampled, and those that arrive at the outermost nodes are not there"
            }
            (FieldExpr::End(..), _) => "twins of edges are read, which may not be there",
            (_, Elem::Index(d)) if dims.contains(&d) => "its entries are nodes or edges, which may not be there",
            _ if field.dims.iter().skip(1).any(|d| dims.contains(d)) => "it has entries for pairs of nodes or edges",
            _ => return Ok(()),
        };
        let d =
            Diagnostic::error(Code::G0301, span, format!("a batch of neighbourhoods has no `{}`: {why}", field.name));
        fail(d.hint("train on the whole graph, without the line `batch of ...`"))
    }
}

/// The set in a batch, if it has an end among the nodes.
fn near_set(set: &EdgeSet, node: DimId, fields: &[Field]) -> Option<NearSet> {
    let field = |end: End| fields.iter().position(|f| f.name == format!("{}.{}", set.name, end.word()));
    let src = field(End::Src).filter(|_| set.src == node);
    let dst = field(End::Dst).filter(|_| set.dst == node);
    (src.is_some() || dst.is_some()).then_some(NearSet { dim: set.dim, src, dst })
}

fn few(dim: &str, what: &str, span: Span) -> Diagnostic {
    let message = format!("{what} has an entry for each `{dim}`, and a batch of neighbourhoods has only a few of them");
    Diagnostic::error(Code::G0301, span, message)
        .hint("train on the whole graph, without the line `batch of ...`, or make it of the nodes' features")
}
