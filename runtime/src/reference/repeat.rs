//! Loops of the reference evaluator: one step after the other, each on tensors of its own.
//! Law: places at which no step was taken hold 0 in everything that is kept of every step.

use super::{Env, Fault, Tensor, eval_step};
use gannet_compiler::graph::Body;
use gannet_lang::program::{Axis, LoopTest};

/// The parts of a loop: last values, what is kept of every step, the number of steps.
pub(super) fn run(body: &Body, env: &Env, given: &[&Tensor]) -> Result<Vec<Tensor>, Fault> {
    let count = env.size(body.axis.dim);
    let mut states: Vec<Tensor> = given[..body.states].iter().map(|t| (*t).clone()).collect();
    let mut kept: Vec<Vec<Option<Tensor>>> = body.each().map(|_| vec![None; count]).collect();
    let mut steps = 0;
    for n in 0..count {
        let place = if body.reverse { count - 1 - n } else { n };
        let args: Vec<Tensor> = (0..given.len())
            .map(|k| match k {
                _ if k < body.states => states[k].clone(),
                _ if k < body.states + body.slices => slice(given[k], body.axis, place),
                _ => given[k].clone(),
            })
            .collect();
        let values = eval_step(&body.graph, env, &args, |_, _| {})?;
        let value = |id: gannet_compiler::graph::NodeId| values[id.index()].clone().expect("outputs are live");
        let go_on = body.go_on().is_none_or(|id| value(id).data[0] != 0.0);
        if body.test == Some(LoopTest::Before) && !go_on {
            break;
        }
        for (all, id) in kept.iter_mut().zip(body.each()) {
            all[place] = Some(ordered(&value(id), &body.graph.ty(id).axes));
        }
        states = body.next().map(value).collect();
        steps += 1;
        if !go_on {
            break;
        }
    }
    let mut parts = states;
    for (all, id) in kept.into_iter().zip(body.each()) {
        let ty = body.graph.ty(id);
        let sizes: Vec<usize> = ty.axes.iter().map(|a| env.size(a.dim)).collect();
        parts.push(stacked(body.axis, ty.axes.to_vec(), sizes, all));
    }
    parts.push(Tensor::scalar(steps as f64));
    Ok(parts)
}

/// The tensor at one place of an axis.
fn slice(t: &Tensor, axis: Axis, place: usize) -> Tensor {
    let k = t.axes.iter().position(|a| *a == axis).expect("a slice has the loop's axis");
    let inner: usize = t.sizes[k + 1..].iter().product();
    let outer: usize = t.sizes[..k].iter().product();
    let mut data = Vec::with_capacity(outer * inner);
    for o in 0..outer {
        let start = (o * t.sizes[k] + place) * inner;
        data.extend_from_slice(&t.data[start..start + inner]);
    }
    let without = |list: &[usize]| [&list[..k], &list[k + 1..]].concat();
    let axes = [&t.axes[..k], &t.axes[k + 1..]].concat();
    Tensor { axes, sizes: without(&t.sizes), data }
}

/// The tensor with its axes in this order.
fn ordered(t: &Tensor, axes: &[Axis]) -> Tensor {
    let sizes: Vec<usize> = axes
        .iter()
        .map(|a| t.sizes[t.axes.iter().position(|b| a == b).expect("the same axes in another order")])
        .collect();
    let count: usize = sizes.iter().product();
    let mut data = Vec::with_capacity(count);
    for n in 0..count {
        let mut rest = n;
        let mut places: Vec<(Axis, usize)> = Vec::new();
        for (a, size) in axes.iter().zip(&sizes).rev() {
            places.push((*a, rest % size));
            rest /= size;
        }
        data.push(t.get(|a| places.iter().find(|p| p.0 == a).expect("every axis has a place").1));
    }
    Tensor { axes: axes.to_vec(), sizes, data }
}

/// One tensor from those of all places; the axis comes first.
fn stacked(axis: Axis, axes: Vec<Axis>, sizes: Vec<usize>, all: Vec<Option<Tensor>>) -> Tensor {
    let one: usize = sizes.iter().product();
    let count = all.len();
    let mut data = Vec::with_capacity(count * one);
    for t in all {
        match t {
            Some(t) => data.extend(t.data),
            None => data.extend(std::iter::repeat_n(0.0, one)),
        }
    }
    Tensor { axes: [vec![axis], axes].concat(), sizes: [vec![count], sizes].concat(), data }
}
