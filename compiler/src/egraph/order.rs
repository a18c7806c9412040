//! The order in which a contraction of several factors is done: dynamic programming over subsets of the factors.
//! Law: the result has contractions of two factors only.

use super::cost;
use crate::graph::{Args, Axes, Graph, NodeId, Op, Red, sorted};
use gannet_lang::program::Axis;

/// Up to so many factors the order is the best one; above, the cheapest pair is joined first, again and again.
const EXACT_FACTORS: usize = 10;

/// Rewrites every contraction of three or more factors as contractions of two: what the kernel template takes.
pub fn order(graph: &Graph) -> Graph {
    graph.rebuild(|g, _, node, args| match &node.op {
        Op::Contract(axes) if args.len() > 2 => build(g, axes, args),
        op => g.add(op.clone(), args.iter().copied()),
    })
}

/// The contraction, as contractions of two factors in the cheapest order.
pub fn build(g: &mut Graph, axes: &[Axis], factors: &[NodeId]) -> NodeId {
    let problem = Problem::new(g, axes, factors);
    problem.build(g, &problem.solve().1)
}

/// Seconds for the contraction in the cheapest order.
pub fn cost(g: &Graph, axes: &[Axis], factors: &[NodeId]) -> f64 {
    let problem = Problem::new(g, axes, factors);
    if let [a, b] = problem.factors[..] {
        return problem.join(problem.live(1), problem.live(2), 3) + problem.presum(0, a) + problem.presum(1, b);
    }
    problem.solve().0
}

/// Which factors are joined first.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(usize),
    Join(Box<Tree>, Box<Tree>),
}

/// A set of axes or of factors, a bit each.
type Bits = u128;

struct Problem {
    /// All axes, in order.
    axes: Axes,
    /// Their sizes.
    sizes: Vec<f64>,
    /// Those that are summed.
    bound: Bits,
    /// The axes of each factor.
    factors: Vec<Bits>,
    nodes: Args,
}

impl Problem {
    fn new(g: &Graph, bound: &[Axis], factors: &[NodeId]) -> Self {
        let axes = g.union(factors);
        assert!(axes.len() <= Bits::BITS as usize, "a contraction speaks of at most {} axes", Bits::BITS);
        let bits = |set: &[Axis]| -> Bits {
            set.iter().filter_map(|a| axes.binary_search(a).ok()).map(|k| (1 as Bits) << k).sum()
        };
        Problem {
            sizes: axes.iter().map(|a| g.tables.entries(&[*a])).collect(),
            bound: bits(bound),
            factors: factors.iter().map(|f| bits(&g.ty(*f).axes)).collect(),
            nodes: factors.into(),
            axes,
        }
    }

    fn entries(&self, axes: Bits) -> f64 {
        (0..self.sizes.len()).filter(|k| axes >> k & 1 == 1).map(|k| self.sizes[k]).product()
    }

    fn union(&self, set: Bits) -> Bits {
        (0..self.factors.len()).filter(|k| set >> k & 1 == 1).fold(0, |u, k| u | self.factors[k])
    }

    fn all(&self) -> Bits {
        ((1 as Bits) << self.factors.len()) - 1
    }

    /// The axes left when these factors are joined: summed axes that occur nowhere else are gone.
    fn live(&self, set: Bits) -> Bits {
        self.union(set) & (!self.bound | self.union(self.all() & !set))
    }

    /// Seconds to sum the axes that only this factor has.
    fn presum(&self, k: usize, own: Bits) -> f64 {
        let live = self.live(1 << k);
        if live == own { 0.0 } else { cost::sum(self.entries(own), self.entries(live)) }
    }

    /// Seconds to join two results into that of `set`.
    fn join(&self, a: Bits, b: Bits, set: Bits) -> f64 {
        let (all, result) = (self.entries(a | b), self.live(set));
        if a | b == result {
            return cost::multiply(all);
        }
        cost::product(all, self.entries(a), self.entries(b), self.entries(result))
    }

    fn solve(&self) -> (f64, Tree) {
        if self.factors.len() <= EXACT_FACTORS { self.exact() } else { self.greedy() }
    }

    fn exact(&self) -> (f64, Tree) {
        let live: Vec<Bits> = (0..=self.all()).map(|s| self.live(s)).collect();
        let mut best: Vec<(f64, Bits)> = vec![(f64::INFINITY, 0); live.len()];
        for set in 1..=self.all() {
            if set.count_ones() == 1 {
                let k = set.trailing_zeros() as usize;
                best[set as usize] = (self.presum(k, self.factors[k]), 0);
                continue;
            }
            // Each split once: the part with the lowest factor comes first.
            let lowest = set & set.wrapping_neg();
            let rest = set & !lowest;
            let mut part = rest;
            while part != 0 {
                let (a, b) = (set & !part, part);
                let join = self.join(live[a as usize], live[b as usize], set);
                let total = best[a as usize].0 + best[b as usize].0 + join;
                if total < best[set as usize].0 {
                    best[set as usize] = (total, a);
                }
                part = (part - 1) & rest;
            }
        }
        (best[self.all() as usize].0, self.tree(&best, self.all()))
    }

    fn tree(&self, best: &[(f64, Bits)], set: Bits) -> Tree {
        match best[set as usize].1 {
            0 => Tree::Leaf(set.trailing_zeros() as usize),
            part => Tree::Join(Box::new(self.tree(best, part)), Box::new(self.tree(best, set & !part))),
        }
    }

    fn greedy(&self) -> (f64, Tree) {
        let mut parts: Vec<(Bits, Tree)> = (0..self.factors.len()).map(|k| (1 << k, Tree::Leaf(k))).collect();
        let mut total: f64 = self.factors.iter().enumerate().map(|(k, f)| self.presum(k, *f)).sum();
        while parts.len() > 1 {
            let mut best = (f64::INFINITY, 0, 1);
            for i in 0..parts.len() {
                for j in i + 1..parts.len() {
                    let (a, b) = (parts[i].0, parts[j].0);
                    let join = self.join(self.live(a), self.live(b), a | b);
                    if join < best.0 {
                        best = (join, i, j);
                    }
                }
            }
            let (join, i, j) = best;
            total += join;
            let (b, right) = parts.remove(j);
            let (a, left) = parts.remove(i);
            parts.push((a | b, Tree::Join(Box::new(left), Box::new(right))));
        }
        (total, parts.remove(0).1)
    }

    fn factors_of(tree: &Tree) -> Bits {
        match tree {
            Tree::Leaf(k) => 1 << k,
            Tree::Join(a, b) => Self::factors_of(a) | Self::factors_of(b),
        }
    }

    fn named(&self, set: Bits) -> Axes {
        self.axes.iter().enumerate().filter(|(k, _)| set >> k & 1 == 1).map(|(_, a)| *a).collect()
    }

    fn build(&self, g: &mut Graph, tree: &Tree) -> NodeId {
        let live = self.live(Self::factors_of(tree));
        match tree {
            Tree::Leaf(k) => {
                let gone = self.named(self.factors[*k] & !live);
                if gone.is_empty() { self.nodes[*k] } else { g.add(Op::Reduce(Red::Sum, gone), [self.nodes[*k]]) }
            }
            Tree::Join(a, b) => {
                let (a, b) = (self.build(g, a), self.build(g, b));
                let union = g.union(&[a, b]);
                let kept = self.named(live);
                let gone: Axes = sorted(union.into_iter().filter(|x| !kept.contains(x)));
                if gone.is_empty() { g.mul_all(&[a, b]) } else { g.add(Op::Contract(gone), [a, b]) }
            }
        }
    }
}
