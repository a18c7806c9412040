//! Every update rule of the standard library against its paper's equations, written again here in plain Rust.
//! Law: after 50 steps the parameters agree to 1e-6, and nothing here shares code with what it tests.

use gannet::{Model, Options};

const N: usize = 5;
const STEPS: i32 = 50;
const LR: f64 = 0.05;

type Vector = [f64; N];

fn map(f: impl Fn(usize) -> f64) -> Vector {
    std::array::from_fn(f)
}

fn norm(x: &Vector) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The gradient of sum_i (1 + i)/2 (w_i - i/10)^2 + (sum_i w_i)^2 / 10.
fn gradient(w: &Vector) -> Vector {
    let total: f64 = w.iter().sum();
    map(|i| (1.0 + i as f64) * (w[i] - 0.1 * i as f64) + 0.2 * total)
}

/// Moments of Adam and its relatives: exponential averages of gradients and of their squares, without correction.
#[derive(Default)]
struct Moments {
    m: Vector,
    v: Vector,
}

impl Moments {
    /// Kingma and Ba 2015, algorithm 1, with b1 = 0.9 and b2 = 0.999: the corrected averages at step t.
    fn next(&mut self, g: &Vector, t: i32) -> (Vector, Vector) {
        self.m = map(|i| 0.9 * self.m[i] + 0.1 * g[i]);
        self.v = map(|i| 0.999 * self.v[i] + 0.001 * g[i] * g[i]);
        (map(|i| self.m[i] / (1.0 - 0.9f64.powi(t))), map(|i| self.v[i] / (1.0 - 0.999f64.powi(t))))
    }
}

/// The parameters after every step of `update(w, t)`.
fn trajectory(mut update: impl FnMut(&Vector, i32) -> Vector) -> Vec<Vector> {
    let mut w = map(|i| 0.3 * i as f64 - 0.7);
    let mut out = Vec::new();
    for t in 1..=STEPS {
        w = update(&w, t);
        out.push(w);
    }
    out
}

/// The parameters that Gannet has after so many steps under a rule.
fn gannet(rule: &str, steps: i32) -> Vec<f64> {
    let source = format!(
        "dim n = 5\nstart[i: n] = 0.3*i - 0.7\n\n\
         train run(lr = {LR}) {{\n  param w: real[n] = start\n  \
         minimize sum[i](0.5*(1 + i)*(w[i] - 0.1*i)^2) + 0.1*sum(w)^2 over w by {rule}\n  steps {steps}\n}}\n"
    );
    let model = Model::from_source("rules.gnt", &source).unwrap_or_else(|e| panic!("{rule}:\n{e}"));
    let options = Options { double: true, threads: 1, ..Options::default() };
    let run = model.train("run", &options).unwrap_or_else(|e| panic!("{rule}:\n{e}"));
    run.param("w").expect("the parameter is named w").iter().copied().collect()
}

/// Compares at the first step, which shows bias corrections, amid the run, and at its end.
fn agrees(rule: &str, update: impl FnMut(&Vector, i32) -> Vector) {
    let expected = trajectory(update);
    for steps in [1, 2, 17, STEPS] {
        let expected = expected[steps as usize - 1];
        let got = gannet(rule, steps);
        assert_eq!(got.len(), N);
        for i in 0..N {
            let close = (got[i] - expected[i]).abs() <= 1e-6 * expected[i].abs().max(1e-3);
            assert!(close, "{rule}, step {steps}, entry {i}: {} instead of {}", got[i], expected[i]);
        }
    }
}

#[test]
fn gradient_descent() {
    agrees("sgd(lr)", |w, _| {
        let g = gradient(w);
        map(|i| w[i] - LR * g[i])
    });
}

/// Polyak 1964: the heavy ball, w_{t+1} = w_t - a g_t + b (w_t - w_{t-1}).
#[test]
fn heavy_ball() {
    let mut before = None;
    agrees("sgd(lr, momentum = 0.9)", |w, _| {
        let g = gradient(w);
        let last = before.replace(*w).unwrap_or(*w);
        map(|i| w[i] - LR * g[i] + 0.9 * (w[i] - last[i]))
    });
}

/// Sutskever et al. 2013, equations 3 and 4, at the point looked ahead to: y = theta + mu v, where gradients are taken.
#[test]
fn nesterov() {
    let mut velocity = Vector::default();
    agrees("nesterov(lr, momentum = 0.8)", |y, _| {
        let theta = map(|i| y[i] - 0.8 * velocity[i]);
        let g = gradient(y);
        velocity = map(|i| 0.8 * velocity[i] - LR * g[i]);
        map(|i| theta[i] + velocity[i] + 0.8 * velocity[i])
    });
}

/// Duchi, Hazan and Singer 2011: the diagonal form.
#[test]
fn adagrad() {
    let mut sums = Vector::default();
    agrees("adagrad(lr)", |w, _| {
        let g = gradient(w);
        sums = map(|i| sums[i] + g[i] * g[i]);
        map(|i| w[i] - LR / (sums[i].sqrt() + 1e-10) * g[i])
    });
}

/// Tieleman and Hinton 2012, lecture 6.5.
#[test]
fn rmsprop() {
    let mut square = Vector::default();
    agrees("rmsprop(lr, decay = 0.9)", |w, _| {
        let g = gradient(w);
        square = map(|i| 0.9 * square[i] + 0.1 * g[i] * g[i]);
        map(|i| w[i] - LR * g[i] / (square[i].sqrt() + 1e-8))
    });
}

#[test]
fn adam() {
    let mut moments = Moments::default();
    agrees("adam(lr)", |w, t| {
        let (m, v) = moments.next(&gradient(w), t);
        map(|i| w[i] - LR * m[i] / (v[i].sqrt() + 1e-8))
    });
}

/// Loshchilov and Hutter 2019, algorithm 2, the decay scaled by the learning rate as in common use.
#[test]
fn adamw() {
    let mut moments = Moments::default();
    agrees("adamw(lr, decay = 0.1)", |w, t| {
        let (m, v) = moments.next(&gradient(w), t);
        map(|i| (1.0 - LR * 0.1) * w[i] - LR * m[i] / (v[i].sqrt() + 1e-8))
    });
}

/// Reddi, Kale and Kumar 2018, algorithm 2, with Adam's corrections; the maximum is over uncorrected averages.
#[test]
fn amsgrad() {
    let (mut moments, mut top) = (Moments::default(), Vector::default());
    agrees("amsgrad(lr)", |w, t| {
        let (m, _) = moments.next(&gradient(w), t);
        top = map(|i| top[i].max(moments.v[i]));
        map(|i| w[i] - LR * m[i] / ((top[i] / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8))
    });
}

/// Dozat 2016, algorithm 2, with mu_t = 0.9 for all t.
#[test]
fn nadam() {
    let mut moments = Moments::default();
    agrees("nadam(lr)", |w, t| {
        let g = gradient(w);
        let (_, v) = moments.next(&g, t);
        let products = (0.9f64.powi(t), 0.9f64.powi(t + 1));
        let ahead = map(|i| 0.9 * moments.m[i] / (1.0 - products.1) + 0.1 * g[i] / (1.0 - products.0));
        map(|i| w[i] - LR * ahead[i] / (v[i].sqrt() + 1e-8))
    });
}

/// Zhuang et al. 2020, algorithm 2: the square of the surprise g - m in place of that of g.
#[test]
fn adabelief() {
    let (mut m, mut s) = (Vector::default(), Vector::default());
    agrees("adabelief(lr)", |w, t| {
        let g = gradient(w);
        m = map(|i| 0.9 * m[i] + 0.1 * g[i]);
        s = map(|i| 0.999 * s[i] + 0.001 * (g[i] - m[i]).powi(2) + 1e-16);
        let (cm, cs) = (1.0 - 0.9f64.powi(t), 1.0 - 0.999f64.powi(t));
        map(|i| w[i] - LR * (m[i] / cm) / ((s[i] / cs).sqrt() + 1e-16))
    });
}

/// Chen et al. 2023, algorithm 2: the direction is a sign, the average moves after it.
#[test]
fn lion() {
    let mut m = Vector::default();
    agrees("lion(lr, decay = 0.1)", |w, _| {
        let g = gradient(w);
        let c = map(|i| 0.9 * m[i] + 0.1 * g[i]);
        m = map(|i| 0.99 * m[i] + 0.01 * g[i]);
        map(|i| w[i] - LR * (if c[i] == 0.0 { 0.0 } else { c[i].signum() } + 0.1 * w[i]))
    });
}

/// You et al. 2020, algorithm 2, with phi(z) = z.
#[test]
fn lamb() {
    let mut moments = Moments::default();
    agrees("lamb(lr, decay = 0.1)", |w, t| {
        let (m, v) = moments.next(&gradient(w), t);
        let r = map(|i| m[i] / (v[i].sqrt() + 1e-6) + 0.1 * w[i]);
        let ratio = norm(w) / norm(&r);
        map(|i| w[i] - LR * ratio * r[i])
    });
}

/// Foret et al. 2021, algorithm 1 with p = 2, over gradient descent.
#[test]
fn sharpness_aware() {
    agrees("sam(sgd(lr), rho = 0.2)", |w, _| {
        let g = gradient(w);
        let scale = 0.2 / (norm(&g) + 1e-12);
        let worst = gradient(&map(|i| w[i] + scale * g[i]));
        map(|i| w[i] - LR * worst[i])
    });
}

/// Pascanu, Mikolov and Bengio 2013, algorithm 1.
#[test]
fn clipping() {
    let mut clipped = 0;
    agrees("clip(0.5) |> sgd(lr)", |w, _| {
        let mut g = gradient(w);
        let length = norm(&g);
        if length > 0.5 {
            clipped += 1;
            g = map(|i| 0.5 / length * g[i]);
        }
        map(|i| w[i] - LR * g[i])
    });
    assert!(0 < clipped && clipped < STEPS, "both cases occur: {clipped}");
}

/// The gradient is that at the weights before they decay.
#[test]
fn decay() {
    agrees("decay(0.01) |> sgd(lr)", |w, _| {
        let g = gradient(w);
        map(|i| 0.99 * w[i] - LR * g[i])
    });
}

/// Loshchilov and Hutter 2017, equation 5, falling to nought, after a linear rise.
#[test]
fn warm_start_and_cosine() {
    agrees("sgd(warmup_cosine(lr, 10, 40, t))", |w, t| {
        let t = f64::from(t);
        let part = std::f64::consts::PI * ((t - 10.0) / 30.0).min(1.0);
        let rate = if t < 10.0 { LR * t / 10.0 } else { LR / 2.0 * (1.0 + part.cos()) };
        let g = gradient(w);
        map(|i| w[i] - rate * g[i])
    });
}
