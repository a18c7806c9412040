//! A long model file, as a group of people would have after a year: what `gannet bench check` reads.
//! Law: every declaration is used by a program, so that checking it means elaborating it, and no two are the same.

use std::fmt::Write;

/// Families of declarations in the file; each is about fifty lines.
const FAMILIES: usize = 20;

/// A right program of at least a thousand lines.
pub fn source() -> String {
    let mut text = String::from(
        "# A long file: twenty families of functions, nets, rules and programs.\n\n\
         dim pixel = 64\ndim class = 10\n\n\
         data digits from \"data/digits.csv\" {\n  image: real[pixel] = columns 0..64 / 16\n  \
         label: class       = column 64\n  split test 20%\n}\n",
    );
    (0..FAMILIES).for_each(|k| family(&mut text, k));
    text
}

/// Functions, a block, a network of such blocks, a rule, and what trains and checks them.
fn family(text: &mut String, k: usize) {
    let width = 32 + 8 * (k % 5);
    let rate = 1 + k % 9;
    let body = FAMILY.replace("{k}", &k.to_string());
    let body = body.replace("{width}", &width.to_string()).replace("{rate}", &rate.to_string());
    writeln!(text, "\n{}", body.trim()).expect("a text takes what is written to it");
}

const FAMILY: &str = "
# Family {k}: a gated residual network with attention over its hidden units.
fn gate{k}(x, s = 1.702) = x * sigmoid(s * x)

fn huber{k}(x, d = 0.{rate}) = if abs(x) < d then x^2 / 2 else d * (abs(x) - d / 2)

fn scores{k}(q, k) = sum[pixel](q * k) / sqrt(64)

# A block keeps the width of what it is given.
net block{k}(hidden: dim)(x: real[.., c]) -> real[.., c] {
  param scale: real[c] = 1 role scale
  h = gate{k}(linear(hidden)(layernorm()(x)))
  h = gate{k}(linear(hidden)(h)) + h
  y = linear(c)(h)
  x + scale * y
}

net network{k}(x: real[batch, pixel]) -> real[batch, class] {
  param q: real[pixel, {width}] ~ glorot
  param k: real[pixel, {width}] ~ glorot
  left = x @ q
  right = x @ k
  a[b, i, j] = left[b, i] * right[b, j] / {width}
  mixed[b, i] = sum[j](softmax[j](a[b, i, j]) * right[b, j])
  h = relu(linear({width})(mixed))
  h = block{k}(2 * {width})(h)
  h = dropout(0.{rate})(h)
  h = block{k}(3 * {width})(h)
  linear(class)(h)
}

rule descent{k}(lr = 0.0{rate}, keep = 0.9, eps = 1e-8) on w with g {
  state m = 0, v = 0
  m' = keep*m + (1 - keep)*g
  v' = max(keep*v, g^2)
  each weight {
    w' = w - lr * m' / (sqrt(v') + eps) - lr * 1e-4 * w
  } else {
    w' = w - lr * m' / (sqrt(v') + eps)
  }
}

train run{k}(lr = 3e-{rate}) on digits {
  net f = network{k}
  scores = f(image)
  distance = mean[class](huber{k}(scores))
  minimize cross_entropy(scores, label) + 1e-3 * distance over f by clip(1) |> descent{k}(lr)
  batch 32
  epochs {rate}
  report accuracy = mean(argmax[class](scores) == label)
  report train_accuracy = mean(argmax[class](scores) == label) on train
}

check \"family {k} learns\" { run{k}(seed = 1).accuracy > 0.8 }
";
