//! Machine code for the bodies of a plan, by Cranelift.
//! Law: it makes no choices; results do not depend on how the outermost loop's range is split.
//!
//! Vectors have 256 bits where the processor has AVX2, by an assembler of our own (see [`wide`]), else 128 bits, by
//! Cranelift: eight or four lanes of f32, with the same results. Double precision runs one entry at a time. Cranelift's
//! `opt_level` is `none`: hoisting is done here, and its optimizer would undo it.

mod body;
mod host;
mod loops;
mod math;
mod ops;
mod place;
#[cfg(test)]
mod tests;
mod wide;

use crate::plan::{Kernel, Loop, Mode, Plan, Stmt};
use body::{Lanes, Lower};
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::{AbiParam, ExternalName, Function, Signature, types};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, ModuleReloc, ModuleRelocTarget};

/// What compiled code is called with.
#[repr(C)]
#[derive(Debug)]
pub struct Context {
    buffers: *const *mut u8,
    sizes: *const i64,
    hypers: *const f64,
    step: f64,
    seed: u64,
}

// SAFETY: the pointed-to tables are only read, and outlive the call; kernels write disjoint entries of buffers.
unsafe impl Sync for Context {}

impl Context {
    /// Buffers by `BufferId`, sizes by `DimId`, hyperparameters by `HyperId`. The slices outlive every call.
    pub fn new(buffers: &[*mut u8], sizes: &[i64], hypers: &[f64], step: f64, seed: u64) -> Context {
        Context { buffers: buffers.as_ptr(), sizes: sizes.as_ptr(), hypers: hypers.as_ptr(), step, seed }
    }
}

/// Runs iterations `lo..hi` of a traversal's outermost loop.
///
/// # Safety
/// The context belongs to the plan that the code was compiled from, with all its buffers in place.
pub type TraversalFn = unsafe extern "C" fn(context: *const Context, lo: i64, hi: i64);

/// Runs an epilogue over rows `m0..m1` and columns `n0..n1`; entry (m, n) of the tile lies at
/// `tile[(m - m0) * row_stride + (n - n0)]`.
///
/// # Safety
/// As for [`TraversalFn`], with the context as bytes.
pub type EpilogueFn =
    unsafe extern "C" fn(context: *const u8, tile: *const u8, row_stride: i64, m0: i64, m1: i64, n0: i64, n1: i64);

/// Machine code of a plan; freed when dropped.
pub struct Compiled {
    module: Option<JITModule>,
    functions: Vec<Option<FuncId>>,
    bytes: Vec<u8>,
    /// How many functions have vectors of 256 bits.
    wide: usize,
}

// SAFETY: after `compile` the module is only read.
unsafe impl Send for Compiled {}
// SAFETY: as above.
unsafe impl Sync for Compiled {}

impl Compiled {
    fn address(&self, kernel: usize) -> Option<*const u8> {
        let id = self.functions.get(kernel).copied().flatten()?;
        Some(self.module.as_ref()?.get_finalized_function(id))
    }

    /// The code of a traversal.
    pub fn traversal(&self, kernel: usize) -> Option<TraversalFn> {
        // SAFETY: `compile` gave the function of a traversal this signature.
        self.address(kernel).map(|a| unsafe { std::mem::transmute::<*const u8, TraversalFn>(a) })
    }

    /// The bytes of all functions in order, before addresses of host functions are filled in.
    pub fn code_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many functions have vectors of 256 bits.
    pub fn wide(&self) -> usize {
        self.wide
    }

    /// The code of a contraction's epilogue, if it has one.
    pub fn epilogue(&self, kernel: usize) -> Option<EpilogueFn> {
        // SAFETY: `compile` gave the function of an epilogue this signature.
        self.address(kernel).map(|a| unsafe { std::mem::transmute::<*const u8, EpilogueFn>(a) })
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: the functions handed out are called only while the plan's executable, which owns this, lives.
            unsafe { module.free_memory() };
        }
    }
}

/// Compiles all bodies of a plan.
pub fn compile(plan: &Plan) -> Compiled {
    compile_for(plan, wide::is_possible())
}

/// Compiles all bodies, with vectors of 256 bits where that is wanted and possible.
fn compile_for(plan: &Plan, wide: bool) -> Compiled {
    let mut module = new_module();
    let mut functions = Vec::new();
    let mut frontend = FunctionBuilderContext::new();
    let mut context = module.make_context();
    let (mut bytes, mut wides) = (Vec::new(), 0);
    for (k, kernel) in plan.kernels.iter().enumerate() {
        let Some(signature) = signature(kernel, &module) else {
            functions.push(None);
            continue;
        };
        let name = format!("k{k}");
        let id = module.declare_function(&name, Linkage::Local, &signature).expect("kernel names differ");
        functions.push(Some(id));
        let together = together(plan, kernel);
        if wide && together == Some(8) {
            let lanes = Lanes { together: 8, vector: 8 };
            context.func.signature = signature.clone();
            build(plan, kernel, lanes, &mut module, &mut context.func, &mut frontend);
            let object = wide::assemble(&context.func);
            let defined = object.is_some_and(|o| define_wide(&mut module, id, &context.func, &o, &mut bytes));
            module.clear_context(&mut context);
            if defined {
                wides += 1;
                continue;
            }
        }
        let lanes = Lanes { together: together.unwrap_or(4), vector: 4 };
        context.func.signature = signature;
        build(plan, kernel, lanes, &mut module, &mut context.func, &mut frontend);
        module.define_function(id, &mut context).unwrap_or_else(|e| panic!("kernel {k} does not compile: {e:?}"));
        bytes.extend_from_slice(context.compiled_code().expect("just compiled").code_buffer());
        module.clear_context(&mut context);
    }
    module.finalize_definitions().expect("all host functions are known");
    Compiled { module: Some(module), functions, bytes, wide: wides }
}

/// Gives a function the code that was assembled for it.
fn define_wide(
    module: &mut JITModule,
    id: FuncId,
    func: &Function,
    object: &wide::Object,
    bytes: &mut Vec<u8>,
) -> bool {
    let mut addresses = Vec::new();
    for (offset, call) in &object.calls {
        let ExternalName::User(name) = func.dfg.ext_funcs[*call].name else { return false };
        let name = &func.params.user_named_funcs()[name];
        let name = ModuleRelocTarget::user(name.namespace, name.index);
        addresses.push(ModuleReloc { offset: *offset, kind: Reloc::Abs8, name, addend: 0 });
    }
    module.define_function_bytes(id, wide::ALIGNMENT, &object.bytes, &addresses).expect("it is defined once");
    bytes.extend_from_slice(&object.bytes);
    true
}

/// How many entries the vector loops of a kernel take at once; `None` if it has none. Short loops take four, so that
/// few entries are left over.
fn together(plan: &Plan, kernel: &Kernel) -> Option<i64> {
    fn least(l: &Loop) -> Option<i64> {
        let own = (l.mode == Mode::Vector).then(|| l.range.known().unwrap_or(i64::MAX));
        let inner = l.body.iter().filter_map(|s| if let Stmt::Loop(l) = s { least(l) } else { None });
        inner.chain(own).min()
    }
    let outer = match kernel {
        Kernel::Traversal(t) => &t.outer,
        Kernel::Contraction(c) => &c.epilogue.as_ref()?.rows,
        Kernel::Library(_) | Kernel::Repeat(_) => return None,
    };
    let least = least(outer).filter(|_| !plan.double)?;
    Some(if least < 8 { 4 } else { 8 })
}

/// The Cranelift text of all bodies, for `--emit clif`, in the form that does not halve vectors of eight entries.
pub fn clif(plan: &Plan) -> String {
    let mut module = new_module();
    let mut frontend = FunctionBuilderContext::new();
    let mut out = String::new();
    for (k, kernel) in plan.kernels.iter().enumerate() {
        if let Kernel::Repeat(c) = kernel {
            out.push_str(&format!("; kernel {k}: the step of {}\n{}", c.name, clif(&c.step)));
        }
        let Some(signature) = signature(kernel, &module) else { continue };
        let mut context = module.make_context();
        context.func.signature = signature;
        let together = together(plan, kernel).unwrap_or(4);
        let lanes = Lanes { together, vector: together };
        build(plan, kernel, lanes, &mut module, &mut context.func, &mut frontend);
        let name = match kernel {
            Kernel::Traversal(t) => &t.name,
            Kernel::Contraction(c) => &c.name,
            Kernel::Library(_) | Kernel::Repeat(_) => unreachable!("it has no signature"),
        };
        out.push_str(&format!("; kernel {k}: {name}\n{}\n", context.func.display()));
    }
    out
}

fn new_module() -> JITModule {
    let mut flags = settings::builder();
    for (name, value) in [
        ("opt_level", "none"),
        ("is_pic", "false"),
        ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
    ] {
        flags.set(name, value).expect("the setting exists");
    }
    let isa = cranelift_native::builder().expect("the processor is known to Cranelift");
    let isa = isa.finish(settings::Flags::new(flags)).expect("the settings fit the processor");
    let mut builder = JITBuilder::with_isa(isa, cranelift_module::default_libcall_names());
    for (name, address) in host::symbols() {
        builder.symbol(name, address);
    }
    JITModule::new(builder)
}

fn signature(kernel: &Kernel, module: &JITModule) -> Option<Signature> {
    let count = match kernel {
        Kernel::Traversal(_) => 3,
        Kernel::Contraction(c) if c.epilogue.is_some() => 7,
        Kernel::Contraction(_) | Kernel::Library(_) | Kernel::Repeat(_) => return None,
    };
    let mut signature = module.make_signature();
    signature.params = vec![AbiParam::new(types::I64); count];
    Some(signature)
}

fn build(
    plan: &Plan,
    kernel: &Kernel,
    lanes: Lanes,
    module: &mut JITModule,
    func: &mut Function,
    frontend: &mut FunctionBuilderContext,
) {
    let config = module.target_config();
    let mut b = FunctionBuilder::new(func, frontend);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let params: Vec<_> = b.block_params(entry).to_vec();
    let scope = match kernel {
        Kernel::Traversal(t) => &t.scope,
        Kernel::Contraction(c) => &c.epilogue.as_ref().expect("only epilogues are compiled").scope,
        Kernel::Library(_) | Kernel::Repeat(_) => unreachable!("it has no signature"),
    };
    let fused = has_fma(module);
    let mut lower = Lower::new(plan, scope, module, b, params[0]);
    lower.fused = fused;
    lower.lanes = lanes;
    match kernel {
        Kernel::Traversal(t) => lower.traversal(t, params[1], params[2]),
        Kernel::Contraction(c) => lower.epilogue(c.epilogue.as_ref().expect("as above"), &params),
        Kernel::Library(_) | Kernel::Repeat(_) => unreachable!("it has no signature"),
    }
    lower.finish(config);
}

/// Only x86-64 has processors without a fused multiply-add; there Cranelift would call a function for each.
fn has_fma(module: &JITModule) -> bool {
    let flags = module.isa().isa_flags();
    flags.iter().filter(|f| f.name == "has_fma").all(|f| f.as_bool() == Some(true))
}
