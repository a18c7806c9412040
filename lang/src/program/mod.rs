//! The Program: what a checked source means, as typed terms over named axes.
//! Law: a term's operands have smaller ids than the term; every term has a type; nothing in here can still be a
//! user's mistake, so everything later that fails is our bug.
//!
//! A source is elaborated by instantiation: functions, nets and rules are applied where they are called, with their
//! static arguments known, so a [`Unit`] holds first-order equations only. One unit is one train block (with one choice
//! of static arguments), one task or one check. It carries several [`Function`]s (first values, step, reports, the
//! trained nets) over one arena of terms.

mod host;
mod library;
mod schedule;
mod terms;
mod units;

pub use host::{Host, HostFn, Hosts};
pub use library::{HOST_ARGUMENTS, LIBRARY, Lib, LibFun, PartElem, PartRule, Signature, Way, entries};
pub use schedule::{Groups, Near, NearSet, Schedule, Stage};
pub use terms::*;
pub use units::*;
