//! Functions of the embedding program, which a text names by `extern fn`.

use crate::diag::Span;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What a function of the embedding program computes: from the entries of each argument, row-major, those of the result.
/// An `Err` ends the run with its text.
pub type HostFn = Arc<dyn Fn(&[&[f64]]) -> Result<Vec<f64>, String> + Send + Sync>;

/// Functions of the embedding program, by name.
#[derive(Clone, Default)]
pub struct Hosts(BTreeMap<String, HostFn>);

impl Hosts {
    /// With one more. It must be pure: it may be called any number of times, for any arguments, from several threads.
    pub fn with(
        mut self,
        name: &str,
        call: impl Fn(&[&[f64]]) -> Result<Vec<f64>, String> + Send + Sync + 'static,
    ) -> Hosts {
        self.0.insert(name.to_string(), Arc::new(call));
        self
    }

    /// The function of that name.
    pub fn get(&self, name: &str) -> Option<HostFn> {
        self.0.get(name).cloned()
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A function of the embedding program: `extern fn`.
#[derive(Clone)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// What it computes, once the embedding program has said it.
    pub call: Option<HostFn>,
    /// Its declaration.
    pub span: Span,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "extern fn {}", self.name)
    }
}
