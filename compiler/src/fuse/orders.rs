//! Storage orders: which axis of each stored node lies innermost.
//! Law: what is read together is stored alike: the rows of data outermost, then what windows move along, axes that are
//! reduced innermost.

use super::Given;
use super::context::Context;
use super::prepare::prepare;
use crate::graph::{At, Body, NodeId, Op, Type};
use gannet_lang::program::{Axis, Output, Size};
use std::collections::BTreeMap;

impl Context<'_> {
    pub(super) fn choose_orders(&mut self, given: Given<'_>) {
        let reduced = self.reduced_axes();
        let (images, windowed) = (self.image_axes(), self.windowed_axes());
        let tables = &self.graph.tables;
        let mut known: Vec<Vec<Axis>> = Vec::new();
        known.extend(given.orders.iter().cloned());
        known.extend(tables.params.iter().map(|p| p.ty.axes.clone()));
        known.extend(tables.states.iter().map(|s| s.ty.axes.clone()));
        known.extend(tables.inputs.iter().map(|i| i.ty.axes.clone()));
        let places = self.loop_places();
        let mut kept: BTreeMap<NodeId, Vec<Vec<Axis>>> = BTreeMap::new();
        for id in self.nodes() {
            let order = match &self.graph.node(id).op {
                Op::Input(i) => tables.inputs[i.index()].ty.axes.clone(),
                Op::Param(p) => tables.params[p.index()].ty.axes.clone(),
                Op::State(s) => tables.states[s.index()].ty.axes.clone(),
                Op::Arg(k, ..) => given.orders[*k as usize].clone(),
                Op::Loop(body) => {
                    kept.insert(id, self.orders_of_parts(id, body));
                    continue;
                }
                _ if !self.stored[id.index()] => continue,
                Op::Part(k) if kept.get(&self.graph.node(id).args[0]).is_some_and(|o| (*k as usize) < o.len()) => {
                    kept[&self.graph.node(id).args[0]][*k as usize].clone()
                }
                _ => {
                    let axes = &self.graph.ty(id).axes;
                    let like = known.iter().find(|order| is_order_of(order, axes)).cloned();
                    let order = like.or_else(|| self.order_of_operand(id)).unwrap_or_else(|| {
                        self.natural_order(axes, [&images, &windowed, &reduced].map(|m| &m[id.index()][..]))
                    });
                    if !windowed[id.index()].is_empty() {
                        known.push(order.clone());
                    }
                    match places.get(&id) {
                        // A loop sees one place of this axis at a time: each lies in one piece.
                        Some(first) => first_axis(order, *first),
                        None => order,
                    }
                }
            };
            self.orders.insert(id, order);
        }
        for (k, (output, id)) in self.graph.outputs.iter().enumerate() {
            let order = match output {
                Output::Value(_) if k < given.states => &given.orders[k],
                Output::Param(p) => &tables.params[p.index()].ty.axes,
                Output::State(s) => &tables.states[s.index()].ty.axes,
                _ => continue,
            };
            if !self.is_leaf(*id) && !places.contains_key(id) {
                self.orders.insert(*id, order.clone());
            }
        }
    }

    /// What is made entry by entry of a stored value is stored like it, so that both are gone through in one way.
    fn order_of_operand(&self, id: NodeId) -> Option<Vec<Axis>> {
        match &self.graph.node(id).op {
            Op::Map(_) => {}
            Op::Read { at, .. } if at.iter().all(|(_, to)| to.as_axis().is_some()) => {}
            _ => return None,
        }
        let axes = &self.graph.ty(id).axes;
        Some(self.model_order(id, axes)).filter(|order| is_order_of(order, axes))
    }

    /// The storage orders of a loop's parts but for the number of steps: those that its step gives them.
    fn orders_of_parts(&self, id: NodeId, body: &Body) -> Vec<Vec<Axis>> {
        let inside = |a: &NodeId| self.orders[a].iter().copied().filter(|a| *a != body.axis).collect();
        let given: Vec<Vec<Axis>> = self.graph.node(id).args.iter().map(inside).collect();
        let graph = prepare(&body.graph);
        let step = Context::new(&graph, self.options, Given { orders: &given, states: body.states });
        let each = graph.outputs[body.states + usize::from(body.test.is_some())..].iter();
        let each = each.map(|(_, id)| first_axis(step.orders[id].clone(), body.axis));
        given[..body.states].iter().cloned().chain(each).collect()
    }

    /// The axis of a loop that goes through a node place by place, or that keeps it of every step.
    fn loop_places(&self) -> BTreeMap<NodeId, Axis> {
        let mut places = BTreeMap::new();
        for id in self.nodes() {
            let node = self.graph.node(id);
            match &node.op {
                Op::Loop(body) => {
                    for slice in &node.args[body.states..body.states + body.slices] {
                        places.entry(*slice).or_insert(body.axis);
                    }
                }
                Op::Part(k) => {
                    if let Op::Loop(body) = &self.graph.node(node.args[0]).op
                        && (body.states..body.steps_part()).contains(&(*k as usize))
                    {
                        places.insert(id, body.axis);
                    }
                }
                _ => {}
            }
        }
        places
    }

    /// The rows of data outermost, then axes of images, then what windows move along, then open dims, axes that are
    /// reduced innermost.
    fn natural_order(&self, axes: &[Axis], [images, windowed, reduced]: [&[Axis]; 3]) -> Vec<Axis> {
        let open = |a: &Axis| !matches!(self.graph.tables.dims[a.dim.index()].size, Size::Fixed(_));
        let mut order = axes.to_vec();
        order.sort_by_key(|a| {
            let apart = !images.contains(a) || windowed.contains(a);
            (!self.is_row(*a), apart, !windowed.contains(a), reduced.contains(a), !open(a), *a)
        });
        order
    }

    /// Does the axis go over the rows of data?
    fn is_row(&self, axis: Axis) -> bool {
        self.graph.tables.inputs.iter().any(|i| i.ty.axes.first() == Some(&axis))
    }

    /// The axes over which each node is reduced, other than by products. Sums over rows do not count: they add up rows
    /// wherever what else they go over is stored.
    fn reduced_axes(&self) -> Vec<Vec<Axis>> {
        let mut reduced: Vec<Vec<Axis>> = vec![Vec::new(); self.graph.len()];
        for id in self.nodes() {
            let node = self.graph.node(id);
            let own = match &node.op {
                Op::Reduce(_, axes) => axes,
                Op::Contract(axes) if !self.products.contains_key(&id) => axes,
                _ => continue,
            };
            if !own.iter().any(|a| self.is_row(*a)) {
                node.args.iter().for_each(|a| add(&mut reduced[a.index()], own, self.graph.ty(*a)));
            }
        }
        self.carried_back(reduced, false)
    }

    /// Axes of each node along which windows of it are read: whatever else it has lies side by side in every window.
    fn windowed_axes(&self) -> Vec<Vec<Axis>> {
        self.carried_back(vec![Vec::new(); self.graph.len()], true)
    }

    /// Axes of each node that products of its windows keep, besides those along which windows move: its images lie
    /// apart along them.
    fn image_axes(&self) -> Vec<Vec<Axis>> {
        let mut kept: Vec<Vec<Axis>> = vec![Vec::new(); self.graph.len()];
        for (id, parts) in &self.products {
            let stays = |a: &Axis| !parts.k.contains(a);
            for factor in self.graph.node(*id).args.iter().filter(|f| self.moves_windows(**f, &stays)) {
                let axes: Vec<Axis> = self.graph.ty(*factor).axes.iter().copied().filter(stays).collect();
                kept[factor.index()].extend(axes);
            }
        }
        self.carried_back(kept, false)
    }

    /// Does a factor read windows whose places stay, and not their insides?
    fn moves_windows(&self, factor: NodeId, stays: &dyn Fn(&Axis) -> bool) -> bool {
        let node = self.graph.node(factor);
        let Op::Read { at, .. } = &node.op else { return false };
        let size = |a: &Axis| self.graph.tables.entries(&[*a]);
        let forms = at.iter().filter_map(|(_, to)| match to {
            At::Affine { terms, .. } if terms.len() > 1 => {
                terms.iter().map(|t| t.1).reduce(|a, b| if size(&b) > size(&a) { b } else { a })
            }
            _ => None,
        });
        let places: Vec<Axis> = forms.collect();
        !places.is_empty() && places.iter().all(stays)
    }

    /// Marks of axes carried from results to operands; with `windows`, reads of windows mark what they move along.
    fn carried_back(&self, mut marked: Vec<Vec<Axis>>, windows: bool) -> Vec<Vec<Axis>> {
        for id in self.nodes().into_iter().rev() {
            let node = self.graph.node(id);
            let own = marked[id.index()].clone();
            match &node.op {
                Op::Map(_) => node.args.iter().for_each(|a| add(&mut marked[a.index()], &own, self.graph.ty(*a))),
                Op::Read { at, .. } => {
                    let carries = |to: &At| match to {
                        At::Affine { terms, .. } if terms.len() > 1 => windows,
                        At::Affine { terms, .. } => terms.iter().any(|t| own.contains(&t.1)),
                        At::Arg(_) => false,
                    };
                    let kept = own.iter().copied().filter(|a| at.iter().all(|(b, _)| b != a));
                    let axes: Vec<Axis> = at.iter().filter(|r| carries(&r.1)).map(|r| r.0).chain(kept).collect();
                    add(&mut marked[node.args[0].index()], &axes, self.graph.ty(node.args[0]));
                }
                _ => {}
            }
        }
        marked
    }

    /// The storage order of the largest stored node from which `id` is computed, by the axes it shares with `axes`
    /// (all axes, if none are given), in the names that they have at `id`.
    pub fn model_order(&self, id: NodeId, axes: &[Axis]) -> Vec<Axis> {
        let mut best: (usize, Vec<Axis>) = (0, Vec::new());
        let mut todo: Vec<(NodeId, Vec<(Axis, Axis)>)> =
            self.graph.node(id).args.iter().map(|a| (*a, Vec::new())).collect();
        let mut seen: Vec<NodeId> = Vec::new();
        while let Some((n, names)) = todo.pop() {
            if seen.contains(&n) {
                continue;
            }
            seen.push(n);
            let named = |a: &Axis| names.iter().find(|(inner, _)| inner == a).map_or(*a, |(_, outer)| *outer);
            let node = self.graph.node(n);
            match (self.orders.get(&n), &node.op) {
                (Some(order), _) => {
                    let order: Vec<Axis> = order.iter().map(named).collect();
                    let shared = order.iter().filter(|a| axes.is_empty() || axes.contains(a)).count();
                    if shared > best.0 {
                        best = (shared, order);
                    }
                }
                (None, Op::Read { at, .. }) => {
                    let inner = self.graph.ty(node.args[0]).axes.iter().map(|a| {
                        let to = at.iter().find(|(from, _)| from == a).and_then(|(_, to)| to.as_axis());
                        (*a, named(&to.unwrap_or(*a)))
                    });
                    todo.push((node.args[0], inner.collect()));
                    todo.extend(node.args[1..].iter().map(|a| (*a, names.clone())));
                }
                (None, _) => todo.extend(node.args.iter().map(|a| (*a, names.clone()))),
            }
        }
        best.1
    }
}

/// Adds those axes that a type has to a sorted list.
fn add(list: &mut Vec<Axis>, axes: &[Axis], ty: &Type) {
    list.extend(axes.iter().filter(|a| ty.has(**a)));
    list.sort();
    list.dedup();
}

/// Does it name each of the axes once? (That of a matrix read along its diagonal may name one twice.)
fn is_order_of(order: &[Axis], axes: &[Axis]) -> bool {
    order.len() == axes.len() && axes.iter().all(|a| order.contains(a))
}

/// The order with an axis moved to the front.
fn first_axis(order: Vec<Axis>, first: Axis) -> Vec<Axis> {
    let rest = order.into_iter().filter(|a| *a != first);
    std::iter::once(first).chain(rest).collect()
}
