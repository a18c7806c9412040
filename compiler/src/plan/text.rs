//! The text form of a Plan, for `--emit plan`, dumps and snapshots.
//! Law: the same plan prints the same text.

use super::{
    Acc, Access, Address, BufferId, Contraction, Extent, Home, Index, Inst, Kernel, LibraryCall, Loop, Mode, Plan,
    Range, Repeat, Scope, Stmt, Strided,
};
use gannet_lang::program::Axis;
use std::fmt::{Display, Formatter, Result, Write};

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let text = Text { plan: self };
        let sizes = &self.tables.assumed;
        writeln!(f, "plan: {} kernels, {}", self.kernels.len(), if self.double { "f64" } else { "f32" })?;
        for id in (0..self.buffers.len()).map(BufferId::new) {
            let b = self.buffer(id);
            let home = match &b.home {
                Home::Input(i) => format!("input {i}"),
                Home::Param(p) => format!("param {p}"),
                Home::State(s) => format!("state {s}"),
                Home::Arg(k) => format!("arg {k}"),
                Home::Result => "result".into(),
                Home::Temp => "temp".into(),
            };
            let axes: Vec<String> = b.axes.iter().map(|a| text.axis(*a)).collect();
            let blocks = b.blocks.as_ref().map(|b| format!(" x {} blocks", b.count(sizes))).unwrap_or_default();
            let kind = format!("{:?}", b.kind).to_lowercase();
            writeln!(
                f,
                "  {id} {}: {kind}[{}]{blocks}, {home}, {} bytes",
                b.name,
                axes.join(", "),
                self.bytes(id, sizes)
            )?;
        }
        for (i, kernel) in self.kernels.iter().enumerate() {
            for c in &self.only[i] {
                writeln!(f, "where {} is {}:", c.buffer, c.holds)?;
            }
            text.kernel(f, i, kernel)?;
        }
        for (output, b) in &self.outputs {
            writeln!(f, "output {output:?} = {b}")?;
        }
        Ok(())
    }
}

impl Extent {
    /// As a product of numbers and dim names.
    fn text(&self, plan: &Plan) -> String {
        let dims = self.dims.iter().map(|d| plan.tables.dims[d.index()].name.clone());
        let number = (self.factor != 1 || self.dims.is_empty()).then(|| self.factor.to_string());
        number.into_iter().chain(dims).collect::<Vec<_>>().join("*")
    }
}

impl Plan {
    /// An axis by the name of its dim.
    pub(super) fn axis_text(&self, axis: Axis) -> String {
        let name = &self.tables.dims[axis.dim.index()].name;
        if axis.ix == 0 { name.clone() } else { format!("{name}.{}", axis.ix) }
    }
}

struct Text<'a> {
    plan: &'a Plan,
}

impl Text<'_> {
    fn axis(&self, axis: Axis) -> String {
        self.plan.axis_text(axis)
    }

    fn extents(&self, list: &[Extent]) -> String {
        list.iter().map(|e| e.text(self.plan)).collect::<Vec<_>>().join(" ")
    }

    fn kernel(&self, f: &mut Formatter<'_>, i: usize, kernel: &Kernel) -> Result {
        let cost = kernel.estimate(self.plan, &self.plan.tables.assumed);
        let numbers = format!("{:.0} flops, {:.0} bytes", cost.flops, cost.bytes);
        match kernel {
            Kernel::Traversal(t) => {
                let threads = if t.parallel { "" } else { ", one thread" };
                writeln!(f, "kernel {i} traversal \"{}\": {numbers}{threads}", t.name)?;
                self.one_loop(f, &t.outer, &t.scope, 1)
            }
            Kernel::Contraction(c) => {
                writeln!(f, "kernel {i} contraction \"{}\": {numbers}", c.name)?;
                self.contraction(f, c)
            }
            Kernel::Repeat(c) => {
                writeln!(f, "kernel {i} loop \"{}\": {numbers}", c.name)?;
                self.repeat(f, c)
            }
            Kernel::Library(c) => {
                writeln!(f, "kernel {i} library {} \"{}\": {numbers}", c.fun.signature().name, c.name)?;
                self.library(f, c)
            }
        }
    }

    fn repeat(&self, f: &mut Formatter<'_>, c: &Repeat) -> Result {
        let way = if c.reverse { " reverse" } else { "" };
        let test = c.test.map(|t| format!(", test {t:?}").to_lowercase()).unwrap_or_default();
        let operands: Vec<String> = c.operands.iter().map(ToString::to_string).collect();
        let results: Vec<String> = c.results.iter().map(|r| r.map_or("-".into(), |b| b.to_string())).collect();
        writeln!(
            f,
            "  over {} in {}{way}{test}, {} states, {} slices: {} -> {}",
            self.axis(c.axis),
            c.count.text(self.plan),
            c.states,
            c.slices,
            operands.join(" "),
            results.join(" ")
        )?;
        c.step.to_string().lines().try_for_each(|line| writeln!(f, "  | {line}"))
    }

    fn library(&self, f: &mut Formatter<'_>, c: &LibraryCall) -> Result {
        let groups: Vec<String> = c.groups.iter().map(|g| format!("[{}]", self.extents(g))).collect();
        writeln!(f, "  batch [{}] groups {}", self.extents(&c.batch), groups.join(" "))?;
        let strided = |s: &Strided| {
            let own: Vec<String> = s.own.iter().map(|g| self.extents(g)).collect();
            format!("{} [{}; {}]", s.buffer, self.extents(&s.batch), own.join("; "))
        };
        c.operands.iter().try_for_each(|o| writeln!(f, "  of {}", strided(o)))?;
        let parts = c.results.iter().zip(c.fun.signature().parts);
        parts
            .filter_map(|(r, p)| Some((r.as_ref()?, p)))
            .try_for_each(|(r, p)| writeln!(f, "  {} {}", p.name, strided(r)))
    }

    fn contraction(&self, f: &mut Formatter<'_>, c: &Contraction) -> Result {
        let sizes = [("batch", &c.batch), ("m", &c.m), ("n", &c.n), ("k", &c.k)];
        let sizes = sizes.map(|(name, s)| format!("{name} [{}]", self.extents(s)));
        writeln!(f, "  {}", sizes.join(" "))?;
        let access = |a: &Access| {
            let strides = [&a.batch, &a.rows, &a.columns].map(|s| self.extents(s)).join("; ");
            let start: String =
                a.offset.iter().map(|(c, stride)| format!(" + {c} * {}", stride.text(self.plan))).collect();
            format!("{} [{strides}]{start}", a.buffer)
        };
        writeln!(f, "  a {}", access(&c.a))?;
        writeln!(f, "  b {}", access(&c.b))?;
        if let Some(out) = &c.c {
            writeln!(f, "  c {}", access(out))?;
        }
        match &c.epilogue {
            Some(e) => self.one_loop(f, &e.rows, &e.scope, 1),
            None => Ok(()),
        }
    }

    fn one_loop(&self, f: &mut Formatter<'_>, l: &Loop, scope: &Scope, depth: usize) -> Result {
        let indent = "  ".repeat(depth);
        let range = match &l.range {
            Range::Full(e) => e.text(self.plan),
            Range::Block { outer, size, extent } => format!("block {outer} of {size} in {}", extent.text(self.plan)),
            Range::Blocks { size, extent } => format!("blocks of {size} in {}", extent.text(self.plan)),
        };
        let mode = if l.mode == Mode::Vector { " lanes" } else { "" };
        writeln!(f, "{indent}for {} \"{}\" in {range}{mode} {{", l.id, scope.loops[l.id.index()])?;
        for s in &l.body {
            self.stmt(f, s, scope, depth + 1)?;
        }
        for Acc { result, red, value } in &l.accs {
            writeln!(f, "{indent}  {result} = {} {value}", format!("{red:?}").to_lowercase())?;
        }
        writeln!(f, "{indent}}}")
    }

    fn stmt(&self, f: &mut Formatter<'_>, s: &Stmt, scope: &Scope, depth: usize) -> Result {
        let indent = "  ".repeat(depth);
        match s {
            Stmt::Let(v, inst) => writeln!(f, "{indent}{v} = {}", self.inst(inst)),
            Stmt::Loop(l) => self.one_loop(f, l, scope, depth),
            Stmt::Store(b, a, v) => writeln!(f, "{indent}{b}[{}] = {v}", self.address(a)),
            Stmt::Accumulate(red, b, a, v) => {
                writeln!(f, "{indent}{b}[{}] {}= {v}", self.address(a), format!("{red:?}").to_lowercase())
            }
        }
    }

    fn inst(&self, inst: &Inst) -> String {
        match inst {
            Inst::Const(n) => format!("{n}"),
            Inst::Counter(l) => format!("{l}"),
            Inst::Size(d) => format!("size {}", self.plan.tables.dims[d.index()].name),
            Inst::Hyper(h) => self.plan.tables.hypers[h.index()].name.clone(),
            Inst::Step => "t".into(),
            Inst::Tile => "tile".into(),
            Inst::Load(b, a) => format!("{b}[{}]", self.address(a)),
            Inst::Random(dist, site, a) => format!("{dist:?} {site}[{}]", self.address(a)).to_lowercase(),
            Inst::Map(fun, args) => {
                let args: Vec<String> = args.iter().map(|v| v.to_string()).collect();
                format!("{}({})", format!("{fun:?}").to_lowercase(), args.join(", "))
            }
        }
    }

    fn address(&self, a: &Address) -> String {
        let mut text = String::new();
        for (index, c, stride) in &a.terms {
            let index = match index {
                Index::Loop(l) => l.to_string(),
                Index::Value(v) => v.to_string(),
            };
            self.term(&mut text, *c, &index, stride);
        }
        for (c, stride) in &a.offset {
            self.term(&mut text, *c, "", stride);
        }
        if text.is_empty() { "0".into() } else { text }
    }

    fn term(&self, text: &mut String, c: i64, index: &str, stride: &Extent) {
        if !text.is_empty() {
            text.push_str(" + ");
        }
        let factor = if index.is_empty() || c != 1 { c.to_string() } else { String::new() };
        let stride = if stride.is(1) { String::new() } else { stride.text(self.plan) };
        let parts: Vec<&str> = [&factor[..], index, &stride].into_iter().filter(|p| !p.is_empty()).collect();
        write!(text, "{}", parts.join("*")).expect("writing to a string");
    }
}
