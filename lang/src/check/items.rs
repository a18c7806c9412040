//! The declarations of a file and of everything that it imports.

use super::edges::EdgeSet;
use super::run::Elaborated;
use super::{Check, fail, near};
use crate::ast::{
    self, CheckDecl, DataDecl, DataStmt, EdgesDecl, File, FnDecl, Item, Let, NetDecl, RuleDecl, TaskDecl, TrainDecl,
};
use crate::diag::{Code, Diagnostic, Diagnostics, FileId, Sources, Span};
use crate::program::{Dim, DimId, Field, Size, SizeExpr};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Finds imported files.
pub trait Loader {
    /// The name and text of a file: `path` as written (`std/rules.gnt` for `use std.rules`), `from` the importing file.
    fn load(&self, path: &str, from: Option<&str>) -> Option<(String, String)>;
}

/// All declarations.
#[derive(Default)]
pub struct Items {
    pub dims: Vec<Dim>,
    pub fns: BTreeMap<String, Rc<FnDecl>>,
    pub nets: BTreeMap<String, Rc<NetDecl>>,
    pub rules: BTreeMap<String, Rc<RuleDecl>>,
    pub lets: BTreeMap<String, Rc<Let>>,
    pub data: Vec<DataDecl>,
    pub fields: Vec<Vec<Field>>,
    pub trains: Vec<TrainDecl>,
    pub tasks: Vec<TaskDecl>,
    pub checks: Vec<CheckDecl>,
    pub edge_decls: Vec<EdgesDecl>,
    pub edges: Vec<EdgeSet>,
    /// Train blocks and tasks by name and arguments.
    pub elaborated: RefCell<BTreeMap<String, Rc<Elaborated>>>,
    /// Those being elaborated, to find cycles.
    pub open_programs: RefCell<Vec<String>>,
    library: BTreeSet<FileId>,
    /// What each file declares, by name; under no file what the library declares. A name in a file means what that file
    /// declares, and one in the library what the library declares, whatever else the program calls so.
    own: BTreeMap<(Option<FileId>, String), Decl>,
    /// Where each name of the program itself was declared.
    places: BTreeMap<String, Span>,
}

/// A function, net or rule.
#[derive(Clone)]
pub enum Decl {
    Fn(Rc<FnDecl>),
    Net(Rc<NetDecl>),
    Rule(Rc<RuleDecl>),
}

/// The module that every program sees.
const PRELUDE: &str = "std/prelude.gnt";

impl Items {
    /// Gathers the declarations of a parsed file, of what it imports and of the prelude.
    pub fn gather(file: &File, sources: &mut Sources, id: FileId, loader: &dyn Loader) -> Result<Items, Diagnostics> {
        let mut items = Items::default();
        let mut faults = Vec::new();
        let mut done = BTreeSet::from([sources.name(id).to_string()]);
        if let Some((name, text)) = loader.load(PRELUDE, None) {
            items.import(&name, text, true, &[], sources, loader, &mut done, &mut faults);
        }
        items.add(file, id, false, &[], sources, loader, &mut done, &mut faults);
        if faults.is_empty() { Ok(items) } else { Err(Diagnostics(faults)) }
    }

    #[allow(clippy::too_many_arguments)]
    fn import(
        &mut self,
        name: &str,
        text: String,
        library: bool,
        only: &[ast::Ident],
        sources: &mut Sources,
        loader: &dyn Loader,
        done: &mut BTreeSet<String>,
        faults: &mut Vec<Diagnostic>,
    ) {
        if !done.insert(name.to_string()) {
            return;
        }
        let id = sources.add(name, text);
        if library {
            self.library.insert(id);
        }
        match crate::parse::parse(sources, id) {
            Ok(file) => self.add(&file, id, library, only, sources, loader, done, faults),
            Err(d) => faults.extend(d.0),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn add(
        &mut self,
        file: &File,
        id: FileId,
        library: bool,
        only: &[ast::Ident],
        sources: &mut Sources,
        loader: &dyn Loader,
        done: &mut BTreeSet<String>,
        faults: &mut Vec<Diagnostic>,
    ) {
        // What is not asked for is there too, for the use of what is, but gives way to the program's own names.
        let asked = |name: &ast::Ident| only.is_empty() || only.iter().any(|o| o.name == name.name);
        self.has_all(file, only, faults);
        for item in &file.items {
            match item {
                Item::Use(u) => {
                    let path = if u.file { u.path.clone() } else { format!("{}.gnt", u.path.replace('.', "/")) };
                    let from = sources.name(id).to_string();
                    match loader.load(&path, Some(&from)) {
                        Some((name, text)) => {
                            let is_library = library || !u.file;
                            self.import(&name, text, is_library, &u.names, sources, loader, done, faults);
                        }
                        None => faults.push(
                            Diagnostic::error(Code::G0106, u.span, format!("there is no `{}` to import", u.path))
                                .hint("modules of the library are std.activations, std.axes, std.convolution, std.domains, std.layers, std.losses, std.metrics, std.rules, std.schedules and std.solvers; files are named in quotes"),
                        ),
                    }
                }
                Item::Dim(d) => self.dim(d, faults),
                Item::Data(d) => {
                    self.claim(&d.name, library, faults);
                    for stmt in &d.body {
                        if let DataStmt::Edges(e) = stmt
                            && (e.ends.is_some() || self.derived_here(e))
                        {
                            self.edge_dim(e, library, faults);
                        }
                    }
                    self.data.push(d.clone());
                }
                Item::Edges(e) => {
                    self.edge_dim(e, library, faults);
                    self.edge_decls.push(e.clone());
                }
                Item::Fn(f) => {
                    self.claim(&f.name, library || !asked(&f.name), faults);
                    self.declare(&f.name, id, library, Decl::Fn(Rc::new(f.clone())));
                }
                Item::Net(n) => {
                    self.claim(&n.name, library || !asked(&n.name), faults);
                    self.declare(&n.name, id, library, Decl::Net(Rc::new(n.clone())));
                }
                Item::Rule(r) => {
                    self.claim(&r.name, library || !asked(&r.name), faults);
                    self.declare(&r.name, id, library, Decl::Rule(Rc::new(r.clone())));
                }
                Item::Let(l) => {
                    for t in &l.targets {
                        self.claim(&t.name, library, faults);
                        self.lets.insert(t.name.name.clone(), Rc::new(l.clone()));
                    }
                }
                Item::Train(t) => {
                    self.claim(&t.name, library, faults);
                    self.trains.push(t.clone());
                }
                Item::Task(t) => {
                    self.claim(&t.name, library, faults);
                    self.tasks.push(t.clone());
                }
                Item::Check(c) => self.checks.push(c.clone()),
            }
        }
    }

    /// Declares a name for its file or for the library and, unless the program itself has that name, for everyone.
    fn declare(&mut self, name: &ast::Ident, id: FileId, library: bool, decl: Decl) {
        let home = if library { None } else { Some(id) };
        self.own.insert((home, name.name.clone()), decl.clone());
        if self.places.get(&name.name).is_some_and(|place| *place != name.span) {
            return;
        }
        match decl {
            Decl::Fn(f) => drop(self.fns.insert(name.name.clone(), f)),
            Decl::Net(n) => drop(self.nets.insert(name.name.clone(), n)),
            Decl::Rule(r) => drop(self.rules.insert(name.name.clone(), r)),
        }
    }

    /// What a name means at a place because its file or the library declares it.
    pub fn own(&self, name: &str, place: Span) -> Option<&Decl> {
        let home = if self.is_library(place.file) { None } else { Some(place.file) };
        self.own.get(&(home, name.to_string()))
    }

    /// What is imported by name must be there.
    fn has_all(&self, file: &File, only: &[ast::Ident], faults: &mut Vec<Diagnostic>) {
        let names: Vec<String> = file.items.iter().flat_map(declared).map(|n| n.name.clone()).collect();
        for name in only.iter().filter(|o| !names.contains(&o.name)) {
            let message = format!("what is imported has no `{}`", name.name);
            let d = Diagnostic::error(Code::G0106, name.span, message);
            faults.push(match near(&name.name, names.clone()) {
                Some(n) => d.hint(format!("did you mean `{n}`?")),
                None => d.hint(format!("it declares {}", names.join(", "))),
            });
        }
    }

    /// Notes a name; the program's own names are declared once and hide those of the library.
    fn claim(&mut self, name: &ast::Ident, library: bool, faults: &mut Vec<Diagnostic>) {
        if library {
            return;
        }
        self.fns.remove(&name.name);
        self.nets.remove(&name.name);
        self.rules.remove(&name.name);
        if let Some(first) = self.places.insert(name.name.clone(), name.span) {
            faults.push(
                Diagnostic::error(Code::G0102, name.span, format!("`{}` is declared twice", name.name))
                    .label(first, "first here")
                    .hint("give one of them another name"),
            );
        }
    }

    fn dim(&mut self, d: &ast::DimDecl, faults: &mut Vec<Diagnostic>) {
        let size = match &d.size {
            None => Size::Open,
            Some(e) => match self.size(e) {
                Ok(SizeExpr::Const(n)) if n >= 0 => Size::Fixed(n as u64),
                Ok(SizeExpr::Const(n)) => {
                    faults.push(Diagnostic::error(
                        Code::G0303,
                        e.span,
                        format!("a size is a whole number, this is {n}"),
                    ));
                    return;
                }
                Ok(size) => Size::Of(size),
                Err(fault) => {
                    faults.push(*fault);
                    return;
                }
            },
        };
        if let Some(first) = self.dims.iter().find(|x| x.name == d.name.name) {
            let code = if first.size == size { Code::G0102 } else { Code::G0202 };
            let mut fault =
                Diagnostic::error(code, d.name.span, format!("the dim `{}` is declared twice", d.name.name));
            if let Some(place) = first.span {
                fault = fault.label(place, "first here");
            }
            faults.push(fault.hint("a dim has one size; give the other one another name"));
            return;
        }
        self.places.insert(d.name.name.clone(), d.name.span);
        self.dims.push(Dim { name: d.name.name.clone(), size, span: Some(d.name.span) });
    }

    /// Does a data block make the set from others, and is this its only declaration so far?
    fn derived_here(&self, e: &EdgesDecl) -> bool {
        use ast::ExprKind::{Binary, Call, Name};
        let made = e.value.as_ref().is_some_and(|v| matches!(&*v.kind, Binary(..) | Call(..) | Name { .. }));
        made && self.dim_named(&e.name.name).is_none()
    }

    /// The dim of a set of edges, whose size the data give.
    fn edge_dim(&mut self, e: &EdgesDecl, library: bool, faults: &mut Vec<Diagnostic>) {
        self.claim(&e.name, library, faults);
        if self.dim_named(&e.name.name).is_none() {
            self.dims.push(Dim { name: e.name.name.clone(), size: Size::Open, span: Some(e.name.span) });
        }
    }

    /// An integer expression over earlier dims.
    fn size(&self, e: &ast::Expr) -> Check<SizeExpr> {
        use ast::{BinaryOp, ExprKind};
        if let ExprKind::Name { name, .. } = &*e.kind
            && let Some(k) = self.dims.iter().position(|d| d.name == *name)
        {
            return Ok(match self.dims[k].size {
                Size::Fixed(n) => SizeExpr::Const(n as i64),
                _ => SizeExpr::Dim(DimId::new(k)),
            });
        }
        let ExprKind::Binary(op, a, b) = &*e.kind else { return Ok(SizeExpr::Const(self.fixed(e)? as i64)) };
        let (a, b) = (self.size(a)?, self.size(b)?);
        if matches!((&a, &b), (SizeExpr::Const(_), SizeExpr::Const(_))) {
            return Ok(SizeExpr::Const(self.fixed(e)? as i64));
        }
        let (a, b) = (Box::new(a), Box::new(b));
        Ok(match op {
            BinaryOp::Add => SizeExpr::Add(a, b),
            BinaryOp::Sub => SizeExpr::Sub(a, b),
            BinaryOp::Mul => SizeExpr::Mul(a, b),
            BinaryOp::IntDiv => SizeExpr::Div(a, b),
            BinaryOp::Mod => SizeExpr::Mod(a, b),
            _ => {
                let d = Diagnostic::error(Code::G0303, e.span, "a size is made of `+`, `-`, `*`, `div` and `mod`");
                return fail(d.hint("use `div` for whole division"));
            }
        })
    }

    /// Computes the sizes whose dims have become known.
    pub fn fold_sizes(&mut self) {
        for k in 0..self.dims.len() {
            if let Size::Of(size) = &self.dims[k].size
                && let Some(n) = self.known_size(size)
                && n >= 0
            {
                self.dims[k].size = Size::Fixed(n as u64);
            }
        }
    }

    fn known_size(&self, size: &SizeExpr) -> Option<i64> {
        let two = |a: &SizeExpr, b: &SizeExpr| Some((self.known_size(a)?, self.known_size(b)?));
        match size {
            SizeExpr::Const(n) => Some(*n),
            SizeExpr::Dim(d) => match &self.dims[d.index()].size {
                Size::Fixed(n) => Some(*n as i64),
                _ => None,
            },
            SizeExpr::Add(a, b) => two(a, b).and_then(|(a, b)| a.checked_add(b)),
            SizeExpr::Sub(a, b) => two(a, b).and_then(|(a, b)| a.checked_sub(b)),
            SizeExpr::Mul(a, b) => two(a, b).and_then(|(a, b)| a.checked_mul(b)),
            SizeExpr::Div(a, b) => two(a, b).and_then(|(a, b)| a.checked_div_euclid(b)),
            SizeExpr::Mod(a, b) => two(a, b).and_then(|(a, b)| a.checked_rem_euclid(b)),
        }
    }

    /// A whole number from literals and sizes of earlier dims.
    pub fn fixed(&self, e: &ast::Expr) -> Check<u64> {
        let x = self.number(e)?;
        if x.fract() != 0.0 || !(0.0..9e15).contains(&x) {
            return fail(Diagnostic::error(Code::G0303, e.span, format!("a size is a whole number, this is {x}")));
        }
        Ok(x as u64)
    }

    /// A number from literals and sizes of dims.
    pub fn number(&self, e: &ast::Expr) -> Check<f64> {
        use ast::{BinaryOp, ExprKind, UnaryOp};
        match &*e.kind {
            ExprKind::Number(n) => Ok(*n),
            ExprKind::Name { name, .. } => match self.dims.iter().find(|d| d.name == *name).map(|d| &d.size) {
                Some(Size::Fixed(n)) => Ok(*n as f64),
                Some(_) => {
                    fail(Diagnostic::error(Code::G0303, e.span, format!("the size of `{name}` is not known here")))
                }
                None => match self.lets.get(name) {
                    Some(l) => self.number(&l.value),
                    None => fail(self.unknown(name, e.span)),
                },
            },
            ExprKind::Unary(UnaryOp::Neg, x) => Ok(-self.number(x)?),
            ExprKind::Binary(op, a, b) => {
                let (a, b) = (self.number(a)?, self.number(b)?);
                match op {
                    BinaryOp::Add => Ok(a + b),
                    BinaryOp::Sub => Ok(a - b),
                    BinaryOp::Mul => Ok(a * b),
                    BinaryOp::Div => Ok(a / b),
                    BinaryOp::IntDiv => Ok((a / b).floor()),
                    BinaryOp::Mod => Ok(a - (a / b).floor() * b),
                    BinaryOp::Pow => Ok(a.powf(b)),
                    _ => fail(Diagnostic::error(Code::G0303, e.span, "a number is needed here")),
                }
            }
            _ => fail(Diagnostic::error(Code::G0303, e.span, "a number known before the program runs is needed here")),
        }
    }

    pub fn unknown(&self, name: &str, span: Span) -> Diagnostic {
        let d = Diagnostic::error(Code::G0101, span, format!("unknown name `{name}`"));
        match near(name, self.names()) {
            Some(n) => d.hint(format!("did you mean `{n}`?")),
            None => d,
        }
    }

    /// The dim of that name.
    pub fn dim_named(&self, name: &str) -> Option<DimId> {
        self.dims.iter().position(|d| d.name == name).map(DimId::new)
    }

    /// Is that file part of the library?
    pub fn is_library(&self, file: FileId) -> bool {
        self.library.contains(&file)
    }

    /// Has the data set that split?
    pub fn has_split(&self, data: usize, name: &str) -> bool {
        self.data[data].body.iter().any(|s| match s {
            DataStmt::Split { name: n, .. } | DataStmt::SplitFrom { name: n, .. } => n.name == name,
            _ => false,
        })
    }

    /// Names of a program's arguments.
    pub fn program_params(&self, name: &str) -> Vec<String> {
        let of = |params: &[ast::ParamDecl]| params.iter().map(|p| p.name.name.clone()).collect();
        if let Some(t) = self.trains.iter().find(|t| t.name.name == name) {
            return of(&t.params);
        }
        self.tasks.iter().find(|t| t.name.name == name).map(|t| of(&t.params)).unwrap_or_default()
    }

    /// All declared names.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.dims.iter().map(|d| d.name.clone()).collect();
        names.extend(self.fns.keys().cloned());
        names.extend(self.nets.keys().cloned());
        names.extend(self.rules.keys().cloned());
        names.extend(self.lets.keys().cloned());
        names.extend(self.data.iter().map(|d| d.name.name.clone()));
        names.extend(self.trains.iter().map(|t| t.name.name.clone()));
        names.extend(self.tasks.iter().map(|t| t.name.name.clone()));
        names
    }
}

/// The names that an item declares.
fn declared(item: &Item) -> Vec<&ast::Ident> {
    match item {
        Item::Dim(d) => vec![&d.name],
        Item::Data(d) => vec![&d.name],
        Item::Fn(d) => vec![&d.name],
        Item::Net(d) => vec![&d.name],
        Item::Rule(d) => vec![&d.name],
        Item::Train(d) => vec![&d.name],
        Item::Task(d) => vec![&d.name],
        Item::Let(l) => l.targets.iter().map(|t| &t.name).collect(),
        Item::Edges(e) => vec![&e.name],
        Item::Check(_) | Item::Use(_) => vec![],
    }
}
