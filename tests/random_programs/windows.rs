//! Convolutions and pools large enough to run as products that read windows in place.

use crate::generate::*;

impl Gen {
    /// A convolution of an image that depends on `u`, with weights that do, and perhaps a pool of what it gives.
    pub fn windows(&mut self, u: &str) {
        let (x, w, y, z) = (self.fresh("x"), self.fresh("w"), self.fresh("y"), self.fresh("z"));
        let [channels, out] = [4 + self.below(3), 4 + self.below(5)];
        let [height, width] = [6 + self.below(3), 6 + self.below(3)];
        let [p, q] = [2 + self.below(2), 1 + self.below(3)];
        let (stride, wide) = (1 + self.below(2), 1 + self.below(2));
        let (up, left) = (self.below(p), self.below(2));
        let (a, b) = (self.number(), self.number());
        let turned = if self.chance(3) { format!("{p} - 1 - p") } else { "p".to_string() };
        self.line(format!(
            "{x}[n: 3, c: {channels}, i: {height}, j: {width}] = sin({a}*mean({u}) + 2*c - 3*i + 5*j + n)"
        ));
        self.line(format!(
            "{w}[o: {out}, c: {channels}, p: {p}, q: {q}] = cos({b} + mean({u}^2) + 7*o + 3*c - p + 2*q)/{channels}"
        ));
        self.line(format!(
            "{y}[n: 3, o: {out}, i: {}, j: {width}] = tanh(sum[c: {channels}, p: {p}, q: {q}](({x}[n, c, {stride}*i + {turned} - {up}, j + {wide}*q - {left}] else 0)*{w}[o, c, p, q]) + {a}*o)",
            height / stride
        ));
        let name = match self.below(3) {
            0 => y,
            kind => {
                let how = if kind == 1 { "max" } else { "mean" };
                self.line(format!(
                    "{z}[n: 3, o: {out}, i: {}, j: 3] = {how}[p: 2, q: 2]({y}[n, o, 2*i + p, 2*j + q] else -1)",
                    height / stride / 2
                ));
                z
            }
        };
        self.line(format!("total = total + mean(sin({name} + {b}))"));
    }
}
