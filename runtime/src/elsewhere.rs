//! What a session holds on a device that is not the CPU.
//! Law: the host's parameters and states are those of now whenever no step loop runs.

use crate::device::Bound;
#[cfg(feature = "gpu")]
use crate::device::gpu;
use crate::device::{Adapter, Choice};
#[cfg(feature = "gpu")]
use crate::session::kind_of;
use crate::session::{Options, Session};
#[cfg(feature = "gpu")]
use gannet_compiler::plan::Plan;
use gannet_lang::diag::{Code, Diagnostic};
#[cfg(feature = "gpu")]
use gannet_lang::program::Ty;
use gannet_lang::program::Unit;
#[cfg(feature = "gpu")]
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// The device's side of a session.
pub struct Other {
    #[cfg(feature = "gpu")]
    store: Arc<gpu::Store>,
    #[cfg(feature = "gpu")]
    plans: BTreeMap<String, Arc<Plan>>,
    /// What it is.
    pub adapter: Adapter,
}

impl Other {
    /// Opens the device that the options choose; `None`: the CPU.
    ///
    /// # Errors
    /// A GPU is asked for, and there is none, or it cannot run this.
    pub fn chosen(options: &Options, unit: &Unit, sizes: &[u64], double: bool) -> Result<Option<Other>, Diagnostic> {
        match options.device {
            Choice::Cpu => Ok(None),
            Choice::Auto if double => Ok(None),
            Choice::Gpu if double => Err(Diagnostic::error(Code::G0609, None, "GPUs compute in single precision here")
                .hint("`--real f32`, or `--device cpu`")),
            Choice::Gpu => Other::open(unit, sizes).map(Some),
            // A GPU that is emulated is slower than the CPU that emulates it.
            Choice::Auto => Ok(Other::open(unit, sizes).ok().filter(|o| !o.adapter.software)),
        }
    }

    #[cfg(feature = "gpu")]
    fn open(unit: &Unit, sizes: &[u64]) -> Result<Other, Diagnostic> {
        let gpu = gpu::Gpu::shared()?;
        let adapter = gpu.adapter.clone();
        let entries = |ty: &Ty| ty.axes.iter().map(|a| sizes[a.dim.index()]).product::<u64>();
        let of = |ty: &Ty| (entries(ty), kind_of(ty.elem));
        let params: Vec<_> = unit.params.iter().map(|p| of(&p.ty)).collect();
        let states: Vec<_> = unit.states.iter().map(|s| of(&s.ty)).collect();
        let store = Arc::new(gpu::Store::new(gpu, &params, &states)?);
        Ok(Other { store, plans: BTreeMap::new(), adapter })
    }

    #[cfg(not(feature = "gpu"))]
    fn open(_: &Unit, _: &[u64]) -> Result<Other, Diagnostic> {
        Err(Diagnostic::error(Code::G0608, None, "this Gannet was built without GPUs")
            .hint("build it with the feature `gpu`, or run on the CPU with `--device cpu`"))
    }

    /// Kernels that one call of a function runs, if it was bound.
    pub fn kernels(&self, name: &str) -> Option<usize> {
        #[cfg(feature = "gpu")]
        let found = self.plans.get(name).map(|p| p.kernels.len());
        #[cfg(not(feature = "gpu"))]
        let found = None.filter(|_: &usize| !name.is_empty());
        found
    }
}

impl Session {
    /// Binds a function on the other device.
    #[cfg(feature = "gpu")]
    pub(crate) fn bound_elsewhere(&mut self, name: &str, sizes: &[u64]) -> Result<Bound, Diagnostic> {
        let known = self.other.as_ref().and_then(|o| o.plans.get(name).cloned());
        let plan = known.unwrap_or_else(|| {
            let start = Instant::now();
            let plan = Arc::new(self.plan(name));
            self.compile_time.push((name.to_string(), start.elapsed()));
            plan
        });
        let other = self.other.as_mut().expect("the caller knows that there is one");
        other.plans.insert(name.to_string(), plan.clone());
        gpu::Bound::new(&plan, sizes, &other.store).map(Bound::Gpu)
    }

    #[cfg(not(feature = "gpu"))]
    pub(crate) fn bound_elsewhere(&mut self, _: &str, _: &[u64]) -> Result<Bound, Diagnostic> {
        unreachable!("without GPUs there is no other device")
    }

    /// The host's parameters or states were changed.
    pub(crate) fn host_changed(&self) {
        #[cfg(feature = "gpu")]
        if let Some(other) = &self.other {
            other.store.host_changed();
        }
    }

    /// Brings parameters and states to the host, where they are newer on the device.
    ///
    /// # Errors
    /// A lost device.
    pub fn fetch(&mut self) -> Result<(), Diagnostic> {
        #[cfg(feature = "gpu")]
        if let Some(other) = &self.other {
            other.store.pull(&mut self.store)?;
        }
        Ok(())
    }

    /// Where it runs, if not on the CPU.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.other.as_ref().map(|o| &o.adapter)
    }
}
