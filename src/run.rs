//! A finished run: its reports, its losses, and its trained nets.

use crate::model::{Error, Model};
use gannet_lang::diag::{Code, Diagnostic};
use gannet_lang::program::{InputId, Part};
use gannet_runtime::device::cpu::memory::Memory;
use gannet_runtime::session::{Session, kind_of};
use gannet_runtime::train::Outcome;
use ndarray::{ArrayD, IxDyn};
use std::path::{Path, PathBuf};

/// A finished run.
pub struct Run {
    model: Model,
    /// The session with the trained parameters.
    pub session: Session,
    /// Losses and reports.
    pub outcome: Outcome,
}

impl Run {
    pub(crate) fn new(model: Model, session: Session, outcome: Outcome) -> Run {
        Run { model, session, outcome }
    }

    /// A scalar report.
    pub fn report(&self, name: &str) -> Option<f64> {
        self.outcome.reports.iter().find(|(n, _)| n == name).and_then(|(_, v)| v.first().copied())
    }

    /// A parameter's values, by name, in its declared order of axes.
    pub fn param(&self, name: &str) -> Option<ArrayD<f64>> {
        let k = self.session.unit.params.iter().position(|p| p.name == name)?;
        let (shape, values) = self.session.param(k);
        ArrayD::from_shape_vec(IxDyn(&shape), values).ok()
    }

    /// Calls a trained net on arrays, one for each of its arguments; the first axis is taken as the batch.
    ///
    /// # Errors
    /// An unknown net, or arrays whose shapes are not those of its arguments.
    pub fn call(&mut self, net: &str, arguments: &[ArrayD<f64>]) -> Result<ArrayD<f64>, Error> {
        let function = format!("net {net}");
        let Some(found) = self.session.unit.function(&function) else {
            let nets = self.session.unit.functions.iter().filter_map(|f| f.name.strip_prefix("net "));
            let nets: Vec<&str> = nets.collect();
            let d = Diagnostic::error(Code::G0702, None, format!("the run has no net `{net}`"));
            return Err(self.model.error(d.hint(format!("its nets are {}", nets.join(", ")))));
        };
        let output = found.outputs[0].0.clone();
        let batch = arguments.first().and_then(|a| a.shape().first().copied()).unwrap_or(1);
        let model = self.model.clone();
        let mut bound = self.session.bind(&function, batch as u64).map_err(|d| model.error(d))?;
        let inputs: Vec<InputId> = (0..self.session.unit.inputs.len())
            .map(InputId::new)
            .filter(|i| {
                let input = &self.session.unit.inputs[i.index()];
                input.part == Part::Argument && input.name.starts_with(&format!("{net}."))
            })
            .collect();
        if inputs.len() != arguments.len() {
            let message = format!("`{net}` takes {} arrays, {} were given", inputs.len(), arguments.len());
            return Err(model.error(Diagnostic::error(Code::G0301, None, message)));
        }
        let mut held = Vec::new();
        for (id, array) in inputs.iter().zip(arguments) {
            let ty = &self.session.unit.inputs[id.index()].ty;
            let expected: Vec<usize> = ty.axes.iter().map(|a| bound.sizes()[a.dim.index()] as usize).collect();
            if array.shape() != expected {
                let message = format!("`{net}` takes an array of shape {expected:?}, got {:?}", array.shape());
                return Err(model.error(Diagnostic::error(Code::G0201, None, message)));
            }
            let memory = stored(array, kind_of(ty.elem), self.session.options.double);
            // SAFETY: `held` keeps the memory until after the run; its shape was just compared.
            unsafe { bound.set_input(*id, memory.as_ptr()) };
            held.push(memory);
        }
        self.session.run(&mut bound).map_err(|d| model.error(d))?;
        let values = bound.values(&output).expect("the function has this output");
        let plan = bound.plan();
        let buffer = plan.outputs.iter().find(|(o, _)| *o == output).map(|(_, b)| plan.buffer(*b)).expect("as above");
        let shape: Vec<usize> = buffer.axes.iter().map(|a| bound.sizes()[a.dim.index()] as usize).collect();
        Ok(ArrayD::from_shape_vec(IxDyn(&shape), values).expect("a buffer has as many entries as its axes say"))
    }

    /// Writes the run's folder; see [`gannet_runtime::record`].
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        gannet_runtime::record::write(folder, &self.session, &self.outcome).map_err(|d| self.model.error(d))
    }
}

fn stored(array: &ArrayD<f64>, kind: gannet_compiler::plan::Kind, double: bool) -> Memory {
    use gannet_compiler::plan::Kind;
    let bytes: Vec<u8> = array
        .iter()
        .flat_map(|x| match kind {
            Kind::Real if double => x.to_ne_bytes().to_vec(),
            Kind::Real => (*x as f32).to_ne_bytes().to_vec(),
            Kind::Int => (*x as i32).to_ne_bytes().to_vec(),
            Kind::Bool => vec![u8::from(*x != 0.0)],
        })
        .collect();
    let mut memory = Memory::zeroed(bytes.len());
    memory.bytes_mut()[..bytes.len()].copy_from_slice(&bytes);
    memory
}
