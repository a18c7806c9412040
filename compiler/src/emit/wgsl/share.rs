//! Which loops of a traversal are shared out among invocations: the outermost, and the one right inside of it where that
//! is all there is.
//! Law: two invocations write no entry in common, and none reads what another one writes.

use crate::plan::{Address, BufferId, Index, Inst, Loop, LoopId, Range, Stmt, Traversal};

/// The loop inside the outermost one whose iterations may run side by side too. What stands before it is computed by
/// each invocation again.
pub fn inner(t: &Traversal) -> Option<&Loop> {
    let (last, before) = t.outer.body.split_last()?;
    let Stmt::Loop(inner) = last else { return None };
    let free = !matches!(inner.range, Range::Block { .. }) && inner.accs.is_empty();
    let plain = before.iter().all(|s| matches!(s, Stmt::Let(..)));
    let mut stores = Vec::new();
    stored(&inner.body, &mut stores);
    let apart = stores.iter().all(|(_, address)| counts(address, inner.id));
    let own = |b: BufferId, at: Option<&Address>| stores.iter().all(|(c, address)| *c != b || at == Some(address));
    let unread = before.iter().all(|s| !matches!(s, Stmt::Let(_, Inst::Load(b, _)) if !own(*b, None)));
    (t.parallel && free && plain && apart && unread && reads_own(&inner.body, &own)).then_some(inner)
}

fn counts(address: &Address, id: LoopId) -> bool {
    address.terms.iter().any(|(index, coefficient, _)| *index == Index::Loop(id) && *coefficient != 0)
}

fn stored<'t>(body: &'t [Stmt], out: &mut Vec<(BufferId, &'t Address)>) {
    for s in body {
        match s {
            Stmt::Store(b, at, _) | Stmt::Accumulate(_, b, at, _) => out.push((*b, at)),
            Stmt::Loop(l) => stored(&l.body, out),
            Stmt::Let(..) => {}
        }
    }
}

/// Is everything that is read of a buffer written here also written at that very address?
fn reads_own(body: &[Stmt], own: &dyn Fn(BufferId, Option<&Address>) -> bool) -> bool {
    body.iter().all(|s| match s {
        Stmt::Let(_, Inst::Load(b, at)) => own(*b, Some(at)),
        Stmt::Loop(l) => reads_own(&l.body, own),
        _ => true,
    })
}
