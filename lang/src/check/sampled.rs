//! Sampled edges: `edges near = sample 10 of cite[-> v]`, of the edges that arrive at each target so many, anew in every
//! step (Hamilton, Ying and Leskovec, "Inductive representation learning on large graphs", 2017, section 3.2).

use super::edges::EdgeSet;
use super::made::Arrays;
use super::value::{Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::{Expr, Ident};
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Arrivals, At, Axis, Dist, Elem, End, Fun, TermId};
use std::rc::Rc;

impl Elab<'_> {
    /// The arrays of `sample count of set[-> v]`. Its cost does not grow with the number of edges: which places among
    /// its arriving edges a target takes is drawn, and the data's grouping of the edges says which those are.
    pub fn sampled_edges(&mut self, count: &Expr, set: &Ident, span: Span, scope: &Rc<Scope>) -> Check<Arrays> {
        let k = self.eval(count, scope)?;
        let k = self.static_count(&k, count.span)?;
        if k == 0 {
            let d = Diagnostic::error(Code::G0303, count.span, "a sample of no edges is no set");
            return fail(d.hint("take one at least: `sample 10 of cite[-> v]`"));
        }
        let Some(from) = self.edges_named(set, scope) else {
            return fail(self.no_set(format!("there are no edges `{}`", set.name), set.span, Code::G0101, scope));
        };
        if self.made_over(from.dim).is_some() {
            let message =
                format!("the edges `{}` are computed, and samples are drawn from those of the data", set.name);
            let d = Diagnostic::error(Code::G0301, set.span, message).label(from.span, "computed here");
            return fail(
                d.hint("a union or a reverse may be declared in the data block: `edges both = cite + reverse(cite)`"),
            );
        }
        let [order, first, arriving] = self.arrivals(&from, span)?;
        let target = first.axes[0];
        let places = self.number_dim(k);
        let place = self.fresh_axis(places, &[target, order.axes[0]]);
        let drawn = self.drawn_places(&arriving, (target, place), k, span)?;
        let start = Tensor { id: first.id, axes: vec![] };
        let at = self.map_aligned(Fun::Add, &[start, drawn], vec![], span);
        let zero = self.constant(0.0, Elem::Int, span);
        // The choice of the index variables around may stand in the draw.
        let own = self.ty(at.id).axes.clone();
        let chosen = self.read_axis(&order, order.axes[0], At::Term(at.id), &own, Some(zero.id), span);
        let mut arrays = vec![(End::Src, self.end_at(&from, End::Src, chosen, &own, span)?)];
        if from.by.is_some() {
            arrays.push((End::Type, self.end_at(&from, End::Type, chosen, &own, span)?));
        }
        arrays.push((End::Of, chosen));
        Ok(self.laid_out(&arrays, place, target, k, span))
    }

    /// The data's grouping of a set's edges by their targets.
    fn arrivals(&mut self, set: &EdgeSet, span: Span) -> Check<[Tensor; 3]> {
        let mut found = Vec::new();
        for what in Arrivals::ALL {
            let t = self.set_input(set, &what.field(&set.name), span)?;
            found.push(self.clear_of_active(&t, span));
        }
        Ok(<[Tensor; 3]>::try_from(found).expect("three fields"))
    }

    /// For each target `k` places among its arriving edges, by the library's `distinct_places`.
    fn drawn_places(&mut self, arriving: &Tensor, (target, place): (Axis, Axis), k: u64, span: Span) -> Check<Tensor> {
        let site = self.site(&format!("sample {k}"), span);
        self.within(&[target], |elab| {
            let numbers = elab.draw(Dist::Uniform, site, &[place], span);
            let of = Tensor { id: arriving.id, axes: vec![] };
            let decl = elab.library_fn("distinct_places", span)?;
            let pairs = [("u", numbers), ("n", of)].map(|(name, t)| (name.to_string(), Value::Tensor(t), span));
            let places = elab.run_fn(&decl, pairs.to_vec(), span)?;
            let places = elab.tensor(&places, span)?;
            let places = elab.rename(&places, &[(places.axes[0], place)], span);
            let whole = elab.map1(Fun::ToInt, &places, span);
            Ok(Tensor { id: whole.id, axes: vec![] })
        })
    }

    /// An end of the chosen edges.
    fn end_at(&mut self, set: &EdgeSet, end: End, chosen: TermId, own: &[Axis], span: Span) -> Check<TermId> {
        let array = self.edge_array(set, end, span)?;
        Ok(self.read_axis(&array, array.axes[0], At::Term(chosen), own, None, span))
    }
}
