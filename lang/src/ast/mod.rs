//! The Ast: what was written, with spans.
//! Law: nothing is resolved here; a name is a name and `f(x)` is a call of something.

mod declarations;
mod expressions;

pub use declarations::*;
pub use expressions::*;
