//! The adjoints of reads: each entry of the operand collects the cotangents of the places that read it.
//! Law: a renaming is undone by a renaming; a unit stride is undone by a read the other way round (so the gradient of a
//! convolution is a convolution); an axis that only selects becomes a condition; only what is left is a `Fiber`.

use super::cotangent::{Ctx, Term};
use super::place::Place;
use crate::graph::{NodeId, Op, Red};
use gannet_lang::program::{Axis, Fun};

/// The state of one read's inversion.
struct Inversion {
    /// Its value and condition have the axes of the result.
    t: Term,
    /// What axes of the result are from now on: names of axes of the operand, copies, fresh names; at once.
    names: Vec<(Axis, Place)>,
    /// Axes of the operand that still have to be found, and from where.
    places: Vec<(Axis, Place)>,
    /// New names of axes of the result that still have to be summed.
    over: Vec<Axis>,
}

impl Ctx<'_> {
    /// The cotangent of what is read.
    pub fn read_operand(&mut self, y: NodeId, t: &Term) -> Term {
        let mut inv = self.solve_renamings(y, t);
        self.solve_strides(&mut inv);
        let free = |ctx: &Self, p: &Place| ctx.place_axes(p).iter().all(|a| !inv.over.contains(a));
        let (kept, fibers): (Vec<_>, Vec<_>) = inv.places.iter().cloned().partition(|(_, p)| free(self, p));
        let along: Vec<Axis> = fibers.iter().flat_map(|(_, p)| self.place_axes(p)).collect();
        let (along, summed): (Vec<Axis>, Vec<Axis>) = inv.over.iter().partition(|a| along.contains(a));
        let t = self.read_and_sum(&inv.t, &inv.names, &summed);
        let t = self.scatter(t, &fibers, &along);
        self.only_where_equal(t, &kept)
    }

    /// The cotangent of the value outside: that of the entries that lie outside.
    pub fn outside_operand(&mut self, y: NodeId, t: &Term) -> Option<Term> {
        let node = self.g.node(y).clone();
        let Op::Read { at, .. } = &node.op else { unreachable!("a read") };
        let outside = *node.args.last().expect("a guarded read has a value outside");
        let places = self.places(at, &node.args);
        let over: Vec<Axis> = self.axes(y).iter().copied().filter(|a| !self.g.ty(outside).has(*a)).collect();
        let inside = self.inside(&places)?;
        let t = self.masked(t, inside, false, false);
        Some(self.sum_out(&t, &[], &over))
    }

    /// Axes of the result that are names for axes of the operand, and axes whose pending delta fixes them.
    fn solve_renamings(&mut self, y: NodeId, t: &Term) -> Inversion {
        let node = self.g.node(y).clone();
        let Op::Read { at, .. } = &node.op else { unreachable!("a read") };
        let (x, places) = (self.axes(node.args[0]), self.places(at, &node.args));
        let named = |a: Axis| places.iter().any(|p| p.0 == a);
        let summed: Vec<Axis> = self.axes(y).iter().copied().filter(|a| !x.contains(a) || named(*a)).collect();
        let (mut t, mut names, mut copies, mut over) = (t.clone(), Vec::new(), Vec::new(), Vec::new());
        for (a, place) in &places {
            if let Some(r) = place.as_axis().filter(|r| r.dim == a.dim && summed.contains(r))
                && names.iter().all(|n: &(Axis, Axis)| n.0 != r)
            {
                names.push((r, *a));
            }
        }
        let solved: Vec<Axis> = names.iter().map(|n| n.1).collect();
        for r in summed {
            if names.iter().any(|n| n.0 == r) {
                continue;
            }
            if let Some(copy) = Self::take_delta(&mut t, r) {
                copies.push(copy);
                names.push((r, copy));
            } else {
                // A fresh name keeps it apart from the operand's axes.
                let name = if x.contains(&r) { self.fresh(r.dim) } else { r };
                names.push((r, name));
                over.push(name);
            }
        }
        let unsolved = places.into_iter().filter(|p| !solved.contains(&p.0)).collect();
        self.apply_names(t, names, unsolved, &copies, over)
    }

    /// Puts the names into the places and the pending deltas; a place that is a copy is a delta.
    fn apply_names(
        &mut self,
        mut t: Term,
        names: Vec<(Axis, Axis)>,
        unsolved: Vec<(Axis, Place)>,
        copies: &[Axis],
        over: Vec<Axis>,
    ) -> Inversion {
        let to = |a: Axis| names.iter().find(|n| n.0 == a).map_or(a, |n| n.1);
        let mut places = Vec::new();
        let deltas = std::mem::take(&mut t.deltas);
        for (a, copy) in deltas.into_iter().map(|(a, copy)| (to(a), copy)) {
            // An axis with two deltas: one gave it its name, the other is a condition on copies.
            if copies.contains(&a) { places.push((a, Place::axis(copy))) } else { t.deltas.push((a, copy)) }
        }
        for (a, place) in unsolved {
            let place = self.rename_place(&place, &names);
            match place.as_axis().filter(|c| copies.contains(c) && c.dim == a.dim) {
                Some(copy) => t.deltas.push((a, copy)),
                None => places.push((a, place)),
            }
        }
        t.deltas.sort();
        let names = names.into_iter().map(|(a, name)| (a, Place::axis(name))).collect();
        Inversion { t, names, places, over }
    }

    /// `a = r + rest` is solved for the summed axis `r`, if `r` is the longest of those summed there: then the others
    /// remain to be summed, and they are the taps of the window.
    fn solve_strides(&self, inv: &mut Inversion) {
        let mut k = 0;
        while k < inv.places.len() {
            match self.solvable(inv, k) {
                Some((r, place)) => {
                    inv.over.retain(|a| *a != r);
                    inv.places.remove(k);
                    let name = inv.names.iter_mut().find(|n| n.1.as_axis() == Some(r));
                    name.expect("a summed axis has a name").1 = place;
                }
                None => k += 1,
            }
        }
    }

    fn solvable(&self, inv: &Inversion, k: usize) -> Option<(Axis, Place)> {
        let (a, Place::Affine(terms, offset)) = &inv.places[k] else { return None };
        let size = |axis: Axis| self.g.tables.entries(&[axis]);
        let summed = terms.iter().filter(|t| inv.over.contains(&t.1));
        let (c, r) = *summed.max_by(|s, t| size(s.1).total_cmp(&size(t.1)).then(t.0.abs().cmp(&s.0.abs())))?;
        let elsewhere = inv.places.iter().enumerate().any(|(j, p)| j != k && self.place_axes(&p.1).contains(&r));
        if c.abs() != 1 || elsewhere {
            return None;
        }
        let others = terms.iter().filter(|t| t.1 != r).map(|(k, axis)| (-c * k, *axis));
        Some((r, Place::affine(others.chain([(c, *a)]), -c * offset)))
    }

    /// Reads the term at the places and sums. Unless these are mere names, the reads go to the factors of a product or
    /// contraction, so that the product itself is never laid out over both the windows and their taps.
    fn read_and_sum(&mut self, t: &Term, names: &[(Axis, Place)], summed: &[Axis]) -> Term {
        let read = self.read_term(t, names);
        let node = self.g.node(t.value).clone();
        let mentioned: Vec<Axis> = names.iter().flat_map(|(a, p)| [vec![*a], self.place_axes(p)].concat()).collect();
        let (bound, factors) = match &node.op {
            Op::Contract(bound) if !bound.iter().any(|a| mentioned.contains(a)) => (bound.to_vec(), node.args),
            Op::Map(Fun::Mul) => (Vec::new(), node.args),
            _ => return self.sum_out(&read, &[], summed),
        };
        if names.iter().all(|n| n.1.as_axis().is_some_and(|a| a.dim == n.0.dim)) {
            return self.sum_out(&read, &[], summed);
        }
        let zero = self.g.num(0.0);
        let own =
            |ctx: &Self, f: NodeId| -> Vec<_> { names.iter().filter(|n| ctx.g.ty(f).has(n.0)).cloned().collect() };
        let mut reads = Vec::new();
        for f in &factors {
            let own = own(self, *f);
            reads.push(self.read_at(*f, &own, zero));
        }
        let absent = |n: &&(Axis, Place)| factors.iter().all(|f| !self.g.ty(*f).has(n.0));
        let absent: Vec<(Axis, Place)> = names.iter().filter(absent).cloned().collect();
        if let Some(inside) = self.inside(&absent) {
            let one = self.g.num(1.0);
            reads.push(self.only(inside, true, one));
        }
        let over: Vec<Axis> = bound.iter().chain(summed).copied().collect();
        let value = if over.is_empty() { self.g.mul_all(&reads) } else { self.g.contract_factors(&over, &reads) };
        let live = read.live.map(|live| self.any(summed, live));
        Term { value, deltas: t.deltas.clone(), live }
    }

    /// Sums along the fibers of the places.
    fn scatter(&mut self, t: Term, places: &[(Axis, Place)], over: &[Axis]) -> Term {
        if places.is_empty() {
            return t;
        }
        let (at, indices) = self.forms(places);
        let value = self.g.fiber(Red::Sum, t.value, &at, over, &indices);
        let live = t.live.map(|live| self.g.fiber(Red::Any, live, &at, over, &indices));
        Term { value, deltas: t.deltas, live }
    }

    fn only_where_equal(&mut self, t: Term, places: &[(Axis, Place)]) -> Term {
        let mut all = None;
        for (axis, place) in places {
            let eq = self.equals(*axis, place);
            all = self.and(all, Some(eq));
        }
        match all {
            Some(cond) => {
                let value = self.only(cond, true, t.value);
                let live = t.live.map(|live| self.g.map2(Fun::And, live, cond));
                Term { value, deltas: t.deltas, live }
            }
            None => t,
        }
    }

    /// The cotangent of what is reduced along fibers: that of the place to which each entry belongs.
    pub fn fiber_operand(&mut self, y: NodeId, red: Red, t: &Term) -> Option<Term> {
        let node = self.g.node(y).clone();
        let Op::Fiber { at, over, .. } = &node.op else { unreachable!("a fiber") };
        let (x, places) = (node.args[0], self.places(at, &node.args));
        let t = self.read_fiber(t, &places);
        let t = match red {
            Red::Sum => t,
            Red::Max | Red::Min => {
                let zero = self.g.num(0.0);
                let there = self.read_at(y, &places, zero);
                let extremal = self.g.map2(Fun::Eq, x, there);
                let count = self.fiber_sum(extremal, &places, over);
                self.shared_among(&t, extremal, count)
            }
            Red::Prod => {
                let others = self.fiber_product_of_others(x, &places, over);
                self.times(&t, others)
            }
            Red::Any | Red::All | Red::ArgMax | Red::ArgMin => return None,
        };
        let mut all: Vec<Axis> = self.axes(y).iter().copied().filter(|a| at.iter().all(|n| n.0 != *a)).collect();
        all.extend(over.iter().copied());
        all.retain(|a| !self.g.ty(x).has(*a));
        Some(self.sum_out(&t, &[], &all))
    }

    /// The term at the place of each entry. A pending delta of a place that is no renaming becomes a condition.
    fn read_fiber(&mut self, t: &Term, places: &[(Axis, Place)]) -> Term {
        let mut t = t.clone();
        let (mut conditions, mut rest, mut deltas) = (Vec::new(), Vec::new(), Vec::new());
        for (j, place) in places {
            let entry = place.as_axis().filter(|e| e.dim == j.dim);
            let mut replaced = false;
            while let Some(copy) = Self::take_delta(&mut t, *j) {
                match entry {
                    Some(e) => deltas.push((e, copy)),
                    None => {
                        conditions.push((copy, place.clone()));
                        t = self.rename_term(&t, &[(*j, copy)]);
                        replaced = true;
                    }
                }
            }
            if !replaced {
                rest.push((*j, place.clone()));
            }
        }
        let mut t = self.read_term(&t, &rest);
        t.deltas.extend(deltas);
        t.deltas.sort();
        self.only_where_equal(t, &conditions)
    }

    /// The sum of `x` along its fiber, at each entry.
    pub fn fiber_sum(&mut self, x: NodeId, places: &[(Axis, Place)], over: &[Axis]) -> NodeId {
        let x = self.g.to_real(x);
        self.along_fiber(Red::Sum, x, places, over)
    }

    fn along_fiber(&mut self, red: Red, x: NodeId, places: &[(Axis, Place)], over: &[Axis]) -> NodeId {
        let (at, indices) = self.forms(places);
        let zero = self.g.num(0.0);
        let whole = self.g.fiber(red, x, &at, over, &indices);
        self.read_at(whole, places, zero)
    }

    /// For each entry the product of the others in its fiber, by a quotient where nothing is 0. First derivatives are
    /// exact everywhere; second derivatives where no entry of the fiber is 0.
    pub fn fiber_product_of_others(&mut self, x: NodeId, places: &[(Axis, Place)], over: &[Axis]) -> NodeId {
        let (zero, one) = (self.g.num(0.0), self.g.num(1.0));
        let is_zero = self.g.map2(Fun::Eq, x, zero);
        let nonzero = self.g.select(is_zero, one, x);
        let product = self.along_fiber(Red::Prod, nonzero, places, over);
        let zeros = self.fiber_sum(is_zero, places, over);
        let own = self.g.to_real(is_zero);
        let minus = self.g.neg(own);
        let other_zeros = self.g.add_all(&[zeros, minus]);
        let recip = self.g.recip(nonzero);
        let others = self.g.mul_all(&[product, recip]);
        let clean = self.g.map2(Fun::Eq, other_zeros, zero);
        self.g.select(clean, others, zero)
    }
}
