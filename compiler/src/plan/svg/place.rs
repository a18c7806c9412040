//! Where the boxes of the kernels stand and how the lines between them run.
//! Law: a kernel stands below all that has to be over before it; boxes of a row do not overlap.

use super::flow::Uses;
use crate::plan::BufferId;
use std::collections::{BTreeMap, BTreeSet};

/// Rows do not grow wider than this, unless one box does.
const WIDEST: f64 = 1500.0;
/// A line goes down so many rows; what is read further below only says there where it comes from.
const REACH: usize = 3;
/// Plans of up to so many kernels have all their lines.
const FEW: usize = 14;
/// Between boxes side by side.
const ASIDE: f64 = 28.0;
/// Between rows.
const BELOW: f64 = 60.0;
/// Between lines that arrive at a box, and between those that leave it, where their names stand.
const ARRIVE: f64 = 26.0;
const LEAVE: f64 = 74.0;
/// Passes over the rows that move boxes towards what they are connected to.
const SWEEPS: usize = 16;

/// A line from a kernel that writes a buffer to one that reads it.
pub struct Wire {
    /// Who writes.
    pub from: usize,
    /// What.
    pub buffer: BufferId,
    /// Where it passes rows: its place, and from where to where it runs straight down.
    pub stops: Vec<[f64; 3]>,
}

/// Where everything is.
#[derive(Default)]
pub struct Placed {
    /// Left and upper edges of the boxes.
    pub boxes: Vec<(f64, f64)>,
    /// The lines.
    pub wires: Vec<Wire>,
    /// Of all.
    pub width: f64,
    /// Of all.
    pub height: f64,
}

/// Places boxes of these sizes.
pub fn place(sizes: &[(f64, f64)], uses: &[Uses]) -> Placed {
    let rows = rows(sizes, uses);
    let reach = if sizes.len() <= FEW { usize::MAX } else { REACH };
    let mut net = Net::new(sizes, rows);
    let mut chains = Vec::new();
    for (to, u) in uses.iter().enumerate() {
        for operand in &u.reads {
            for &from in &operand.from {
                if net.row[to] - net.row[from] <= reach {
                    chains.push((operand.buffer, net.chain(from, operand.buffer, to)));
                }
            }
        }
    }
    net.settle();
    net.placed(sizes, &chains)
}

/// The row of each kernel: below all that it waits for, as high as there is room; what waits for nothing stands right
/// above the first that needs it.
fn rows(sizes: &[(f64, f64)], uses: &[Uses]) -> Vec<usize> {
    let mut taken: Vec<f64> = Vec::new();
    let mut rows: Vec<usize> = Vec::new();
    for (k, u) in uses.iter().enumerate() {
        let mut row = u.after.iter().map(|a| rows[*a] + 1).max().unwrap_or(0);
        while taken.get(row).is_some_and(|w| *w > 0.0 && w + sizes[k].0 > WIDEST) {
            row += 1;
        }
        taken.resize(taken.len().max(row + 1), 0.0);
        taken[row] += sizes[k].0 + ASIDE;
        rows.push(row);
    }
    for k in (0..uses.len()).rev().filter(|k| uses[*k].after.is_empty()) {
        let needed = uses.iter().zip(&rows).filter(|(u, _)| u.after.contains(&k)).map(|(_, r)| *r).min();
        let lower = (rows[k] + 1..needed.unwrap_or(0)).rev().find(|r| taken[*r] + sizes[k].0 <= WIDEST);
        if let Some(row) = lower {
            taken[rows[k]] -= sizes[k].0 + ASIDE;
            taken[row] += sizes[k].0 + ASIDE;
            rows[k] = row;
        }
    }
    // A row that all have left goes.
    let used: BTreeSet<usize> = rows.iter().copied().collect();
    rows.iter().map(|r| used.range(..r).count()).collect()
}

/// Boxes and the places where lines pass rows, by rows.
struct Net {
    row: Vec<usize>,
    width: Vec<f64>,
    /// Centres.
    x: Vec<f64>,
    /// Connected nodes of the row above and of the row below.
    near: [Vec<Vec<usize>>; 2],
    rows: Vec<Vec<usize>>,
    /// Where the line of a buffer passes a row.
    lanes: BTreeMap<(usize, BufferId, usize), usize>,
}

impl Net {
    fn new(sizes: &[(f64, f64)], row: Vec<usize>) -> Net {
        let mut rows = vec![Vec::new(); row.iter().max().map_or(0, |r| r + 1)];
        row.iter().enumerate().for_each(|(k, r)| rows[*r].push(k));
        let none = || vec![Vec::new(); sizes.len()];
        let width = sizes.iter().map(|s| s.0).collect();
        Net { row, width, x: vec![0.0; sizes.len()], near: [none(), none()], rows, lanes: BTreeMap::new() }
    }

    /// The nodes of a line, those between shared by all lines of the buffer.
    fn chain(&mut self, from: usize, buffer: BufferId, to: usize) -> Vec<usize> {
        let mut chain = vec![from];
        for row in self.row[from] + 1..self.row[to] {
            let next = *self.lanes.entry((from, buffer, row)).or_insert(self.x.len());
            if next == self.x.len() {
                self.row.push(row);
                self.width.push(0.0);
                self.x.push(0.0);
                self.near.iter_mut().for_each(|n| n.push(Vec::new()));
                self.rows[row].push(next);
            }
            chain.push(next);
        }
        chain.push(to);
        for pair in chain.windows(2) {
            self.near[0][pair[1]].push(pair[0]);
            self.near[1][pair[0]].push(pair[1]);
        }
        chain
    }

    /// Moves nodes to where their lines are short, first with, then without changing their order.
    fn settle(&mut self) {
        for row in 0..self.rows.len() {
            self.spread(row);
        }
        for sweep in 0..SWEEPS {
            let upwards = sweep % 2;
            for i in 0..self.rows.len() {
                let row = if upwards == 1 { self.rows.len() - 1 - i } else { i };
                for k in self.rows[row].clone() {
                    let near = &self.near[upwards][k];
                    if !near.is_empty() {
                        self.x[k] = near.iter().map(|n| self.x[*n]).sum::<f64>() / near.len() as f64;
                    } else if self.near[1 - upwards][k].is_empty() {
                        // Nothing holds it: to the middle.
                        self.x[k] = self.x.iter().sum::<f64>() / self.x.len() as f64;
                    }
                }
                if sweep < SWEEPS / 2 {
                    let x = &self.x;
                    self.rows[row].sort_by(|a, b| x[*a].total_cmp(&x[*b]));
                }
                self.spread(row);
            }
        }
    }

    /// The places nearest to those wanted (least squares) at which nodes of a row keep their order and distance.
    fn spread(&mut self, row: usize) {
        let nodes = &self.rows[row];
        let mut offset = 0.0;
        let mut offsets = Vec::new();
        // Runs of nodes that touch: the sum of what they want, and how many they are.
        let mut runs: Vec<(f64, f64, usize)> = Vec::new();
        for (i, &k) in nodes.iter().enumerate() {
            if i > 0 {
                offset += (self.width[nodes[i - 1]] + self.width[k]) / 2.0 + ASIDE;
            }
            offsets.push(offset);
            let weight = if self.width[k] == 0.0 { 3.0 } else { 1.0 };
            runs.push(((self.x[k] - offset) * weight, weight, 1));
            while let [.., a, b] = runs[..]
                && a.0 / a.1 > b.0 / b.1
            {
                runs.truncate(runs.len() - 2);
                runs.push((a.0 + b.0, a.1 + b.1, a.2 + b.2));
            }
        }
        let wanted = runs.iter().flat_map(|r| std::iter::repeat_n(r.0 / r.1, r.2));
        for ((k, place), offset) in nodes.iter().zip(wanted).zip(offsets) {
            self.x[*k] = place + offset;
        }
    }

    fn placed(&self, sizes: &[(f64, f64)], chains: &[(BufferId, Vec<usize>)]) -> Placed {
        let edge = |k: usize, side: f64| self.x[k] + side * self.width[k] / 2.0;
        let all = 0..self.x.len();
        let left = all.clone().map(|k| edge(k, -1.0)).fold(f64::MAX, f64::min);
        let right = all.map(|k| edge(k, 1.0)).fold(f64::MIN, f64::max);
        let (mut tops, mut ends) = (Vec::new(), Vec::new());
        for row in &self.rows {
            let tall = row.iter().filter_map(|k| sizes.get(*k)).map(|s| s.1).fold(0.0, f64::max);
            tops.push(ends.last().map_or(0.0, |end| end + BELOW));
            ends.push(tops[tops.len() - 1] + tall);
        }
        let leave = self.slots(chains.iter().map(|(b, c)| ((c[0], c[0], *b), c[1])), LEAVE);
        let arrive = self.slots(chains.iter().map(|(b, c)| ((c[c.len() - 1], c[0], *b), c[c.len() - 2])), ARRIVE);
        let wire = |(buffer, chain): &(BufferId, Vec<usize>)| {
            let (from, to) = (chain[0], chain[chain.len() - 1]);
            let start = [leave[&(from, from, *buffer)], tops[self.row[from]] + sizes[from].1, ends[self.row[from]]];
            let lanes = chain[1..chain.len() - 1].iter().map(|k| [self.x[*k], tops[self.row[*k]], ends[self.row[*k]]]);
            let end = [arrive[&(to, from, *buffer)], tops[self.row[to]], tops[self.row[to]]];
            let stops = std::iter::once(start).chain(lanes).chain([end]).map(|[x, a, b]| [x - left, a, b]);
            Wire { from, buffer: *buffer, stops: stops.collect() }
        };
        Placed {
            boxes: (0..sizes.len()).map(|k| (edge(k, -1.0) - left, tops[self.row[k]])).collect(),
            wires: chains.iter().map(wire).collect(),
            width: (right - left).max(0.0),
            height: ends.last().copied().unwrap_or(0.0),
        }
    }

    /// Where lines meet the edge of a box: in the order of the nodes to which they go on, around the box's middle.
    fn slots(&self, ends: impl Iterator<Item = (End, usize)>, apart: f64) -> BTreeMap<End, f64> {
        let mut boxes: BTreeMap<usize, BTreeMap<End, f64>> = BTreeMap::new();
        for (end, next) in ends {
            boxes.entry(end.0).or_default().entry(end).or_insert(self.x[next]);
        }
        let mut slots = BTreeMap::new();
        for (k, ends) in boxes {
            let mut ends: Vec<(End, f64)> = ends.into_iter().collect();
            ends.sort_by(|a, b| a.1.total_cmp(&b.1));
            let apart = apart.min(self.width[k] / (ends.len() + 1) as f64);
            let middle = (ends.len() - 1) as f64 / 2.0;
            slots.extend(ends.iter().enumerate().map(|(i, e)| (e.0, self.x[k] + (i as f64 - middle) * apart)));
        }
        slots
    }
}

/// The end of a line: at which box, and of which kernel's writing of which buffer.
type End = (usize, usize, BufferId);
