//! A Plan as a picture, for `gannet emit plan --svg`: kernels are boxes in rows, the earlier the higher; lines go from
//! the kernel that writes a buffer to those that read it; the kernels of a loop's step stand inside of the loop's box.
//! Law: the same plan draws the same bytes, and every kernel and every buffer of it is in the picture.

mod card;
mod flow;
mod paint;
mod place;

use super::{Arrangement, BufferId, Estimate, Home, Kernel, Plan, arrange};
use card::{Card, amount, badge, buffer_row, estimate};
use gannet_lang::program::Output;
use paint::{Anchor, Canvas, Font, Rect, cut, escape, number};
use place::{Wire, place};
use std::collections::{BTreeMap, BTreeSet};

/// White around the picture.
const MARGIN: f64 = 24.0;
/// Title and legend take at least so much.
const LEAST: f64 = 660.0;
/// Lines of temporary buffers.
const WIRE: &str = "#8794a3";
/// What no kernel touches: the width of its column.
const COLUMN: f64 = 304.0;

/// The colours of a form of kernels.
struct Look {
    name: &'static str,
    colour: &'static str,
    fill: &'static str,
}

const TRAVERSAL: Look = Look { name: "traversal", colour: "#2f6b9a", fill: "#f2f7fb" };
const CONTRACTION: Look = Look { name: "contraction", colour: "#b8601a", fill: "#fdf5ec" };
const LIBRARY: Look = Look { name: "library", colour: "#74479a", fill: "#f7f2fb" };
const LOOP: Look = Look { name: "loop", colour: "#43745a", fill: "#eef5f0" };

impl Look {
    fn of(kernel: &Kernel) -> &'static Look {
        match kernel {
            Kernel::Traversal(_) => &TRAVERSAL,
            Kernel::Contraction(_) => &CONTRACTION,
            Kernel::Library(_) => &LIBRARY,
            Kernel::Repeat(_) => &LOOP,
        }
    }
}

/// A plan, drawn from (0, 0) on.
struct Picture {
    text: String,
    width: f64,
    height: f64,
}

impl Plan {
    /// The picture, as the text of an SVG file.
    pub fn svg(&self, title: &str) -> String {
        let inner = picture(self);
        let width = inner.width.max(LEAST);
        let mut canvas = Canvas::default();
        let top = heading(&mut canvas, self, title, width);
        canvas.group((width - inner.width) / 2.0, top, "", |canvas| canvas.text.push_str(&inner.text));
        let [w, h] = [width + 2.0 * MARGIN, top + inner.height + 2.0 * MARGIN].map(|x| number(x.ceil()));
        let fonts = "Helvetica, Arial, 'DejaVu Sans', sans-serif";
        let m = number(MARGIN);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" \
             font-family=\"{fonts}\">\n<title>{}</title>\n<rect width=\"{w}\" height=\"{h}\" fill=\"#ffffff\"/>\n\
             <g transform=\"translate({m} {m})\">\n{}</g>\n</svg>\n",
            escape(title),
            canvas.text
        )
    }
}

/// Kernels, lines and what no kernel touches.
fn picture(plan: &Plan) -> Picture {
    let uses = flow::flow(plan);
    let total = cost(plan);
    let cards: Vec<Card> = uses.iter().enumerate().map(|(k, u)| Card::new(plan, k, u, total)).collect();
    let sizes: Vec<(f64, f64)> = cards.iter().map(Card::size).collect();
    let placed = place(&sizes, &uses);
    let mut canvas = Canvas::default();
    placed.wires.iter().for_each(|w| wire(&mut canvas, plan, w));
    cards.iter().zip(&placed.boxes).for_each(|(card, (x, y))| card.draw(&mut canvas, *x, *y));
    wire_names(&mut canvas, plan, &placed.wires);
    let mut picture = Picture { text: canvas.text, width: placed.width, height: placed.height };
    let touched: Vec<BufferId> =
        uses.iter().flat_map(|u| u.reads.iter().map(|o| o.buffer).chain(u.writes.iter().copied())).collect();
    let rest = (0..plan.buffers.len()).map(BufferId::new).filter(|b| !touched.contains(b));
    untouched(&mut picture, plan, rest.collect());
    picture
}

fn cost(plan: &Plan) -> Estimate {
    plan.kernels.iter().fold(Estimate::default(), |all, k| {
        let one = k.estimate(plan, &plan.tables.assumed);
        Estimate { flops: all.flops + one.flops, bytes: all.bytes + one.bytes, seconds: all.seconds + one.seconds }
    })
}

/// A list below the kernels.
fn untouched(picture: &mut Picture, plan: &Plan, rest: Vec<BufferId>) {
    if rest.is_empty() {
        return;
    }
    let mut canvas = Canvas::default();
    let mut y = if picture.height > 0.0 { picture.height + 16.0 } else { 0.0 };
    canvas.words(0.0, y + 10.0, Font::new(10.0, "#66727f"), "stays as it is");
    y += 16.0;
    for b in rest {
        let output = plan.outputs.iter().find(|(_, o)| *o == b).map(|(o, _)| output_text(o)).unwrap_or_default();
        buffer_row(&mut canvas, plan, b, &output, (0.0, y), COLUMN);
        y += 15.0;
    }
    picture.text.push_str(&canvas.text);
    picture.height = y;
    picture.width = picture.width.max(COLUMN);
}

/// What an output is for, where the name of its buffer does not say so.
fn output_text(output: &Output) -> String {
    match output {
        Output::Loss => "loss".into(),
        Output::Value(name) => format!("output {name}"),
        Output::Param(_) => "new value".into(),
        Output::State(_) => "new state".into(),
        Output::Report(k) => format!("report {k}"),
    }
}

/// The thicker, the more bytes.
fn thickness(bytes: u64) -> f64 {
    [16 << 10, 1 << 20, 16 << 20].iter().filter(|b| bytes >= **b).count() as f64 * 0.7 + 1.1
}

fn wire(canvas: &mut Canvas, plan: &Plan, wire: &Wire) {
    let b = plan.buffer(wire.buffer);
    let colour = if b.home == Home::Temp { WIRE } else { card::home(&b.home).2 };
    let bytes = plan.bytes(wire.buffer, &plan.tables.assumed);
    let title = format!("{} {}, {bytes} bytes", wire.buffer, b.name);
    canvas.group(0.0, 0.0, &title, |canvas| {
        canvas.path(&curve(&wire.stops), colour, thickness(bytes));
        if let Some([x, y, _]) = wire.stops.last() {
            let [l, r, up, x, y] = [x - 4.0, x + 4.0, y - 8.0, *x, *y].map(number);
            canvas.filled(&format!("M{l} {up}L{r} {up}L{x} {y}Z"), colour);
        }
    });
}

/// Straight down past rows, bent between them.
fn curve(stops: &[[f64; 3]]) -> String {
    let mut path = String::new();
    for (i, &[x, top, end]) in stops.iter().enumerate() {
        if i == 0 {
            path.push_str(&format!("M{} {}", number(x), number(top)));
        } else {
            let [from, _, start] = stops[i - 1];
            let [from, x, middle, top] = [from, x, (start + top) / 2.0, top].map(number);
            path.push_str(&format!("C{from} {middle} {x} {middle} {x} {top}"));
        }
        if end > top {
            path.push_str(&format!("V{}", number(end)));
        }
    }
    path
}

/// The names of buffers where their lines leave, once each.
fn wire_names(canvas: &mut Canvas, plan: &Plan, wires: &[Wire]) {
    let mut seen = BTreeSet::new();
    for w in wires.iter().filter(|w| seen.insert((w.from, w.buffer))) {
        let font = Font::new(9.0, "#1f2933").at(Anchor::Middle);
        let [x, y, _] = w.stops[0];
        let name = cut(&plan.buffer(w.buffer).name, 13);
        let wide = font.width(&name) + 4.0;
        canvas.rect(Rect { x: x - wide / 2.0, y: y + 4.0, w: wide, h: 12.0 }, 0.0, "#ffffff", None);
        canvas.words(x, y + 13.0, font, &name);
    }
}

/// Title, what the plan does in all, and the legend; returns how far down they go.
fn heading(canvas: &mut Canvas, plan: &Plan, title: &str, width: f64) -> f64 {
    let Arrangement { total, .. } = arrange(plan, &plan.tables.assumed);
    let font = Font::new(18.0, "#1f2933").bold();
    canvas.words(0.0, 16.0, font, &cut(title, font.letters(width)));
    let kernels = if plan.kernels.len() == 1 { "1 kernel".into() } else { format!("{} kernels", plan.kernels.len()) };
    let text = format!(
        "{kernels}, {}, estimated {} read and written; {} of scratch memory",
        if plan.double { "f64" } else { "f32" },
        estimate(cost(plan)),
        amount(total as f64)
    );
    canvas.words(0.0, 36.0, Font::new(12.0, "#66727f"), &text);
    let mut legend = Legend { canvas, x: 0.0, y: 48.0, width };
    for look in [&TRAVERSAL, &CONTRACTION, &LIBRARY, &LOOP] {
        legend.entry(look.name, |c, x, y| c.rect(Rect { x, y, w: 14.0, h: 11.0 }, 3.0, look.colour, None));
    }
    let mut homes = BTreeMap::new();
    all_homes(plan, &mut homes);
    for home in homes.values() {
        legend.entry(card::home(home).1, |c, x, y| badge(c, home, x, y));
    }
    for (text, fill) in [("share of flops", TRAVERSAL.colour), ("share of bytes", "#66727f")] {
        legend.entry(text, |c, x, y| c.rect(Rect { x, y: y + 4.0, w: 14.0, h: 3.0 }, 0.0, fill, None));
    }
    let line = |c: &mut Canvas, x, y| c.path(&format!("M{} {}h14", number(x), number(y + 5.5)), WIRE, 2.0);
    legend.entry("from a writer to a reader; thick: many bytes", line);
    legend.y + 40.0
}

/// One buffer's home of each kind, of loops' steps too.
fn all_homes<'a>(plan: &'a Plan, homes: &mut BTreeMap<&'static str, &'a Home>) {
    for b in &plan.buffers {
        homes.entry(card::home(&b.home).0).or_insert(&b.home);
    }
    for kernel in &plan.kernels {
        if let Kernel::Repeat(c) = kernel {
            all_homes(&c.step, homes);
        }
    }
}

/// Entries in lines.
struct Legend<'a> {
    canvas: &'a mut Canvas,
    x: f64,
    y: f64,
    width: f64,
}

impl Legend<'_> {
    fn entry(&mut self, text: &str, sign: impl FnOnce(&mut Canvas, f64, f64)) {
        let font = Font::new(10.5, "#1f2933");
        let w = 20.0 + font.width(text) + 14.0;
        if self.x > 0.0 && self.x + w > self.width {
            (self.x, self.y) = (0.0, self.y + 17.0);
        }
        sign(self.canvas, self.x, self.y);
        self.canvas.words(self.x + 20.0, self.y + 9.5, font, text);
        self.x += w;
    }
}
