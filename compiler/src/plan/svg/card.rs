//! The box of a kernel: its form, its name, its estimate, what it reads and what it writes.
//! Law: a box is as large as what stands in it.

use super::flow::Uses;
use super::paint::{Anchor, Canvas, Font, Rect, cut, number};
use super::{Look, Picture};
use crate::plan::{BufferId, Estimate, Extent, Home, Kernel, Kind, Plan};

/// Wide enough for names and shapes.
const WIDTH: f64 = 304.0;
/// The line of the form.
const HEAD: f64 = 22.0;
/// A line of a buffer.
const ROW: f64 = 15.0;
/// Between the edge and what stands in the box.
const PAD: f64 = 10.0;
/// From the form to the first buffer: name, estimate and the bars of its share.
const MIDDLE: f64 = 48.0;

const INK: &str = "#1f2933";
const PALE: &str = "#66727f";

/// A kernel's box before it has a place.
pub struct Card<'a> {
    plan: &'a Plan,
    k: usize,
    uses: &'a Uses,
    /// What all kernels cost.
    total: Estimate,
    /// The plan of a loop's step.
    inside: Option<Picture>,
}

impl<'a> Card<'a> {
    /// Of the k-th kernel.
    pub fn new(plan: &'a Plan, k: usize, uses: &'a Uses, total: Estimate) -> Card<'a> {
        let inside = match &plan.kernels[k] {
            Kernel::Repeat(c) => Some(super::picture(&c.step)),
            _ => None,
        };
        Card { plan, k, uses, total, inside }
    }

    /// Width and height.
    pub fn size(&self) -> (f64, f64) {
        let (w, h) = self.inside.as_ref().map_or((0.0, 0.0), |p| (p.width + 2.0 * PAD, p.height + 2.0 * PAD));
        let w = WIDTH.max(w);
        let lists = [self.uses.reads.len(), self.uses.writes.len()].map(|n| list_height(n, w));
        let conditions = self.conditions().len() as f64 * ROW;
        (w, HEAD + MIDDLE + conditions + lists[0] + lists[1] + h + 6.0)
    }

    fn kernel(&self) -> &'a Kernel {
        &self.plan.kernels[self.k]
    }

    fn conditions(&self) -> Vec<String> {
        let all = self.plan.only.get(self.k).into_iter().flatten();
        all.map(|c| format!("only where {} is {}", self.plan.buffer(c.buffer).name, c.holds)).collect()
    }

    /// Writes it.
    pub fn draw(&self, canvas: &mut Canvas, x: f64, y: f64) {
        let title = format!("kernel {}, {}: {}", self.k, Look::of(self.kernel()).name, self.kernel().name());
        canvas.group(x, y, &title, |canvas| {
            let (look, (w, h)) = (Look::of(self.kernel()), self.size());
            canvas.rect(Rect { x: 0.0, y: 0.0, w, h }, 6.0, look.fill, Some(look.colour));
            self.head(canvas, look, w);
            let mut y = self.middle(canvas, look, w);
            y = self.reads(canvas, w, y);
            if let Some(inside) = &self.inside {
                let (at, h) = ((w - inside.width) / 2.0, inside.height + 2.0 * PAD);
                canvas.rect(Rect { x: PAD / 2.0, y, w: w - PAD, h }, 4.0, "#ffffff", None);
                canvas.group(at, y + PAD, "", |canvas| canvas.text.push_str(&inside.text));
                y += h;
            }
            self.writes(canvas, w, y);
        });
    }

    fn head(&self, canvas: &mut Canvas, look: &Look, w: f64) {
        let white = Font::new(12.0, "#ffffff");
        canvas.rect(Rect { x: 0.0, y: 0.0, w, h: HEAD }, 6.0, look.colour, None);
        canvas.rect(Rect { x: 0.0, y: HEAD - 6.0, w, h: 6.0 }, 0.0, look.colour, None);
        let form = format!("{}  {}", self.k, look.name);
        canvas.words(PAD, 15.5, white.bold(), &form);
        let small = Font::new(10.0, "#ffffff").at(Anchor::End);
        let room = w - 3.0 * PAD - white.width(&form);
        canvas.words(w - PAD, 15.0, small, &cut(&self.about(), small.letters(room)));
    }

    /// What the form leaves open.
    fn about(&self) -> String {
        let extents = |list: &[Extent]| {
            let sizes = list.iter().map(|e| e.eval(&self.plan.tables.assumed).to_string());
            let text = sizes.collect::<Vec<_>>().join("×");
            if text.is_empty() { "1".to_string() } else { text }
        };
        match self.kernel() {
            Kernel::Traversal(t) if t.parallel => String::new(),
            Kernel::Traversal(_) => "one thread".into(),
            Kernel::Contraction(c) => {
                let batch = if c.batch.is_empty() { String::new() } else { format!("{} of ", extents(&c.batch)) };
                format!("{batch}{} by {}, sum over {}", extents(&c.m), extents(&c.n), extents(&c.k))
            }
            Kernel::Library(c) => c.fun.signature().name.to_string(),
            Kernel::Repeat(c) => {
                let way = if c.reverse { ", backwards" } else { "" };
                format!("{} steps over {}{way}", c.count.eval(&self.plan.tables.assumed), self.plan.axis_text(c.axis))
            }
        }
    }

    /// Name, estimate, bars and conditions; returns how far down they go.
    fn middle(&self, canvas: &mut Canvas, look: &Look, w: f64) -> f64 {
        let name = Font::new(11.5, INK);
        canvas.words(PAD, HEAD + 15.0, name, &cut(self.kernel().name(), name.letters(w - 2.0 * PAD)));
        let cost = self.kernel().estimate(self.plan, &self.plan.tables.assumed);
        canvas.words(PAD, HEAD + 30.0, Font::new(10.0, PALE), &estimate(cost));
        share_bar(canvas, cost.flops, self.total.flops, look.colour, HEAD + 35.0, w - 2.0 * PAD);
        share_bar(canvas, cost.bytes, self.total.bytes, PALE, HEAD + 39.0, w - 2.0 * PAD);
        let mut y = HEAD + MIDDLE;
        for condition in self.conditions() {
            let font = Font::new(10.0, "#a03050");
            canvas.words(PAD, y + 8.0, font, &cut(&condition, font.letters(w - 2.0 * PAD)));
            y += ROW;
        }
        y
    }

    fn reads(&self, canvas: &mut Canvas, w: f64, y: f64) -> f64 {
        let rows = self.uses.reads.iter().map(|o| {
            let from: Vec<String> = o.from.iter().map(ToString::to_string).collect();
            let from = if from.is_empty() { String::new() } else { format!("from {}", from.join(", ")) };
            (o.buffer, from)
        });
        self.list(canvas, w, y, "reads", rows.collect())
    }

    fn writes(&self, canvas: &mut Canvas, w: f64, y: f64) -> f64 {
        let rows = self.uses.writes.iter().map(|b| {
            let output = self.plan.outputs.iter().find(|(_, o)| o == b && self.last_writes(*b));
            (*b, output.map(|(o, _)| super::output_text(o)).unwrap_or_default())
        });
        self.list(canvas, w, y, "writes", rows.collect())
    }

    /// Does no later kernel write the buffer again?
    fn last_writes(&self, b: BufferId) -> bool {
        !self.plan.kernels[self.k + 1..].iter().any(|k| super::flow::writes(k).contains(&b))
    }

    fn list(&self, canvas: &mut Canvas, w: f64, y: f64, what: &str, rows: Vec<(BufferId, String)>) -> f64 {
        if rows.is_empty() {
            return y;
        }
        canvas.words(PAD, y + 9.0, Font::new(8.5, PALE), what);
        let (columns, deep) = (columns(w), rows.len().div_ceil(columns(w)));
        let wide = (w - 2.0 * PAD - (columns - 1) as f64 * 2.0 * PAD) / columns as f64;
        for (i, (buffer, note)) in rows.iter().enumerate() {
            let (column, row) = ((i / deep) as f64, (i % deep) as f64);
            let place = (PAD + column * (wide + 2.0 * PAD), y + ROW - 2.0 + row * ROW);
            buffer_row(canvas, self.plan, *buffer, note, place, wide);
        }
        y + list_height(rows.len(), w)
    }
}

fn share_bar(canvas: &mut Canvas, part: f64, all: f64, fill: &str, y: f64, track: f64) {
    canvas.rect(Rect { x: PAD, y, w: track, h: 3.0 }, 0.0, "#dde3ea", None);
    if part > 0.0 {
        canvas.rect(Rect { x: PAD, y, w: (track * part / all).max(1.0), h: 3.0 }, 0.0, fill, None);
    }
}

/// In a wide box, lists have several columns.
fn columns(w: f64) -> usize {
    ((w / WIDTH) as usize).max(1)
}

fn list_height(rows: usize, w: f64) -> f64 {
    if rows == 0 { 0.0 } else { (rows.div_ceil(columns(w)) + 1) as f64 * ROW }
}

/// A buffer on a line: its kind, name, axes and size, and a note.
pub fn buffer_row(canvas: &mut Canvas, plan: &Plan, id: BufferId, note: &str, (x, y): (f64, f64), w: f64) {
    let b = plan.buffer(id);
    let (bytes, shape) = (plan.bytes(id, &plan.tables.assumed), shape(plan, id));
    let title = format!("{id} {}: {shape}, {bytes} bytes, {}", b.name, home(&b.home).1);
    canvas.group(x, y, &title, |canvas| {
        badge(canvas, &b.home, 0.0, 1.0);
        let (name, pale, right) = (Font::new(10.0, INK), Font::new(9.5, PALE), Font::new(9.5, PALE).at(Anchor::End));
        let note = if note.is_empty() { String::new() } else { format!(" · {}", cut(note, 14)) };
        let end = format!("{}{note}", amount(bytes as f64));
        canvas.words(w, 10.0, right, &end);
        let room = w - 16.0 - right.width(&end) - 8.0;
        let shown = cut(&b.name, name.letters(room).min(26));
        canvas.words(16.0, 10.0, name, &shown);
        let left = room - name.width(&shown) - 8.0;
        if left > 20.0 {
            canvas.words(16.0 + name.width(&shown) + 8.0, 10.0, pale, &cut(&shape, pale.letters(left)));
        }
    });
}

fn shape(plan: &Plan, id: BufferId) -> String {
    let b = plan.buffer(id);
    let axes: Vec<String> = b.axes.iter().map(|a| plan.axis_text(*a)).collect();
    let kind = match b.kind {
        Kind::Real => "",
        Kind::Int => "int",
        Kind::Bool => "bool",
    };
    let blocks = b.blocks.as_ref().map(|b| format!(" in {} blocks", b.count(&plan.tables.assumed)));
    format!("{kind}[{}]{}", axes.join(", "), blocks.unwrap_or_default())
}

/// The letter, the name and the colour of a home.
pub fn home(home: &Home) -> (&'static str, &'static str, &'static str) {
    match home {
        Home::Input(_) => ("I", "input", "#17808c"),
        Home::Param(_) => ("P", "parameter", "#b58100"),
        Home::State(_) => ("S", "state", "#8a5a2b"),
        Home::Arg(_) => ("A", "given by the loop", "#55606e"),
        Home::Result => ("R", "result", "#b0305c"),
        Home::Temp => ("T", "temporary", "#ffffff"),
    }
}

/// The letter of a buffer's home in its colour.
pub fn badge(canvas: &mut Canvas, of: &Home, x: f64, y: f64) {
    let (letter, _, colour) = home(of);
    let temp = *of == Home::Temp;
    canvas.rect(Rect { x, y, w: 11.0, h: 11.0 }, 3.0, colour, temp.then_some("#9aa5b1"));
    let font = Font::new(8.0, if temp { PALE } else { "#ffffff" }).bold().at(Anchor::Middle);
    canvas.words(x + 5.5, y + 8.5, font, letter);
}

/// In words.
pub fn estimate(cost: Estimate) -> String {
    format!("{} · {}", flops(cost.flops), amount(cost.bytes))
}

fn flops(n: f64) -> String {
    let units = ["flop", "kflop", "Mflop", "Gflop", "Tflop"];
    let (n, unit) = scaled(n, 1000.0, &units);
    format!("{n} {unit}")
}

/// A number of bytes, short.
pub fn amount(n: f64) -> String {
    let (n, unit) = scaled(n, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"]);
    format!("{n} {unit}")
}

fn scaled<'a>(mut n: f64, step: f64, units: &[&'a str]) -> (String, &'a str) {
    let mut k = 0;
    while n >= step && k + 1 < units.len() {
        n /= step;
        k += 1;
    }
    (if n < 100.0 { number(n) } else { format!("{n:.0}") }, units[k])
}
