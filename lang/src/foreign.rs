//! Words of Python, PyTorch and JAX, and what Gannet has in their place.
//! Law: a habit from there is named as such, and the answer is a line of Gannet; nothing here changes what is accepted.

/// What a keyword of another language is here.
pub fn keyword(word: &str) -> Option<&'static str> {
    Some(match word {
        "let" | "var" | "val" | "global" | "nonlocal" => "an equation is written `x = ...`",
        "return" | "yield" => "the last line of a block is its value",
        "def" | "function" | "func" => "a function is declared by `fn f(x) = ...`, a layer by `net f(x) { ... }`",
        "lambda" => "a function without a name is written `x => x^2`",
        "import" | "from" => "write `use std.rules` or `use \"other.gnt\" { name }`",
        "class" | "self" | "super" => "a layer is a `net`: its `param`s are its fields, and its last line is its value",
        "elif" => "write `else if`",
        "del" | "pass" | "async" | "await" | "try" | "except" | "raise" => {
            "there is no such statement: a block holds equations and ends in its value"
        }
        "while" => "a loop is written `iterate while x > 1 max 30 from x = 8 { x' = x/2 }`",
        "assert" => "a claim is written `check \"text\" { condition }`",
        "print" => "values are shown by `report name = value` in a train block or task",
        _ => return None,
    })
}

/// What an operator of another language is here.
pub fn operator(sign: &str) -> Option<&'static str> {
    Some(match sign {
        "**" => "a power is written `x^2`",
        "&&" | "&" => "write `and`",
        "||" => "write `or`",
        "!" => "write `not x`, and `!=` for `is not equal`",
        "//" | "/*" => "a comment begins with `#`; whole division is `a div b`",
        "+=" | "-=" | "*=" | "/=" => {
            "values do not change: a new value gets a name, and the next value of a state is written `w' = w + ...`"
        }
        "<<" | ">>" => "multiply or divide by a power of two",
        "?" => "a choice is written `if c then a else b`",
        "%" => "the remainder is written `a mod b`; a percentage is a number with `%` right behind it",
        _ => return None,
    })
}

/// What a library of Python is for, here.
pub fn module(name: &str) -> Option<&'static str> {
    Some(match name {
        "torch" | "jnp" | "np" | "numpy" | "jax" | "tf" | "tensorflow" | "math" | "lax" => {
            "functions stand alone: `exp(x)`, `relu(x)`, `max(a, b)`; the library's chapter of the book lists them"
        }
        "nn" | "F" | "keras" | "flax" | "linen" | "eqx" | "hk" => {
            "layers and losses stand alone: `linear(128)(x)`, `softmax[class](s)`, `cross_entropy(f(x), label)`"
        }
        "optim" | "optax" | "optimizer" | "opt" | "scheduler" => {
            "a rule is named where the loss is: `minimize loss over f by adam(lr = 1e-3)`; it makes the step"
        }
        "plt" | "wandb" | "logging" => "a curve is drawn by `plot name = value` in a train block",
        "pd" | "pandas" | "dataloader" | "loader" => {
            "data are declared: `data d from \"file.csv\" { x: real[3] = columns 0..3 }`"
        }
        "self" => "what a net's equations define is in sight by its name alone",
        _ => return None,
    })
}

/// What a constant or function of Python is here.
pub fn value(name: &str) -> Option<&'static str> {
    Some(match name {
        "True" | "False" => "truth values are written `true` and `false`",
        "None" | "null" | "nil" => "there is no empty value: leave the argument out, or choose by `if`",
        "range" | "arange" => "a loop is `for k in 3 { ... }`; an index is a variable, as in `y[i] = i * x[i]`",
        "len" => "the size of a dim is its name: `sum[i](x[i]) / n`, or `size(n)`",
        "print" => "values are shown by `report name = value` in a train block or task",
        "float" | "double" => "whole numbers and truth values become reals in arithmetic, or by `real(x)`",
        "zeros" | "ones" | "full" | "zeros_like" | "ones_like" => {
            "a constant fits every shape: `param b: real[out] = 0`, `y[i: n] = 1`"
        }
        "randn" | "rand" | "randint" | "PRNGKey" => {
            "draw by name: `z ~ normal[batch, latent]`; draws are keyed by the run's seed"
        }
        "einsum" => "write the sum: `y[b, o] = sum[i](x[b, i] * w[i, o])`",
        "vmap" => "every equation works along further axes: a batch is one more axis, so there is nothing to map",
        "jit" => "everything is compiled",
        "no_grad" | "detach" | "stop_gradient" => "`stop(x)` is the value without a gradient",
        "value_and_grad" | "jacrev" | "jacfwd" | "hessian" => {
            "the gradient is `grad[w](loss)`, of a vector `J[n] = grad[x](y[n])`; derivatives nest"
        }
        "where" => "write `if c then a else b`: on tensors it selects entry by entry",
        "matmul" | "mm" | "bmm" => "write `x @ w`, or the sum `sum[i](x[.., i] * w[i, o])`",
        "cat" | "concatenate" | "hstack" | "vstack" => "write `concat[dim](a, b)`",
        "transpose" | "permute" | "swapaxes" => {
            "axes have names and no order to change: `w.T` for a matrix, `y[j, i] = x[i, j]` for an order you want to see"
        }
        "reshape" | "view" | "flatten" | "unsqueeze" | "squeeze" | "expand" | "expand_as" | "repeat" => {
            "tensors meet by the names of their dims, so none is reshaped to fit; new axes come by index notation, \
             `y[i, j] = x[4*i + j]`"
        }
        _ => return None,
    })
}

/// What a method or attribute of an array is here.
pub fn method(name: &str) -> Option<String> {
    let known = match name {
        "shape" | "ndim" => "the size of a dim is the dim's name used as a number: `x / class`",
        "dtype" | "device" | "to" | "cuda" | "cpu" | "float" | "double" => {
            "precision is chosen for the whole run: `--real f64`, or `task NAME real f64`"
        }
        "numpy" | "item" | "tolist" => "a value leaves the program by `report name = value`",
        "grad" => "the gradient is an expression: `grad[w](loss)`",
        "backward" | "zero_grad" | "step" => {
            "`minimize loss over f by adam(lr = 1e-3)` takes the gradient and makes the step"
        }
        "t" | "mT" => "a matrix is transposed by `.T`",
        "parameters" | "state_dict" => {
            "the parameters of `f` are `f` itself, a tree: `norm(f)`, `minimize loss over f by ...`"
        }
        "train" | "eval" => "nets are in training in the loss and not in reports; `f.frozen` never is",
        "requires_grad" | "requires_grad_" => {
            "what is declared by `param` is trained, by the `minimize` line that names it"
        }
        "at" => "a tensor with other entries: `x with [i] = v`",
        "clone" | "copy" | "contiguous" => "values do not change, so none needs to be copied",
        "mul" | "add" | "sub" | "div" | "pow" => "write the operator: `a * b`, `a + b`, `a^2`",
        _ => {
            if let Some(found) = value(name) {
                return Some(found.to_string());
            }
            return REDUCTIONS.contains(&name).then(|| {
                format!("`{name}` is a function over a named dim: `{name}[class](x)`, or `{name}(x)` over all of them")
            });
        }
    };
    Some(known.to_string())
}

const REDUCTIONS: [&str; 12] =
    ["sum", "mean", "max", "min", "prod", "any", "all", "var", "argmax", "argmin", "softmax", "logsumexp"];

/// Names of arguments that choose an axis by its number.
pub fn axis_argument(name: &str) -> bool {
    matches!(name, "dim" | "axis" | "dims" | "axes" | "keepdim" | "keepdims" | "axis_name")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The advice is one sentence without a full stop, like all hints.
    #[test]
    fn advice_reads_like_a_hint() {
        let words = ["def", "lambda", "while", "print"].map(keyword);
        let signs = ["**", "+=", "%"].map(operator);
        let modules = ["torch", "nn", "optimizer"].map(module);
        let values = ["True", "None", "einsum", "reshape"].map(value);
        let all = words.iter().chain(&signs).chain(&modules).chain(&values);
        for hint in all {
            let hint = hint.expect("the word is known");
            assert!(!hint.ends_with('.') && hint.len() < 160, "{hint}");
        }
        assert!(method("sum").is_some_and(|m| m.contains("sum[class](x)")));
        assert_eq!(method("hidden"), None);
    }
}
