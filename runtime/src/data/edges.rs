//! Sets of edges: read from files, or made from other sets.
//! Law: every end is an index of its dim; a set made from others keeps their order.

use super::field::{eval, eval_of};
use super::source::{Fault, Folder};
use super::whole::{Raw, raw};
use super::{Dataset, Sizes, Values, field};
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{Arrivals, Data, Dim, DimId, EdgeExpr, Edges, Elem, End, Field, FieldExpr, Unit};
use std::collections::{BTreeMap, VecDeque};

/// The index arrays of a set.
#[derive(Clone, Debug, Default)]
pub struct List {
    src: Vec<i32>,
    dst: Vec<i32>,
    types: Option<Vec<i32>>,
    /// Of each edge the one that leads back; -1 where there is none.
    twins: Vec<i32>,
    /// In the order of [`Arrivals::ALL`].
    arrivals: [Vec<i32>; 3],
}

impl List {
    /// The number of edges.
    pub fn len(&self) -> usize {
        self.src.len()
    }

    /// One of its arrays.
    pub fn end(&self, end: End) -> &[i32] {
        match end {
            End::Src => &self.src,
            End::Dst => &self.dst,
            End::Type => self.types.as_deref().unwrap_or_default(),
            End::Twin => &self.twins,
            End::Of => unreachable!("sampled edges are no data"),
        }
    }

    /// What is known of the edges that arrive at each target.
    pub fn arrivals(&self, what: Arrivals) -> &[i32] {
        &self.arrivals[what as usize]
    }

    /// Groups the edges by their targets; where the size of their dim is open, up to the last that is reached.
    fn grouped(mut self, targets: Option<u64>) -> List {
        let reached = || self.dst.iter().max().map_or(0, |v| *v as usize + 1);
        let mut count = vec![0; targets.map_or_else(reached, |n| n as usize)];
        self.dst.iter().for_each(|v| count[*v as usize] += 1);
        let ends = count.iter().scan(0, |sum, n| {
            *sum += n;
            Some(*sum)
        });
        let first: Vec<i32> = ends.zip(&count).map(|(end, n)| end - n).collect();
        let (mut next, mut order) = (first.clone(), vec![0; self.len()]);
        for (e, v) in self.dst.iter().enumerate() {
            order[next[*v as usize] as usize] = e as i32;
            next[*v as usize] += 1;
        }
        self.arrivals = [order, first, count];
        self
    }

    /// Finds the twins: the first of several edges from u to v belongs to the first from v to u, and so on.
    fn with_twins(mut self) -> List {
        let of = |k: usize| self.types.as_ref().map_or(0, |t| t[k]);
        let mut waiting: BTreeMap<(i32, i32, i32), VecDeque<i32>> = BTreeMap::new();
        for k in 0..self.len() {
            waiting.entry((self.src[k], self.dst[k], of(k))).or_default().push_back(k as i32);
        }
        let mut back = |k: usize| waiting.get_mut(&(self.dst[k], self.src[k], of(k))).and_then(VecDeque::pop_front);
        self.twins = (0..self.src.len()).map(|k| back(k).unwrap_or(-1)).collect();
        self
    }

    fn of(mut arrays: Vec<Vec<i32>>) -> List {
        let types = (arrays.len() > 2).then(|| arrays.remove(2));
        let dst = arrays.remove(1);
        List { src: arrays.remove(0), dst, types, ..List::default() }
    }

    fn kept(&self, keep: &[bool]) -> List {
        let only = |v: &[i32]| v.iter().zip(keep).filter(|(_, k)| **k).map(|(x, _)| *x).collect();
        List { src: only(&self.src), dst: only(&self.dst), types: self.types.as_deref().map(only), ..List::default() }
    }
}

/// Where a unit reads the twins of edges, does each edge have one?
///
/// # Errors
/// Edges that no edge leads back from, with the first one.
pub fn have_twins(data: &Data, unit: &Unit, set: &Dataset) -> Result<(), Diagnostic> {
    for field in unit.inputs.iter().filter_map(|i| i.field) {
        let FieldExpr::End(k, End::Twin) = data.fields[field].value else { continue };
        let Values::I32(twins) = &set.columns[field].values else { continue };
        let missing = twins.iter().filter(|t| **t < 0).count();
        let Some(first) = twins.iter().position(|t| *t < 0) else { continue };
        let edges = &data.edges[k];
        let end = |end: End| {
            let of = data.fields.iter().position(|f| matches!(f.value, FieldExpr::End(s, e) if s == k && e == end));
            match of.map(|f| &set.columns[f].values) {
                Some(Values::I32(values)) => values[first],
                _ => -1,
            }
        };
        let (src, dst) = (end(End::Src), end(End::Dst));
        let message =
            format!("{missing} of the edges `{}` have no twin; edge {first} goes from {src} to {dst}", edges.name);
        return Err(Diagnostic::error(Code::G0503, edges.span, message)
            .hint(format!("join them with their reverse: `edges both = {0} + reverse({0})`", edges.name)));
    }
    Ok(())
}

/// Where a unit samples edges, does one arrive at each target?
///
/// # Errors
/// Targets that nothing reaches, with the first one.
pub fn have_arrivals(data: &Data, unit: &Unit, set: &Dataset) -> Result<(), Diagnostic> {
    for field in unit.inputs.iter().filter_map(|i| i.field) {
        let FieldExpr::Arrivals(k, Arrivals::Count) = data.fields[field].value else { continue };
        let Values::I32(counts) = &set.columns[field].values else { continue };
        let Some(first) = counts.iter().position(|n| *n == 0) else { continue };
        let without = counts.iter().filter(|n| **n == 0).count();
        let edges = &data.edges[k];
        let message = format!(
            "none of the edges `{}` arrives at {without} of the targets, so none can be sampled; the first is {first}",
            edges.name
        );
        return Err(Diagnostic::error(Code::G0503, edges.span, message)
            .hint(format!("let each reach itself: `edges all = {} + loops(node)`", edges.name)));
    }
    Ok(())
}

/// What sets are made from.
pub struct Maker<'a> {
    pub data: &'a Data,
    pub dims: &'a [Dim],
    /// The fields that are read from files.
    pub raws: &'a [Option<Raw>],
    pub folder: &'a mut Folder,
    pub sizes: &'a mut Sizes,
}

impl Maker<'_> {
    /// All sets of the data, in order; their dims get their sizes.
    pub fn lists(&mut self) -> Result<Vec<List>, Diagnostic> {
        let mut lists: Vec<List> = Vec::new();
        for set in &self.data.edges {
            let list = self.make(&set.value, set, &lists)?;
            match self.sizes.get(set.dim) {
                Some(n) if n != list.len() as u64 => {
                    let message =
                        format!("there are {} edges `{}`, but a field over them has {n} entries", list.len(), set.name);
                    return Err(Diagnostic::error(Code::G0502, set.span, message)
                        .hint("a field over edges has one entry an edge, in the order of the edges"));
                }
                _ => self.sizes.set(set.dim, list.len() as u64),
            }
            let list = list.grouped(self.sizes.get(set.dst));
            lists.push(if set.src == set.dst { list.with_twins() } else { list });
        }
        Ok(lists)
    }

    fn make(&mut self, e: &EdgeExpr, set: &Edges, lists: &[List]) -> Result<List, Diagnostic> {
        match e {
            EdgeExpr::Columns(columns) => self.columns(columns, set),
            EdgeExpr::Table(from, ends) => self.table(from, ends, set),
            EdgeExpr::Set(k) => Ok(lists[*k].clone()),
            EdgeExpr::Reverse(e) => {
                let list = self.make(e, set, lists)?;
                Ok(List { src: list.dst, dst: list.src, types: list.types, ..List::default() })
            }
            EdgeExpr::Join(parts) => {
                let mut all = List::default();
                for (k, part) in parts.iter().enumerate() {
                    let list = self.make(part, set, lists)?;
                    all.src.extend(list.src);
                    all.dst.extend(list.dst);
                    match (&mut all.types, list.types) {
                        (Some(types), Some(more)) => types.extend(more),
                        (types, more) if k == 0 => *types = more,
                        _ => {}
                    }
                }
                Ok(all)
            }
            EdgeExpr::Loops(dim) => {
                let n = self.size(*dim, set)? as i32;
                Ok(List { src: (0..n).collect(), dst: (0..n).collect(), ..List::default() })
            }
            EdgeExpr::Where(of, condition) => {
                let list = self.make(of, set, lists)?;
                let keep: Vec<bool> = (0..list.len()).map(|k| self.value(condition, k, lists) != 0.0).collect();
                Ok(list.kept(&keep))
            }
        }
    }

    fn size(&self, dim: DimId, set: &Edges) -> Result<u64, Diagnostic> {
        self.sizes.get(dim).ok_or_else(|| {
            let name = &self.dims[dim.index()].name;
            Diagnostic::error(Code::G0603, set.span, format!("the dim `{name}` of these edges has no size"))
                .hint(format!("give it one, `dim {name} = ...`, or read a field over it"))
        })
    }

    /// The condition of `where` for one edge.
    fn value(&self, e: &FieldExpr, k: usize, lists: &[List]) -> f64 {
        eval_of(e, &|leaf| {
            let FieldExpr::Field(f) = leaf else { unreachable!("a condition is made of fields and numbers") };
            match (&self.data.fields[*f].value, &self.raws[*f]) {
                (FieldExpr::End(set, end), _) => f64::from(lists[*set].end(*end)[k]),
                (value, Some(raw)) => eval(value, raw.values[k]),
                (_, None) => unreachable!("a field is read or an end of edges"),
            }
        })
    }

    /// Source, target and type from a column each.
    fn columns(&mut self, columns: &[FieldExpr], set: &Edges) -> Result<List, Diagnostic> {
        let mut arrays = Vec::new();
        for (value, end) in columns.iter().zip([End::Src, End::Dst, End::Type]) {
            let leaf = field::leaf(value).filter(|_| field::leaves(value) == 1).ok_or_else(|| {
                Diagnostic::error(
                    Code::G0502,
                    set.span,
                    format!("an end of the edges `{}` reads no one column", set.name),
                )
                .hint("for example `(column 0, column 1)`")
            })?;
            let read = raw(leaf, self.folder).map_err(|e| e.at(set.span))?;
            let numbers = read.values.iter().map(|x| eval(value, *x)).collect::<Vec<f64>>();
            arrays.push(self.indices(&numbers, end, set, &|k| read.place(k))?);
        }
        if arrays.iter().any(|a| a.len() != arrays[0].len()) {
            let message = format!("the columns of the edges `{}` have different lengths", set.name);
            return Err(
                Diagnostic::error(Code::G0502, set.span, message).hint("each edge has one entry in every column")
            );
        }
        Ok(List::of(arrays))
    }

    /// Edges from the columns of one array or table.
    fn table(&mut self, from: &FieldExpr, ends: &[Option<End>], set: &Edges) -> Result<List, Diagnostic> {
        let read = raw(from, self.folder).map_err(|e| e.at(set.span))?;
        let width = read.shape.get(1).copied().unwrap_or(1);
        if read.shape.len() != 2 || width != ends.len() {
            let message = format!(
                "`{}` has the shape {:?}, and the edges `{}` are read from {} columns",
                read.file(),
                read.shape,
                set.name,
                ends.len()
            );
            return Err(Diagnostic::error(Code::G0502, set.span, message)
                .hint("say what each column is: `file \"edges.npy\" as src, dst, _`"));
        }
        let mut arrays = Vec::new();
        for end in [End::Src, End::Dst, End::Type] {
            if let Some(column) = ends.iter().position(|e| *e == Some(end)) {
                let numbers: Vec<f64> = read.values.iter().skip(column).step_by(width).copied().collect();
                arrays.push(self.indices(&numbers, end, set, &|k| read.place(k * width + column))?);
            }
        }
        Ok(List::of(arrays))
    }

    /// Numbers as indices of an end's dim.
    fn indices(
        &self,
        numbers: &[f64],
        end: End,
        set: &Edges,
        place: &dyn Fn(usize) -> String,
    ) -> Result<Vec<i32>, Diagnostic> {
        let dim = match end {
            End::Src => set.src,
            End::Dst => set.dst,
            End::Type => set.by.expect("a set with types has a dim of them"),
            End::Twin | End::Of => unreachable!("these are found, not read"),
        };
        self.size(dim, set)?;
        let name = format!("{}.{}", set.name, end.word());
        let value = FieldExpr::Whole;
        let field = Field { name, elem: Elem::Index(dim), dims: vec![set.dim], value, span: set.span };
        let context = field::Context { field: &field, dims: self.dims, double: false };
        let fault = |e: Fault| e.at(set.span);
        for (k, x) in numbers.iter().enumerate() {
            context.holds(*x, self.sizes, &|| place(k)).map_err(fault)?;
        }
        Ok(numbers.iter().map(|x| *x as i32).collect())
    }
}
