//! Whole kernels: epilogues, determinism of the emitted bytes, the Cranelift text.

use super::*;
use crate::emit::cpu::clif;

/// `y[m, n] = relu(tile[m, n] + bias[n]) * scale[m]`.
fn epilogue() -> Plan {
    let mut b = Builder::new(2);
    let (rows, columns) = (b.loop_id(), b.loop_id());
    let (bias, scale) = (b.buffer(Kind::Real, &[1]), b.buffer(Kind::Real, &[0]));
    let y = b.buffer(Kind::Real, &[0, 1]);
    let mut body = vec![];
    let s = b.put(&mut body, Kind::Real, Inst::Load(scale, at(&[(rows, one())])));
    let mut inner = vec![];
    let t = b.put(&mut inner, Kind::Real, Inst::Tile);
    let c = b.put(&mut inner, Kind::Real, Inst::Load(bias, at(&[(columns, one())])));
    let z = b.map(&mut inner, Kind::Real, Fun::Add, &[t, c]);
    let zero = b.put(&mut inner, Kind::Real, Inst::Const(0.0));
    let z = b.map(&mut inner, Kind::Real, Fun::Max, &[z, zero]);
    let z = b.map(&mut inner, Kind::Real, Fun::Mul, &[z, s]);
    inner.push(Stmt::Store(y, at(&[(rows, size(1)), (columns, one())]), z));
    body.push(Stmt::Loop(over(columns, 1, Mode::Vector, vec![], inner)));
    let nest = over(rows, 0, Mode::Serial, vec![], body);
    let access = Access { buffer: y, batch: vec![], rows: vec![size(1)], columns: vec![one()], offset: vec![] };
    let (name, span, scope) = ("product".to_string(), Span::default(), b.scope);
    let kernel = Contraction {
        name,
        span,
        batch: vec![],
        m: vec![size(0)],
        n: vec![size(1)],
        k: vec![one()],
        a: access.clone(),
        b: access,
        c: None,
        epilogue: Some(Epilogue { scope, rows: nest, columns }),
    };
    b.plan.kernels.push(Kernel::Contraction(Box::new(kernel)));
    b.plan.only.push(vec![]);
    b.plan
}

#[test]
fn epilogues_take_tiles() {
    let plan = epilogue();
    let code = compile(&plan);
    let call = code.epilogue(0).expect("the contraction has an epilogue");
    let (m, n) = (7usize, 21usize);
    let mut numbers = Numbers(4);
    let as_f32 = |x: Vec<f64>| -> Vec<f32> { x.iter().map(|x| *x as f32).collect() };
    let (bias, scale) = (as_f32(numbers.reals(n)), as_f32(numbers.reals(m)));
    let product = as_f32(numbers.reals(m * n));
    let mut y = vec![0f32; m * n];
    let pointers = [bias.as_ptr() as *mut u8, scale.as_ptr() as *mut u8, y.as_mut_ptr().cast()];
    let sizes = [m as i64, n as i64];
    let context = Context::new(&pointers, &sizes, HYPERS, STEP, SEED);
    for (m0, m1, n0, n1) in [(0, 3, 0, 21), (3, 7, 0, 5), (3, 7, 5, 21), (2, 2, 0, 21)] {
        // A tile of its own with rows further apart than it is wide.
        let stride = n1 - n0 + 3;
        let mut tile = vec![f32::NAN; (m1 - m0) * stride];
        for i in m0..m1 {
            for j in n0..n1 {
                tile[(i - m0) * stride + j - n0] = product[i * n + j];
            }
        }
        let [s, m0, m1, n0, n1] = [stride, m0, m1, n0, n1].map(|x| x as i64);
        // SAFETY: the context holds the plan's buffers; the tile holds the entries asked for.
        unsafe { call(std::ptr::from_ref(&context).cast(), tile.as_ptr().cast(), s, m0, m1, n0, n1) };
    }
    for i in 0..m {
        for j in 0..n {
            let want = (product[i * n + j] + bias[j]).max(0.0) * scale[i];
            assert_eq!(y[i * n + j], want, "entry {i}, {j}");
        }
    }
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    for plan in [epilogue(), super::loops::softmax(Mode::Vector)] {
        let (a, b) = (compile(&plan), compile(&plan));
        assert!(!a.code_bytes().is_empty());
        assert_eq!(a.code_bytes(), b.code_bytes());
        assert_eq!(clif(&plan), clif(&plan));
    }
}

#[test]
fn code_is_shared_by_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&compile(&epilogue()));
}

/// `y[i] = max(x[i] * h0 + 1, 0)`, whose text shows what is moved out of the loops and how lanes are followed by single
/// entries.
#[cfg(target_arch = "x86_64")]
#[test]
fn text_of_a_small_kernel() {
    // Without a fused multiply-add the text is another.
    if !std::arch::is_x86_feature_detected!("fma") {
        return;
    }
    let mut b = Builder::new(1);
    let i = b.loop_id();
    let (x, y) = (b.buffer(Kind::Real, &[0]), b.buffer(Kind::Real, &[0]));
    let mut body = vec![];
    let entry = at(&[(i, one())]);
    let v = b.put(&mut body, Kind::Real, Inst::Load(x, entry.clone()));
    let h = b.put(&mut body, Kind::Real, Inst::Hyper(gannet_lang::program::HyperId(0)));
    let p = b.map(&mut body, Kind::Real, Fun::Mul, &[v, h]);
    let [c, zero] = [1.0, 0.0].map(|n| b.put(&mut body, Kind::Real, Inst::Const(n)));
    let s = b.map(&mut body, Kind::Real, Fun::Add, &[p, c]);
    let m = b.map(&mut body, Kind::Real, Fun::Max, &[s, zero]);
    body.push(Stmt::Store(y, entry, m));
    let plan = b.finish(over(i, 0, Mode::Vector, vec![], body));
    // The convention of calls is the machine's.
    let text = clif(&plan).replace(" system_v", "").replace(" apple_aarch64", "").replace(" windows_fastcall", "");
    insta::assert_snapshot!(text);
}
