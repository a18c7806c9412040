//! Which buffers a kernel touches.
//! Law: in the order in which it comes across them; what is added to is read, then written.

use super::{BufferId, Inst, Kernel, Stmt};

impl Kernel {
    /// All buffers that it reads or writes; some may occur twice.
    pub fn buffers(&self) -> Vec<BufferId> {
        let mut all = Vec::new();
        self.each_use(&mut |b, _| all.push(b));
        all
    }

    /// Calls with each buffer that it reads (`false`) or writes (`true`), as often as it does.
    pub fn each_use(&self, f: &mut dyn FnMut(BufferId, bool)) {
        match self {
            Kernel::Traversal(t) => in_body(&t.outer.body, f),
            Kernel::Contraction(c) => {
                [&c.a, &c.b].iter().for_each(|x| f(x.buffer, false));
                c.c.iter().for_each(|x| f(x.buffer, true));
                c.epilogue.iter().for_each(|e| in_body(&e.rows.body, f));
            }
            Kernel::Library(c) => {
                c.operands.iter().for_each(|o| f(o.buffer, false));
                c.results.iter().flatten().for_each(|r| f(r.buffer, true));
            }
            Kernel::Repeat(c) => {
                c.operands.iter().for_each(|b| f(*b, false));
                c.results.iter().flatten().for_each(|b| f(*b, true));
            }
        }
    }
}

fn in_body(body: &[Stmt], f: &mut dyn FnMut(BufferId, bool)) {
    for s in body {
        match s {
            Stmt::Let(_, Inst::Load(b, _)) => f(*b, false),
            Stmt::Let(..) => {}
            Stmt::Store(b, ..) => f(*b, true),
            Stmt::Accumulate(_, b, ..) => {
                f(*b, false);
                f(*b, true);
            }
            Stmt::Loop(l) => in_body(&l.body, f),
        }
    }
}
