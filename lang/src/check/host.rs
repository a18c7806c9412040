//! Functions of the embedding program: `extern fn simulate(x: real[n], k: real) -> real[n]`.
//! Law: such a function is pure, so that its value depends on its arguments alone; it gets whole arguments, and is called
//! once for each choice of the index variables around.

use super::value::{Scope, Tensor, Value};
use super::{Check, Elab, fail};
use crate::ast::FnDecl;
use crate::diag::{Code, Diagnostic, Span};
use crate::program::{Axis, Elem, Fun, HOST_ARGUMENTS, Host, Lib, LibFun, Op, TermId};
use std::rc::Rc;

impl Elab<'_> {
    /// The call of a function of the embedding program, with its arguments in the scope.
    pub fn host_value(&mut self, decl: &FnDecl, inner: &Rc<Scope>, span: Span) -> Check<Value> {
        if decl.params.len() > HOST_ARGUMENTS {
            let message = format!("an `extern fn` takes {HOST_ARGUMENTS} arguments at most");
            let d = Diagnostic::error(Code::G0301, decl.params[HOST_ARGUMENTS].name.span, message);
            return fail(d.hint("stack or concatenate some of them"));
        }
        let mut groups: Vec<Vec<Axis>> = Vec::new();
        let mut operands: Vec<TermId> = Vec::new();
        for param in &decl.params {
            if param.ty.is_none() {
                let message = format!("the argument `{}` of an `extern fn` needs a type", param.name.name);
                return fail(Diagnostic::error(Code::G0404, param.name.span, message).hint("for example `real[n]`"));
            }
            let v = inner.get(&param.name.name).expect("it was set by the caller");
            let t = self.tensor(&v, span)?;
            let t = if self.elem(&t) == Elem::Real { t } else { self.map1(Fun::ToReal, &t, span) };
            let (t, own) = self.set_apart(&t, &groups, span);
            operands.push(t);
            groups.push(own);
        }
        let ty = decl.result.as_ref().expect("the grammar asks for it");
        let (elem, result) = self.closed_type(ty, inner)?;
        if elem != Elem::Real {
            let d = Diagnostic::error(Code::G0205, ty.elem.span, "an `extern fn` gives real numbers");
            return fail(d.hint("compute indices from them: `argmax[class](score(x))`, `round(y)`"));
        }
        let mut positions: Vec<Axis> = Vec::new();
        for axis in &result {
            let taken = [self.active.clone(), groups.concat(), positions.clone()].concat();
            positions.push(self.fresh_axis(axis.dim, &taken));
        }
        groups.push(positions.clone());
        let lib = Lib { fun: LibFun::Host(self.host(decl), decl.params.len() as u8), groups };
        let types: Vec<Vec<Axis>> = operands.iter().map(|t| self.ty(*t).axes.clone()).collect();
        let types: Vec<&[Axis]> = types.iter().map(Vec::as_slice).collect();
        let (elem, axes) = lib.part(0, &types).map_err(|e| Box::new(Diagnostic::error(Code::G0209, span, e)))?;
        let whole = self.term(Op::Library(lib, operands), Elem::Real, vec![], span);
        let id = self.term(Op::Part(whole, 0), elem, axes, span);
        Ok(Value::Tensor(Tensor { id, axes: positions }))
    }

    /// An argument over axes that no other one and no variable around has: its own ones, all present, are entries.
    fn set_apart(&mut self, t: &Tensor, groups: &[Vec<Axis>], span: Span) -> (TermId, Vec<Axis>) {
        let mut taken = [self.active.clone(), groups.concat(), self.ty(t.id).axes.clone()].concat();
        let mut names = Vec::new();
        for axis in &t.axes {
            let fresh = self.fresh_axis(axis.dim, &taken);
            taken.push(fresh);
            names.push((*axis, fresh));
        }
        let own: Vec<Axis> = names.iter().map(|n| n.1).collect();
        let renamed = self.rename(t, &names, span);
        (self.spread(renamed.id, &own, span), own)
    }

    /// The function's position in the unit.
    fn host(&mut self, decl: &FnDecl) -> u32 {
        let call = self.options.hosts.get(&decl.name.name);
        let hosts = &mut self.unit.hosts;
        let known = hosts.iter().position(|h| h.name == decl.name.name);
        known.unwrap_or_else(|| {
            hosts.push(Host { name: decl.name.name.clone(), call, span: decl.name.span });
            hosts.len() - 1
        }) as u32
    }

    /// A derivative does not pass through a function of the embedding program that has no gradient of its own.
    pub fn has_slope(&self, of: TermId, by: TermId, span: Span) -> Check<()> {
        if self.unit.hosts.is_empty() {
            return Ok(());
        }
        let mut seen = vec![false; of.index() + 1];
        let mut open = vec![of];
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut seen[id.index()], true) {
                continue;
            }
            match &self.unit.terms[id.index()].op {
                Op::Library(Lib { fun: LibFun::Host(k, _), .. }, _) if self.depends(id, by) => {
                    let host = &self.unit.hosts[*k as usize];
                    let message = format!("the derivative would pass through `{}`, which has none", host.name);
                    let d = Diagnostic::error(Code::G0304, span, message).label(host.span, "declared here");
                    return fail(
                        d.hint("give it a gradient, `backward dy -> ...`, or hold its arguments fixed: `stop(x)`"),
                    );
                }
                Op::Custom { inputs, back, cotangent, .. } => {
                    // The gradient that arrives is no argument, though it is written as a point of the value.
                    seen[cotangent.index()] = true;
                    open.extend(inputs.iter().chain(back));
                }
                Op::Stop(_) => {}
                op => open.extend(crate::print_program::operands(op)),
            }
        }
        Ok(())
    }
}
