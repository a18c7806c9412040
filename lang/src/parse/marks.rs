//! What signs are for, where the text alone does not say: for the formatter.
//! Law: a mark stands at the byte where its sign begins; what has no mark is spaced by its neighbours.

use std::collections::BTreeMap;

use pest::Parser;

use super::{Grammar, Node, Rule, layout};
use crate::diag::{FileId, Sources};

/// What a sign is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// An operator before its operand.
    Prefix,
    /// An operator between operands, with how tightly it binds.
    Infix(u8),
    /// A bracket that belongs to what stands before it: a call, an index, the axes of a type.
    Attached,
    /// The brace of `f{theta}`.
    AtOpen,
    /// Its end.
    AtClose,
    /// The arrow `<-` of a fiber; elsewhere `<` and `-` are two operators.
    BackArrow,
}

/// A source as the grammar reads it.
pub(crate) struct Marked {
    /// The prepared text: a line end in it ends a statement.
    pub layout: String,
    /// Marks by place.
    pub marks: BTreeMap<usize, Mark>,
}

/// The marks of a file that was parsed without a finding.
pub(crate) fn marked(sources: &Sources, file: FileId) -> Marked {
    let layout = layout::layout(file, sources.text(file)).expect("the file was parsed");
    let mut marks = BTreeMap::new();
    for node in Grammar::parse(Rule::file, &layout).expect("the file was parsed").flatten() {
        mark(&node, &mut marks);
    }
    Marked { layout, marks }
}

fn mark(node: &Node, marks: &mut BTreeMap<usize, Mark>) {
    let (start, text) = (node.as_span().start(), node.as_str());
    match node.as_rule() {
        Rule::op_neg | Rule::op_root => {
            marks.insert(start, Mark::Prefix);
        }
        Rule::op_add | Rule::op_sub => {
            marks.insert(start, Mark::Infix(1));
        }
        Rule::op_mul | Rule::op_div | Rule::op_matmul | Rule::op_int_div | Rule::op_mod => {
            marks.insert(start, Mark::Infix(2));
        }
        Rule::op_pow => {
            marks.insert(start, Mark::Infix(3));
        }
        Rule::call | Rule::params | Rule::bracket | Rule::fn_axes => {
            marks.insert(start, Mark::Attached);
        }
        Rule::ty | Rule::each_pattern | Rule::sample_of | Rule::family | Rule::batch_group => {
            marks.extend(text.find('[').map(|n| (start + n, Mark::Attached)));
        }
        Rule::at => {
            marks.insert(start, Mark::AtOpen);
            marks.insert(start + text.trim_end().len() - 1, Mark::AtClose);
        }
        Rule::back_arrow => {
            marks.insert(start, Mark::BackArrow);
        }
        _ => {}
    }
}
