//! Reads Graph text.
//! Law: whatever the text, the result is a graph that the verifier accepts, or an error that names the line.

use super::scan::{Token, scan, unquote};
use super::{DISTS, ELEMS, FUNS, REDS, dim_label, numbered_label};
use crate::graph::{Args, At, Axes, AxisNames, Body, Graph, NodeId, Num, Op, Subst, Tables, Type, sorted};
use gannet_lang::program::{
    Axis, DimId, Elem, HyperId, Implicit, InputId, LIBRARY, Lib, LoopTest, Output, ParamId, PointId, SiteId, StateId,
};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a text is no graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

type Parse<T> = Result<T, String>;

impl Graph {
    /// Reads the text form. Nodes are numbered anew, in the order of the lines.
    ///
    /// # Errors
    /// The first line that is no equation or output, or breaks a law of the Graph.
    pub fn parse(text: &str, tables: Arc<Tables>) -> Result<Graph, ParseError> {
        let lines: Vec<(usize, &str)> = text.lines().enumerate().map(|(k, line)| (k + 1, line)).collect();
        read_lines(&lines, tables)
    }
}

/// A graph from numbered lines. A line that ends in `{` starts the step of a loop, indented; the line with its `}` goes
/// on where it stopped.
fn read_lines(lines: &[(usize, &str)], tables: Arc<Tables>) -> Result<Graph, ParseError> {
    let mut reader = Reader { graph: Graph::new(tables.clone()), ids: BTreeMap::new() };
    let mut rest = lines;
    while let Some(((number, line), after)) = rest.split_first() {
        let at = |message| ParseError { line: *number, message };
        let Some(head) = line.strip_suffix('{') else {
            reader.line(line, None).map_err(at)?;
            rest = after;
            continue;
        };
        let end = after.iter().position(|(_, l)| l.starts_with('}'));
        let end = end.ok_or_else(|| at("the step of the loop does not end".to_string()))?;
        let inner: Vec<(usize, &str)> =
            after[..end].iter().map(|(n, l)| (*n, l.strip_prefix("  ").unwrap_or(l))).collect();
        let step = read_lines(&inner, tables.clone())?;
        let whole = format!("{head}{}", &after[end].1[1..]);
        reader.line(&whole, Some(step)).map_err(at)?;
        rest = &after[end + 1..];
    }
    let line = lines.last().map_or(0, |l| l.0);
    reader.graph.verify().map_err(|message| ParseError { line, message })?;
    Ok(reader.graph)
}

struct Reader {
    graph: Graph,
    ids: BTreeMap<u32, NodeId>,
}

impl Reader {
    /// A line; `step` is the graph that stood in its braces.
    fn line(&mut self, line: &str, step: Option<Graph>) -> Parse<()> {
        let (tokens, comment) = scan(line)?;
        let tables = self.graph.tables.clone();
        let mut cursor = Cursor { tokens: &tokens, tables: &tables, step };
        match tokens.first() {
            None => return Ok(()),
            Some(Token::Word("output")) => {
                cursor.word()?;
                let output = cursor.output()?;
                cursor.sign('=')?;
                let id = self.operand(&mut cursor)?;
                self.graph.outputs.push((output, id));
            }
            Some(_) => {
                let id = self.equation(&mut cursor)?;
                let names = comment.iter().flat_map(|c| c.split(", ")).map(|n| (n.to_string(), id));
                self.graph.names.extend(names);
            }
        }
        cursor.end()
    }

    fn equation(&mut self, c: &mut Cursor<'_, '_>) -> Parse<NodeId> {
        c.sign('%')?;
        let label: u32 = c.number()?;
        c.sign('=')?;
        let (mut op, constant) = c.op()?;
        let mut args = Args::new();
        while c.peek() == Some(Token::Sign('%')) {
            args.push(self.operand(c)?);
        }
        if let Op::Read { guarded, .. } = &mut op
            && c.skip(Token::Word("else"))
        {
            *guarded = true;
            args.push(self.operand(c)?);
        }
        c.sign(':')?;
        let ty = c.ty()?;
        if constant {
            let Op::Const(n, _) = op else { unreachable!("a constant") };
            op = Op::Const(n, ty.elem);
        }
        let inferred = self.graph.type_of(&op, &args)?;
        self.graph.check_laws(&op, &args)?;
        if inferred != ty {
            return Err(format!("the type is {ty:?}, but {inferred:?} follows"));
        }
        let id = self.graph.add(op, args);
        match self.ids.insert(label, id) {
            None => Ok(id),
            Some(_) => Err(format!("%{label} is defined twice")),
        }
    }

    fn operand(&self, c: &mut Cursor<'_, '_>) -> Parse<NodeId> {
        c.sign('%')?;
        let label: u32 = c.number()?;
        self.ids.get(&label).copied().ok_or_else(|| format!("%{label} is not defined above"))
    }
}

/// What is left of a line.
struct Cursor<'t, 's> {
    tokens: &'t [Token<'s>],
    tables: &'t Tables,
    /// What stood in the line's braces.
    step: Option<Graph>,
}

impl<'s> Cursor<'_, 's> {
    fn peek(&self) -> Option<Token<'s>> {
        self.tokens.first().copied()
    }

    fn next(&mut self) -> Option<Token<'s>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(*first)
    }

    fn skip(&mut self, token: Token<'_>) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.next();
        }
        found
    }

    fn sign(&mut self, sign: char) -> Parse<()> {
        match self.next() {
            Some(Token::Sign(c)) if c == sign => Ok(()),
            other => Err(format!("expected `{sign}`, found {other:?}")),
        }
    }

    fn word(&mut self) -> Parse<&'s str> {
        match self.next() {
            Some(Token::Word(w)) => Ok(w),
            other => Err(format!("expected a word, found {other:?}")),
        }
    }

    fn keyword(&mut self, word: &str) -> Parse<()> {
        if self.skip(Token::Word(word)) { Ok(()) } else { Err(format!("expected `{word}`, found {:?}", self.peek())) }
    }

    fn end(&mut self) -> Parse<()> {
        self.peek().map_or(Ok(()), |t| Err(format!("{t:?} is too much")))
    }

    fn number<T: std::str::FromStr>(&mut self) -> Parse<T> {
        let word = self.word()?;
        word.parse().map_err(|_| format!("`{word}` is no number of the right kind"))
    }

    /// An id such as `w3`, and the quoted name that may follow.
    fn id(&mut self, prefix: &str) -> Parse<u32> {
        let word = self.word()?;
        let digits = word.strip_prefix(prefix).and_then(|d| d.parse().ok());
        if let Some(Token::Quoted(_)) = self.peek() {
            self.next();
        }
        digits.ok_or_else(|| format!("`{word}` is not `{prefix}` and a number"))
    }

    fn dim(&self, label: &str) -> Parse<DimId> {
        let mut dims = (0..self.tables.dims.len()).map(DimId::new);
        let is = |d: &DimId| dim_label(self.tables, *d) == label || numbered_label(self.tables, *d) == label;
        dims.find(is).ok_or_else(|| format!("there is no dim `{label}`"))
    }

    /// The rest of a loop, whose step stood in braces.
    fn repeat(&mut self) -> Parse<Op> {
        let axis = self.axis()?;
        let reverse = self.skip(Token::Word("reverse"));
        let fixed = self.skip(Token::Word("fixed")).then(|| match self.skip(Token::Word("cg")) {
            true => Implicit::Conjugate,
            false => Implicit::Repeat,
        });
        let test = match self.skip(Token::Word("test")) {
            false => None,
            true => Some(match self.word()? {
                "before" => LoopTest::Before,
                "after" => LoopTest::After,
                other => return Err(format!("a loop is not tested `{other}` a step")),
            }),
        };
        let mut count = |word: &str| -> Parse<usize> {
            if self.skip(Token::Word(word)) { self.number() } else { Err(format!("`{word}` is missing")) }
        };
        let (states, slices) = (count("states")?, count("slices")?);
        let graph = self.step.take().ok_or("a loop has its step in braces")?;
        let least = states + usize::from(test.is_some());
        if graph.outputs.len() < least {
            return Err(format!("the step has {} outputs, the loop needs {least}", graph.outputs.len()));
        }
        Ok(Op::Loop(Body::read(axis, (states, slices), test, (reverse, fixed), graph)))
    }

    fn axis(&mut self) -> Parse<Axis> {
        let word = self.word()?;
        match word.rsplit_once('.') {
            None => Ok(Axis { dim: self.dim(word)?, ix: 0 }),
            Some((dim, ix)) => {
                let ix = ix.parse().map_err(|_| format!("`{word}` is no axis"))?;
                Ok(Axis { dim: self.dim(dim)?, ix })
            }
        }
    }

    /// `[item, item]`.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parse<T>) -> Parse<Vec<T>> {
        self.sign('[')?;
        let mut items = Vec::new();
        while !self.skip(Token::Sign(']')) {
            if !items.is_empty() {
                self.sign(',')?;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// A set of axes, in any order.
    fn axes(&mut self) -> Parse<Axes> {
        Ok(sorted(self.list(Self::axis)?))
    }

    fn ty(&mut self) -> Parse<Type> {
        let word = self.word()?;
        let known = ELEMS.iter().find(|(w, _)| *w == word).map(|(_, e)| *e);
        let elem = known.map_or_else(|| self.dim(word).map(Elem::Index), Ok)?;
        let listed = self.peek() == Some(Token::Sign('['));
        let axes = if listed { self.axes()? } else { Axes::new() };
        Ok(Type { elem, axes })
    }

    fn subst(&mut self) -> Parse<Subst> {
        let mut places = self.list(|c| {
            let axis = c.axis()?;
            c.sign('=')?;
            Ok((axis, c.place()?.normal()))
        })?;
        places.sort();
        Ok(places.into_iter().collect())
    }

    /// `arg1`, or terms `2*i - j + 3`.
    fn place(&mut self) -> Parse<At> {
        if let Some(Token::Word(w)) = self.peek()
            && let Some(k) = w.strip_prefix("arg").and_then(|k| k.parse().ok())
        {
            self.next();
            return Ok(At::Arg(k));
        }
        let (mut terms, mut offset) = (SmallVec::new(), 0i64);
        loop {
            let sign = if self.skip(Token::Sign('-')) {
                -1
            } else {
                self.skip(Token::Sign('+'));
                1
            };
            let number = match self.peek() {
                Some(Token::Word(w)) => w.parse::<i64>().ok(),
                _ => None,
            };
            match number {
                None => terms.push((sign, self.axis()?)),
                Some(n) => {
                    self.next();
                    if self.skip(Token::Sign('*')) {
                        terms.push((sign * n, self.axis()?));
                    } else {
                        offset += sign * n;
                    }
                }
            }
            if !matches!(self.peek(), Some(Token::Sign('+' | '-'))) {
                return Ok(At::Affine { terms, offset });
            }
        }
    }

    fn constant(&mut self) -> Parse<f64> {
        let sign = if self.skip(Token::Sign('-')) { -1.0 } else { 1.0 };
        Ok(sign * self.number::<f64>()?)
    }

    /// The operation; a constant's element type is still to be read from its type.
    fn op(&mut self) -> Parse<(Op, bool)> {
        let word = self.word()?;
        let (head, kind) = word.split_once('.').unwrap_or((word, ""));
        let op = match head {
            "input" => Op::Input(InputId(self.id("in")?)),
            "param" => Op::Param(ParamId(self.id("w")?)),
            "state" => Op::State(StateId(self.id("s")?)),
            "hyper" => Op::Hyper(HyperId(self.id("h")?)),
            "step" => Op::Step,
            "const" => return Ok((Op::Const(Num::new(self.constant()?), Elem::Real), true)),
            "size" => {
                let word = self.word()?;
                Op::Size(self.dim(word)?)
            }
            "iota" => Op::Iota(self.axis()?),
            "random" => Op::Random(lookup(&DISTS, kind)?, SiteId(self.id("r")?), self.list(Self::axis)?.into()),
            "map" => Op::Map(lookup(&FUNS, kind)?),
            "reduce" => Op::Reduce(lookup(&REDS, kind)?, self.axes()?),
            "contract" => Op::Contract(self.axes()?),
            "read" => Op::Read { at: self.subst()?, guarded: false },
            "fiber" => {
                let (red, at) = (lookup(&REDS, kind)?, self.subst()?);
                self.keyword("over")?;
                Op::Fiber { red, at, over: self.axes()? }
            }
            "library" => {
                let fun = LIBRARY.into_iter().find(|f| f.signature().name == kind);
                let fun = fun.ok_or_else(|| format!("there is no library operation `{kind}`"))?;
                let groups: Parse<Vec<Vec<Axis>>> = (0..fun.signature().named).map(|_| self.list(Self::axis)).collect();
                Op::Library(Lib { fun, groups: groups? })
            }
            "part" => Op::Part(self.number()?),
            "arg" => {
                let k = self.number()?;
                let ty = self.ty()?;
                Op::Arg(k, ty.elem, ty.axes)
            }
            "loop" => self.repeat()?,
            "point" => Op::Point(PointId(self.id("p")?)),
            "grad" => self.grad()?,
            "along" => {
                let directions: usize = self.number()?;
                Op::Along((0..directions).map(|_| self.names()).collect::<Parse<_>>()?)
            }
            "custom" => Op::Custom { inputs: self.number()? },
            "stop" => Op::Stop,
            _ => return Err(format!("there is no operation `{word}`")),
        };
        Ok((op, false))
    }

    fn grad(&mut self) -> Parse<Op> {
        let axes = self.names()?;
        self.keyword("shared")?;
        Ok(Op::Grad { axes, shared: self.axes()? })
    }

    fn names(&mut self) -> Parse<AxisNames> {
        let names = self.list(|c| {
            let axis = c.axis()?;
            c.keyword("as")?;
            Ok((axis, c.axis()?))
        })?;
        Ok(names.into_iter().collect())
    }

    fn output(&mut self) -> Parse<Output> {
        match self.word()? {
            "param" => Ok(Output::Param(ParamId(self.id("w")?))),
            "state" => Ok(Output::State(StateId(self.id("s")?))),
            "loss" => Ok(Output::Loss),
            "report" => Ok(Output::Report(self.number()?)),
            "value" => match self.next() {
                Some(Token::Quoted(name)) => Ok(Output::Value(unquote(name))),
                other => Err(format!("expected a quoted name, found {other:?}")),
            },
            word => Err(format!("there is no output `{word}`")),
        }
    }
}

fn lookup<T: Copy>(table: &[(&str, T)], word: &str) -> Parse<T> {
    table.iter().find(|(w, _)| *w == word).map(|(_, v)| *v).ok_or_else(|| format!("there is no `{word}`"))
}
