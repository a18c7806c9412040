//! What a declared name stands for where it is used.
//! Law: a name means first what its own file declares; the library never sees what the program calls so.

use super::items::Decl;
use super::value::{Net, Rule, Scope, Value};
use super::{Check, Elab, fail};
use crate::ast::{self, Let};
use crate::diag::{Code, Diagnostic, Span};
use std::rc::Rc;

/// The value of a declaration.
fn decl_value(decl: &Decl, span: Span) -> Value {
    match decl {
        Decl::Fn(f) => Value::Fn(f.clone()),
        Decl::Net(n) => Value::Net(Net { decl: n.clone(), statics: vec![], applied: n.statics.is_empty() }),
        Decl::Rule(r) => Value::Rules(vec![Rule { decl: r.clone(), args: vec![], span }]),
    }
}

impl Elab<'_> {
    /// What a declared name stands for.
    pub fn global(&mut self, name: &str, span: Span) -> Check<Option<Value>> {
        let items = self.items;
        if let Some(decl) = items.own(name, span) {
            return Ok(Some(decl_value(decl, span)));
        }
        if items.is_library(span.file)
            && let Some(v) = self.word(name)
        {
            return Ok(Some(v));
        }
        if let Some(k) = items.data.iter().position(|d| d.name.name == name) {
            return Ok(Some(Value::Data(k, None)));
        }
        if let Some(d) = items.dim_named(name) {
            return Ok(Some(Value::Dim(d)));
        }
        if let Some(f) = items.fns.get(name) {
            return Ok(Some(decl_value(&Decl::Fn(f.clone()), span)));
        }
        if let Some(n) = items.nets.get(name) {
            return Ok(Some(decl_value(&Decl::Net(n.clone()), span)));
        }
        if let Some(r) = items.rules.get(name) {
            return Ok(Some(decl_value(&Decl::Rule(r.clone()), span)));
        }
        if let Some(l) = items.lets.get(name).cloned() {
            return self.global_let(name, &l, span).map(Some);
        }
        if items.trains.iter().any(|t| t.name.name == name) || items.tasks.iter().any(|t| t.name.name == name) {
            return Ok(Some(Value::Program(name.to_string())));
        }
        Ok(self.word(name))
    }

    /// What a word of the language stands for.
    fn word(&self, name: &str) -> Option<Value> {
        match name {
            "pi" => Some(Value::Num(std::f64::consts::PI)),
            "inf" => Some(Value::Num(f64::INFINITY)),
            "eps" => Some(Value::Num(f64::from(f32::EPSILON))),
            "true" => Some(Value::Truth(true)),
            "false" => Some(Value::Truth(false)),
            _ => self.builtin_value(name),
        }
    }

    /// The scope around the declarations of a place's file: the library does not see the program's equations.
    pub fn home(&self, place: Span) -> Rc<Scope> {
        if self.items.is_library(place.file) { self.library.clone() } else { self.globals.clone() }
    }

    /// A top-level equation, evaluated once.
    fn global_let(&mut self, name: &str, l: &Rc<Let>, span: Span) -> Check<Value> {
        if self.open_globals.iter().any(|n| n == name) {
            return fail(
                Diagnostic::error(Code::G0103, l.span, format!("the definition of `{name}` needs itself"))
                    .label(span, "used here"),
            );
        }
        self.open_globals.push(name.to_string());
        let active = std::mem::take(&mut self.active);
        let scope = self.home(l.span);
        let done = self.stmt(&ast::Stmt::Let((**l).clone()), &scope);
        self.active = active;
        self.open_globals.pop();
        done?;
        Ok(scope.get(name).expect("the equation defines it"))
    }

    /// Names that may have been meant.
    pub fn known_names(&self) -> Vec<String> {
        let mut names = self.items.names();
        names.extend(self.definitions.iter().flat_map(|d| d.names.iter().cloned()));
        if let Some(d) = self.data {
            names.extend(self.items.fields[d].iter().map(|f| f.name.clone()));
        }
        names.extend(super::builtin::SCALAR.iter().map(|s| s.0.to_string()));
        names.extend(super::builtin::REDUCTIONS.iter().map(|s| s.0.to_string()));
        names
    }
}
