//! Algebra of scalar functions.
//! Law: a pattern names real functions unless its condition says otherwise; `neg x` is the product of -1 and x.

use crate::egraph::rule::Set::{Exact, Fast, Order};
use crate::egraph::rule::Use::{Always, Choose};
use crate::egraph::rule::{Rule, pattern};

/// Inverses, powers, products.
#[rustfmt::skip]
pub const ALGEBRA: &[Rule] = &[
    pattern("log-exp", Fast, Always, "(log (exp ?x)) => ?x"),
    pattern("exp-log", Fast, Always, "(exp (log ?x)) => ?x if positive ?x"),
    pattern("log1p-expm1", Fast, Always, "(log1p (expm1 ?x)) => ?x"),
    pattern("expm1-log1p", Fast, Always, "(expm1 (log1p ?x)) => ?x if nonnegative ?x"),
    pattern("mul-recip", Fast, Always, "(mul ?x (recip ?x)) => 1 if nonzero ?x"),
    pattern("mul-exp-exp", Fast, Choose, "(mul (exp ?x) (exp ?y)) => (exp (add ?x ?y))"),
    pattern("recip-exp", Fast, Choose, "(recip (exp ?x)) => (exp (neg ?x))"),
    pattern("recip-recip", Fast, Always, "(recip (recip ?x)) => ?x"),
    pattern("recip-constant", Fast, Always, "(recip (mul ?c ?x)) => (mul (recip ?c) (recip ?x)) if constant ?c and nonzero ?c"),
    pattern("recip-mul-recip", Fast, Always, "(recip (mul (recip ?x) ?y)) => (mul ?x (recip ?y))"),
    pattern("sqrt-square", Fast, Always, "(sqrt (mul ?x ?x)) => (abs ?x)"),
    pattern("square-sqrt", Fast, Always, "(mul (sqrt ?x) (sqrt ?x)) => ?x if nonnegative ?x"),
    pattern("mul-recip-sqrt", Fast, Always, "(mul ?x (recip (sqrt ?x))) => (sqrt ?x) if positive ?x"),
    pattern("sqrt-recip", Fast, Always, "(sqrt (recip ?x)) => (recip (sqrt ?x))"),
    pattern("sqrt-over-itself", Fast, Always, "(mul (sqrt ?x) (recip ?x)) => (recip (sqrt ?x)) if positive ?x"),
    pattern("sqrt-square-times", Fast, Always, "(sqrt (mul ?x ?x ?y)) => (mul (abs ?x) (sqrt ?y)) if nonnegative ?y"),
    pattern("recip-product", Fast, Always, "(mul (recip (mul ?x ?y)) ?x) => (recip ?y) if nonzero ?x"),
    pattern("square-recip-sqrt", Fast, Always, "(mul (recip (sqrt ?x)) (recip (sqrt ?x))) => (recip ?x) if nonnegative ?x"),
    pattern("sqrt-exp", Fast, Always, "(sqrt (exp ?x)) => (exp (mul 0.5 ?x))"),
    pattern("exp-half-log", Fast, Always, "(exp (mul 0.5 (log ?x))) => (sqrt ?x) if positive ?x"),
    pattern("exp-minus-half-log", Fast, Always, "(exp (mul -0.5 (log ?x))) => (recip (sqrt ?x)) if positive ?x"),
    pattern("exp-minus-log", Fast, Always, "(exp (mul -1 (log ?x))) => (recip ?x) if positive ?x"),
    pattern("pow-minus-half", Fast, Always, "(pow ?x -0.5) => (recip (sqrt ?x))"),
    pattern("pow-minus-two", Fast, Always, "(pow ?x -2) => (recip (mul ?x ?x))"),
    pattern("pow-one-half-more", Fast, Always, "(pow ?x 1.5) => (mul ?x (sqrt ?x))"),
    pattern("pow-four", Fast, Always, "(pow ?x 4) => (mul ?x ?x ?x ?x)"),
    pattern("pow-five-halves", Fast, Always, "(pow ?x 2.5) => (mul ?x ?x (sqrt ?x))"),
    pattern("pow-quarter", Fast, Always, "(pow ?x 0.25) => (sqrt (sqrt ?x))"),
    pattern("pow-minus-quarter", Fast, Always, "(pow ?x -0.25) => (recip (sqrt (sqrt ?x)))"),
    pattern("pow-minus-three-halves", Fast, Always, "(pow ?x -1.5) => (recip (mul ?x (sqrt ?x)))"),
    pattern("pow-minus-three", Fast, Always, "(pow ?x -3) => (recip (mul ?x ?x ?x))"),
    pattern("pow-recip", Fast, Always, "(pow (recip ?x) ?c) => (pow ?x (neg ?c)) if positive ?x and constant ?c"),
    pattern("pow-pow", Fast, Always, "(pow (pow ?x ?a) ?b) => (pow ?x (mul ?a ?b)) if positive ?x and constant ?a and constant ?b"),
    pattern("pow-exp", Fast, Always, "(pow (exp ?x) ?y) => (exp (mul ?x ?y))"),
    pattern("pow-sqrt", Fast, Always, "(pow (sqrt ?x) ?c) => (pow ?x (mul 0.5 ?c)) if nonnegative ?x and constant ?c"),
    pattern("sqrt-pow", Fast, Always, "(sqrt (pow ?x ?c)) => (pow ?x (mul 0.5 ?c)) if positive ?x and constant ?c"),
    pattern("recip-pow", Fast, Always, "(recip (pow ?x ?c)) => (pow ?x (neg ?c)) if constant ?c"),
    pattern("mul-pow-pow", Fast, Always, "(mul (pow ?x ?a) (pow ?x ?b)) => (pow ?x (add ?a ?b)) if positive ?x and constant ?a and constant ?b"),
    pattern("mul-pow", Fast, Always, "(mul ?x (pow ?x ?c)) => (pow ?x (add 1 ?c)) if positive ?x and constant ?c"),
    pattern("sin-cos", Fast, Always, "(add (mul (sin ?x) (sin ?x)) (mul (cos ?x) (cos ?x))) => 1"),
];

/// Signs, odd and even functions.
#[rustfmt::skip]
pub const SIGNS: &[Rule] = &[
    pattern("abs-abs", Exact, Always, "(abs (abs ?x)) => (abs ?x)"),
    pattern("abs-nonnegative", Exact, Always, "(abs ?x) => ?x if nonnegative ?x"),
    pattern("abs-neg", Exact, Always, "(abs (mul -1 ?x)) => (abs ?x)"),
    pattern("square-abs", Exact, Always, "(mul (abs ?x) (abs ?x)) => (mul ?x ?x)"),
    pattern("sign-sign", Exact, Always, "(sign (sign ?x)) => (sign ?x)"),
    pattern("sign-neg", Exact, Always, "(sign (mul -1 ?x)) => (neg (sign ?x))"),
    pattern("sign-abs", Exact, Always, "(mul (sign ?x) (abs ?x)) => ?x"),
    pattern("mul-sign", Exact, Always, "(mul ?x (sign ?x)) => (abs ?x)"),
    pattern("recip-neg", Exact, Always, "(recip (mul -1 ?x)) => (neg (recip ?x))"),
    pattern("tanh-neg", Fast, Always, "(tanh (mul -1 ?x)) => (neg (tanh ?x))"),
    pattern("sin-neg", Fast, Always, "(sin (mul -1 ?x)) => (neg (sin ?x))"),
    pattern("cos-neg", Fast, Always, "(cos (mul -1 ?x)) => (cos ?x)"),
    pattern("erf-neg", Fast, Always, "(erf (mul -1 ?x)) => (neg (erf ?x))"),
    pattern("tan-neg", Fast, Always, "(tan (mul -1 ?x)) => (neg (tan ?x))"),
    pattern("abs-scale", Fast, Always, "(abs (mul ?c ?x)) => (mul ?c (abs ?x)) if positive ?c"),
    pattern("sign-scale", Fast, Always, "(sign (mul ?c ?x)) => (sign ?x) if positive ?c"),
];

/// Minima, maxima, rounding.
#[rustfmt::skip]
pub const ORDER: &[Rule] = &[
    pattern("max-same", Exact, Always, "(max ?x ?x) => ?x"),
    pattern("min-same", Exact, Always, "(min ?x ?x) => ?x"),
    pattern("max-max-same", Exact, Always, "(max (max ?x ?y) ?x) => (max ?x ?y)"),
    pattern("min-min-same", Exact, Always, "(min (min ?x ?y) ?x) => (min ?x ?y)"),
    pattern("max-min", Exact, Always, "(max ?x (min ?x ?c)) => ?x if constant ?c"),
    pattern("min-max", Exact, Always, "(min ?x (max ?x ?c)) => ?x if constant ?c"),
    pattern("max-constants", Exact, Always, "(max (max ?x ?a) ?b) => (max ?x (max ?a ?b)) if constant ?a and constant ?b"),
    pattern("min-constants", Exact, Always, "(min (min ?x ?a) ?b) => (min ?x (min ?a ?b)) if constant ?a and constant ?b"),
    pattern("max-neg", Exact, Always, "(max (mul -1 ?x) (mul -1 ?y)) => (neg (min ?x ?y))"),
    pattern("min-neg", Exact, Always, "(min (mul -1 ?x) (mul -1 ?y)) => (neg (max ?x ?y))"),
    pattern("relu-nonnegative", Exact, Always, "(max ?x 0) => ?x if nonnegative ?x"),
    pattern("clip-clip", Exact, Always, "(min (max (min (max ?x ?a) ?b) ?a) ?b) => (min (max ?x ?a) ?b) if constant ?a and constant ?b"),
    pattern("clip-clip-below", Exact, Always, "(max (min (max (min ?x ?b) ?a) ?b) ?a) => (max (min ?x ?b) ?a) if constant ?a and constant ?b"),
    pattern("max-self-neg", Fast, Always, "(max ?x (mul -1 ?x)) => (abs ?x)"),
    pattern("min-self-neg", Fast, Always, "(min ?x (mul -1 ?x)) => (neg (abs ?x))"),
    pattern("max-plus-min", Fast, Always, "(add (max ?x ?y) (min ?x ?y)) => (add ?x ?y)"),
    pattern("max-minus-min", Fast, Always, "(add (max ?x ?y) (mul -1 (min ?x ?y))) => (abs (add ?x (neg ?y)))"),
    pattern("relu-minus-relu", Fast, Always, "(add (max ?x 0) (mul -1 (max (mul -1 ?x) 0))) => ?x"),
    pattern("relu-plus-relu", Fast, Always, "(add (max ?x 0) (max (mul -1 ?x) 0)) => (abs ?x)"),
    pattern("minus-relu", Fast, Always, "(add (mul -1 (max ?x 0)) ?x) => (min ?x 0)"),
    pattern("plus-relu", Fast, Always, "(add (max (mul -1 ?x) 0) ?x) => (max ?x 0)"),
    pattern("relu-scale", Fast, Always, "(max (mul ?c ?x) 0) => (mul ?c (max ?x 0)) if constant ?c and positive ?c"),
    pattern("max-common-term", Order, Always, "(max (add ?x ?y) (add ?x ?z)) => (add ?x (max ?y ?z))"),
    pattern("min-common-term", Order, Always, "(min (add ?x ?y) (add ?x ?z)) => (add ?x (min ?y ?z))"),
    pattern("floor-floor", Exact, Always, "(floor (floor ?x)) => (floor ?x)"),
    pattern("ceil-ceil", Exact, Always, "(ceil (ceil ?x)) => (ceil ?x)"),
    pattern("round-round", Exact, Always, "(round (round ?x)) => (round ?x)"),
    pattern("floor-whole", Exact, Always, "(floor (to_real ?x)) => (to_real ?x) if whole ?x"),
    pattern("ceil-whole", Exact, Always, "(ceil (to_real ?x)) => (to_real ?x) if whole ?x"),
    pattern("round-whole", Exact, Always, "(round (to_real ?x)) => (to_real ?x) if whole ?x"),
];

/// Truth values and choices.
#[rustfmt::skip]
pub const LOGIC: &[Rule] = &[
    pattern("not-not", Exact, Always, "(not (not ?x)) => ?x"),
    pattern("not-eq", Exact, Always, "(not (eq ?x ?y)) => (ne ?x ?y)"),
    pattern("not-ne", Exact, Always, "(not (ne ?x ?y)) => (eq ?x ?y)"),
    pattern("not-lt", Exact, Always, "(not (lt ?x ?y)) => (ge ?x ?y) if whole ?x and whole ?y"),
    pattern("not-le", Exact, Always, "(not (le ?x ?y)) => (gt ?x ?y) if whole ?x and whole ?y"),
    pattern("and-same", Exact, Always, "(and ?x ?x) => ?x"),
    pattern("or-same", Exact, Always, "(or ?x ?x) => ?x"),
    pattern("and-or", Exact, Always, "(and ?x (or ?x ?y)) => ?x"),
    pattern("or-and", Exact, Always, "(or ?x (and ?x ?y)) => ?x"),
    pattern("and-again", Exact, Always, "(and ?x (and ?x ?y)) => (and ?x ?y)"),
    pattern("and-or-not", Exact, Always, "(and ?x (or (not ?x) ?y)) => (and ?x ?y)"),
    pattern("or-and-not", Exact, Always, "(or ?x (and (not ?x) ?y)) => (or ?x ?y)"),
    pattern("and-nots", Exact, Always, "(and (not ?x) (not ?y)) => (not (or ?x ?y))"),
    pattern("or-nots", Exact, Always, "(or (not ?x) (not ?y)) => (not (and ?x ?y))"),
    pattern("or-of-ands", Exact, Always, "(or (and ?x ?y) (and ?x ?z)) => (and ?x (or ?y ?z))"),
    pattern("and-of-ors", Exact, Always, "(and (or ?x ?y) (or ?x ?z)) => (or ?x (and ?y ?z))"),
    pattern("indicator-same", Exact, Always, "(mul (to_real ?c) (to_real ?c)) => (to_real ?c) if truth ?c"),
    pattern("indicator-and", Exact, Always, "(mul (to_real ?c) (to_real ?d)) => (to_real (and ?c ?d)) if truth ?c and truth ?d"),
    pattern("indicator-not", Fast, Always, "(add 1 (mul -1 (to_real ?c))) => (to_real (not ?c)) if truth ?c"),
    pattern("indicator-above-half", Exact, Always, "(gt (to_real ?c) 0.5) => ?c if truth ?c"),
    pattern("indicator-is-one", Exact, Always, "(eq (to_real ?c) 1) => ?c if truth ?c"),
    pattern("indicator-is-zero", Exact, Always, "(eq (to_real ?c) 0) => (not ?c) if truth ?c"),
    pattern("delta-same", Exact, Always, "(mul ?y (to_real (eq ?x ?x))) => ?y if whole ?x"),
    pattern("select-same", Exact, Always, "(select ?c ?x ?x) => ?x"),
    pattern("select-not", Exact, Always, "(select (not ?c) ?x ?y) => (select ?c ?y ?x)"),
    pattern("select-equal", Exact, Always, "(select (eq ?x ?x) ?a ?b) => ?a if whole ?x"),
    pattern("select-less", Exact, Always, "(select (lt ?x ?x) ?a ?b) => ?b if whole ?x"),
    pattern("select-inner-then", Exact, Always, "(select ?c (select ?c ?x ?y) ?z) => (select ?c ?x ?z)"),
    pattern("select-inner-else", Exact, Always, "(select ?c ?x (select ?c ?y ?z)) => (select ?c ?x ?z)"),
    pattern("select-indicator", Exact, Always, "(select ?c 1 0) => (to_real ?c)"),
    pattern("select-not-indicator", Exact, Always, "(select ?c 0 1) => (to_real (not ?c))"),
    pattern("select-of-indicator", Exact, Always, "(select ?c (mul (to_real ?c) ?x) ?y) => (select ?c ?x ?y) if truth ?c"),
    pattern("greater-scale", Fast, Always, "(gt (mul ?c ?x) 0) => (gt ?x 0) if constant ?c and positive ?c"),
    pattern("less-scale", Fast, Always, "(lt (mul ?c ?x) 0) => (lt ?x 0) if constant ?c and positive ?c"),
    pattern("sigmoid-above-half", Fast, Always, "(gt (sigmoid ?x) 0.5) => (gt ?x 0)"),
    pattern("relu-select", Fast, Always, "(select (gt ?x 0) ?x 0) => (max ?x 0)"),
];

/// Number formats: a number that was rounded to one is left alone by it, and by those that hold all of its numbers.
#[rustfmt::skip]
pub const FORMATS: &[Rule] = &[
    pattern("f32-f32", Exact, Always, "(to_f32 (to_f32 ?x)) => (to_f32 ?x)"),
    pattern("f16-f16", Exact, Always, "(to_f16 (to_f16 ?x)) => (to_f16 ?x)"),
    pattern("bf16-bf16", Exact, Always, "(to_bf16 (to_bf16 ?x)) => (to_bf16 ?x)"),
    pattern("f32-f16", Exact, Always, "(to_f32 (to_f16 ?x)) => (to_f16 ?x)"),
    pattern("f32-bf16", Exact, Always, "(to_f32 (to_bf16 ?x)) => (to_bf16 ?x)"),
];
