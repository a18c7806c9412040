//! The laws of a Plan, checked.
//! Law: what passes here defines every value once before its use and reads no buffer before it is written.

use super::{
    Address, BufferId, Contraction, Epilogue, Extent, Home, Index, Inst, Kernel, Kind, LibraryCall, Loop, LoopId, Plan,
    Range, Scope, Stmt, Strided, ValueId,
};
use std::collections::BTreeSet;

impl Plan {
    /// Checks all laws of this level; the text says what is wrong.
    pub fn verify(&self) -> Result<(), String> {
        let given = |home: &Home| matches!(home, Home::Input(_) | Home::Param(_) | Home::State(_) | Home::Arg(_));
        let mut written: BTreeSet<BufferId> =
            (0..self.buffers.len()).map(BufferId::new).filter(|b| given(&self.buffer(*b).home)).collect();
        for (i, kernel) in self.kernels.iter().enumerate() {
            let mut check = Check {
                plan: self,
                scope: None,
                values: BTreeSet::new(),
                defined: BTreeSet::new(),
                loops: Vec::new(),
                written: &mut written,
                stores: BTreeSet::new(),
            };
            for c in self.only.get(i).ok_or("not each kernel says when it runs")? {
                if !check.written.contains(&c.buffer) || self.buffer(c.buffer).kind != Kind::Bool {
                    return Err(format!("kernel {i} waits for {}, which is no truth value known by then", c.buffer));
                }
            }
            check.kernel(kernel).map_err(|e| format!("kernel {i} ({}): {e}", kernel.name()))?;
            let stores = check.stores;
            for b in &stores {
                if matches!(self.buffer(*b).home, Home::Input(_) | Home::Arg(_)) {
                    return Err(format!("kernel {i} writes the input {b}"));
                }
                if matches!(self.buffer(*b).home, Home::Param(_) | Home::State(_)) && overwrites_early(kernel, *b) {
                    return Err(format!("kernel {i} ({}) overwrites {b} before it is read", kernel.name()));
                }
            }
            written.extend(stores);
        }
        let missing = self.outputs.iter().find(|o| !written.contains(&o.1));
        missing.map_or(Ok(()), |(o, b)| Err(format!("output {o:?} in {b} is never written")))
    }
}

impl Kernel {
    /// The equations that it computes.
    pub fn name(&self) -> &str {
        match self {
            Kernel::Traversal(t) => &t.name,
            Kernel::Contraction(c) => &c.name,
            Kernel::Library(c) => &c.name,
            Kernel::Repeat(c) => &c.name,
        }
    }
}

/// Does everything that is added to lie at a place of its own for each turn of the outermost loop, which threads share?
fn meets_nobody(l: &Loop, outer: &mut Vec<LoopId>) -> Result<(), String> {
    if matches!(&l.range, Range::Block { outer: around, .. } if outer.contains(around)) {
        outer.push(l.id);
    }
    l.body.iter().try_for_each(|s| match s {
        Stmt::Loop(inner) => meets_nobody(inner, outer),
        Stmt::Accumulate(_, b, a, _) => {
            let own = a.terms.iter().any(|t| matches!(t.0, Index::Loop(l) if outer.contains(&l)));
            if own { Ok(()) } else { Err(format!("threads add to the same entries of {b}")) }
        }
        Stmt::Let(..) | Stmt::Store(..) => Ok(()),
    })
}

struct Check<'a> {
    plan: &'a Plan,
    scope: Option<&'a Scope>,
    /// Visible.
    values: BTreeSet<ValueId>,
    /// Ever defined.
    defined: BTreeSet<ValueId>,
    loops: Vec<LoopId>,
    written: &'a mut BTreeSet<BufferId>,
    stores: BTreeSet<BufferId>,
}

impl<'a> Check<'a> {
    fn epilogue(&mut self, c: &Contraction, e: &'a Epilogue) -> Result<(), String> {
        let all = |axes: &[Extent]| axes.iter().fold(Extent::constant(1), |n, e| n.times(e));
        let counts = |l: &Loop, axes: &[Extent]| matches!(&l.range, Range::Full(n) if *n == all(axes));
        let columns = e.rows.body.iter().find_map(|s| match s {
            Stmt::Loop(l) if l.id == e.columns => Some(l),
            _ => None,
        });
        let Some(columns) = columns else { return Err("the epilogue has no loop over columns".into()) };
        if !counts(&e.rows, &c.m) || !counts(columns, &c.n) {
            return Err("the epilogue's loops do not number the product's rows and columns".into());
        }
        self.scope = Some(&e.scope);
        self.one_loop(&e.rows, false)
    }

    fn kernel(&mut self, kernel: &'a Kernel) -> Result<(), String> {
        match kernel {
            Kernel::Traversal(t) => {
                self.scope = Some(&t.scope);
                if !t.outer.accs.is_empty() {
                    return Err("the outermost loop reduces".into());
                }
                self.one_loop(&t.outer, false)?;
                let alone = matches!(&t.outer.range, Range::Full(n) if n.is(1));
                if t.parallel && !alone { meets_nobody(&t.outer, &mut vec![t.outer.id]) } else { Ok(()) }
            }
            Kernel::Contraction(c) => {
                for (access, rows, columns) in [(&c.a, &c.m, &c.k), (&c.b, &c.k, &c.n)] {
                    self.read(access.buffer)?;
                    let fits = access.batch.len() == c.batch.len() && access.rows.len() == rows.len();
                    if !fits || access.columns.len() != columns.len() {
                        return Err(format!("the strides in {} do not fit the axes", access.buffer));
                    }
                }
                if let Some(c) = &c.c {
                    self.stores.insert(c.buffer);
                }
                match (&c.c, &c.epilogue) {
                    (Some(_), None) => Ok(()),
                    (None, Some(e)) if c.batch.is_empty() => self.epilogue(c, e),
                    (None, Some(_)) => Err("a batch has no epilogue".into()),
                    _ => Err("a contraction has either a result or an epilogue".into()),
                }
            }
            Kernel::Library(c) => self.library(c),
            Kernel::Repeat(c) => {
                c.operands.iter().try_for_each(|b| self.read(*b))?;
                self.stores.extend(c.results.iter().flatten().copied());
                c.step.verify()
            }
        }
    }

    fn library(&mut self, c: &LibraryCall) -> Result<(), String> {
        let signature = c.fun.signature();
        let fits = |s: &Strided, groups: &[usize]| {
            let own =
                s.own.len() == groups.len() && groups.iter().zip(&s.own).all(|(g, o)| o.len() == c.groups[*g].len());
            if own && s.batch.len() == c.batch.len() {
                Ok(())
            } else {
                Err(format!("the strides in {} do not fit", s.buffer))
            }
        };
        if c.operands.len() != signature.operands.len() || c.results.len() != signature.parts.len() {
            return Err(format!("`{}` has other operands or parts", signature.name));
        }
        for (operand, groups) in c.operands.iter().zip(signature.operands) {
            self.read(operand.buffer)?;
            fits(operand, groups)?;
        }
        for (result, part) in c.results.iter().zip(signature.parts) {
            let Some(result) = result else { continue };
            fits(result, part.groups)?;
            self.stores.insert(result.buffer);
        }
        Ok(())
    }

    fn read(&self, b: BufferId) -> Result<(), String> {
        if self.written.contains(&b) || self.stores.contains(&b) {
            return Ok(());
        }
        Err(format!("{b} ({}) is read before it is written", self.plan.buffer(b).name))
    }

    fn one_loop(&mut self, l: &Loop, in_lanes: bool) -> Result<(), String> {
        let lanes = l.mode == super::Mode::Vector;
        if lanes && in_lanes {
            return Err(format!("{} runs in lanes inside lanes", l.id));
        }
        if let Range::Block { outer, .. } = &l.range
            && !self.loops.contains(outer)
        {
            return Err(format!("{} is a block of a loop that is not around it", l.id));
        }
        if self.loops.contains(&l.id) {
            return Err(format!("{} stands inside itself", l.id));
        }
        let outside = self.values.clone();
        self.loops.push(l.id);
        for s in &l.body {
            self.stmt(s, in_lanes || lanes)?;
        }
        for acc in &l.accs {
            if outside.contains(&acc.value) {
                return Err(format!("{} is reduced over {} but defined outside", acc.value, l.id));
            }
            self.value(acc.value)?;
        }
        self.loops.pop();
        self.values = outside;
        for acc in &l.accs {
            self.define(acc.result)?;
        }
        Ok(())
    }

    fn stmt(&mut self, s: &Stmt, in_lanes: bool) -> Result<(), String> {
        match s {
            Stmt::Let(v, inst) => {
                self.inst(inst)?;
                self.define(*v)
            }
            Stmt::Loop(l) => self.one_loop(l, in_lanes),
            Stmt::Store(b, a, v) | Stmt::Accumulate(_, b, a, v) => {
                self.address(a)?;
                self.value(*v)?;
                if let Stmt::Accumulate(..) = s {
                    self.read(*b)?;
                }
                self.stores.insert(*b);
                Ok(())
            }
        }
    }

    fn inst(&self, inst: &Inst) -> Result<(), String> {
        match inst {
            Inst::Counter(l) if !self.loops.contains(l) => Err(format!("{l} is counted outside")),
            Inst::Load(b, a) => {
                self.read(*b)?;
                self.address(a)
            }
            Inst::Random(_, _, a) => self.address(a),
            Inst::Map(_, args) => args.iter().try_for_each(|v| self.value(*v)),
            _ => Ok(()),
        }
    }

    fn address(&self, a: &Address) -> Result<(), String> {
        a.terms.iter().try_for_each(|t| match t.0 {
            Index::Loop(l) if !self.loops.contains(&l) => Err(format!("an address uses {l} outside")),
            Index::Loop(_) => Ok(()),
            Index::Value(v) => self.value(v),
        })
    }

    fn value(&self, v: ValueId) -> Result<(), String> {
        if self.values.contains(&v) { Ok(()) } else { Err(format!("{v} is used where it is not defined")) }
    }

    fn define(&mut self, v: ValueId) -> Result<(), String> {
        if self.scope.is_none_or(|s| v.index() >= s.values.len()) {
            return Err(format!("{v} has no kind"));
        }
        self.values.insert(v);
        if self.defined.insert(v) { Ok(()) } else { Err(format!("{v} is defined twice")) }
    }
}

/// May a kernel write an entry of a buffer before it reads the old value of that entry? (A load is safe if it stands
/// before the store, at the same address in the same body; or anywhere before it, if all loops around both run once.)
pub(crate) fn overwrites_early(kernel: &Kernel, buffer: BufferId) -> bool {
    let (outer, operands) = match kernel {
        Kernel::Traversal(t) => (Some(&t.outer), false),
        Kernel::Contraction(c) => (c.epilogue.as_ref().map(|e| &e.rows), c.a.buffer == buffer || c.b.buffer == buffer),
        // Members of a batch may lie across each other.
        Kernel::Repeat(c) => {
            return c.results.contains(&Some(buffer)) && c.operands.contains(&buffer);
        }
        Kernel::Library(c) => {
            let writes = c.results.iter().flatten().any(|r| r.buffer == buffer);
            return writes && c.operands.iter().any(|o| o.buffer == buffer);
        }
    };
    let mut events = Vec::new();
    if let Some(outer) = outer {
        collect(outer, buffer, &mut Vec::new(), &mut events);
    }
    let stored = events.iter().any(|e| e.store)
        || matches!(kernel, Kernel::Contraction(c) if c.c.as_ref().is_some_and(|c| c.buffer == buffer));
    if operands {
        return stored;
    }
    let stores: Vec<usize> = (0..events.len()).filter(|i| events[*i].store).collect();
    let unsafe_pair = |load: usize, store: usize| {
        let (l, s) = (&events[load], &events[store]);
        let common = l.path.iter().zip(&s.path).take_while(|(a, b)| a.0 == b.0).map(|(a, _)| a);
        let once = common.clone().all(|a| a.1);
        let same = l.path == s.path && l.address == s.address;
        load > store || !(once || same)
    };
    (0..events.len()).filter(|i| !events[*i].store).any(|load| stores.iter().any(|store| unsafe_pair(load, *store)))
}

struct Event<'a> {
    store: bool,
    address: &'a Address,
    /// Loops around it, and whether each runs once.
    path: Vec<(LoopId, bool)>,
}

fn collect<'a>(l: &'a Loop, buffer: BufferId, path: &mut Vec<(LoopId, bool)>, events: &mut Vec<Event<'a>>) {
    path.push((l.id, matches!(&l.range, Range::Full(e) if e.is(1))));
    for s in &l.body {
        let (store, b, address) = match s {
            Stmt::Let(_, Inst::Load(b, a)) => (false, *b, a),
            Stmt::Store(b, a, _) | Stmt::Accumulate(_, b, a, _) => (true, *b, a),
            Stmt::Loop(inner) => {
                collect(inner, buffer, path, events);
                continue;
            }
            Stmt::Let(..) => continue,
        };
        if b == buffer {
            events.push(Event { store, address, path: path.clone() });
        }
    }
    path.pop();
}
