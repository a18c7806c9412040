//! A generated program as a list of lines that can be left out one by one.

/// A program, and what its run needs.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Sizes of open dims.
    pub open: Vec<(String, u64)>,
    /// Files of the data set, in a folder of its name.
    pub files: Vec<(String, String)>,
    /// Declarations.
    pub head: Vec<String>,
    /// What the task does before it evaluates.
    pub setup: Vec<String>,
    /// Arguments of the evaluated function: name, the value at 0, the direction in which it moves.
    pub moved: Vec<(String, String, String)>,
    /// The evaluated function: adds to `total`.
    pub inside: Vec<String>,
    /// Further reports.
    pub reports: Vec<String>,
    /// How many derivatives are compared.
    pub order: usize,
    /// A train block in place of the task, if there is one.
    pub train: Vec<String>,
}

impl Program {
    /// The source text.
    pub fn text(&self) -> String {
        let mut out = self.head.join("\n");
        if !self.train.is_empty() {
            return out + "\ntrain t {\n  " + &self.train.join("\n  ") + "\n}\n";
        }
        out += "\ntask t(h = 0) {\n";
        let names: Vec<&str> = self.moved.iter().map(|m| m.0.as_str()).collect();
        let at = |s: &str| -> Vec<String> { self.moved.iter().map(|(_, x, d)| format!("{x} + {s}*{d}")).collect() };
        let mut line = |text: &str| out += &format!("  {}\n", text.replace('\n', "\n  "));
        // The total depends on every argument.
        let squares: Vec<String> = names.iter().map(|n| format!("0.01*dot({n}, {n})")).collect();
        self.setup.iter().for_each(|l| line(l));
        line(&format!("value = ({}) => {{\n  total = {}", names.join(", "), squares.join(" + ")));
        self.inside.iter().for_each(|l| line(&format!("  {l}")));
        line("  total\n}");
        line(&format!("path = s => value({})", at("s").join(", ")));
        line("report v = path(h)");
        self.derivatives(&mut line);
        self.reports.iter().for_each(|l| line(l));
        out + "}\n"
    }

    /// Derivatives of the path, backwards, forwards and mixed; and by each argument, times its direction.
    fn derivatives(&self, line: &mut impl FnMut(&str)) {
        if self.order >= 1 {
            line("report g1 = grad[s = h](path(s))");
            line("z = h + 0");
            line("report a1 = along[z = 1](path(z))");
            let mut slopes = Vec::new();
            for (k, (name, _, d)) in self.moved.iter().enumerate() {
                let mut args: Vec<String> = self.moved.iter().map(|(_, x, d)| format!("{x} + h*{d}")).collect();
                let point = std::mem::replace(&mut args[k], name.clone());
                line(&format!("slope{k} = grad[{name} = {point}](value({}))", args.join(", ")));
                slopes.push(format!("dot(slope{k}, {d})"));
            }
            line(&format!("report p1 = {}", slopes.join(" + ")));
        }
        if self.order >= 2 {
            line("report g2 = grad[s = h](grad[r = s](path(r)))");
            line("report a2 = along[z = 1](along[z = 1](path(z)))");
            line("report m2 = along[z = 1](grad[s = z](path(s)))");
            line("report n2 = grad[s = h]({ y = 1*s\n  along[y = 1](path(y)) })");
        }
        if self.order >= 3 {
            line("report g3 = grad[s = h](grad[r = s](grad[q = r](path(q))))");
            line("report a3 = along[z = 1](along[z = 1](along[z = 1](path(z))))");
            line("report m3 = along[z = 1](along[z = 1](grad[s = z](path(s))))");
        }
    }

    /// The program without one of its parts, for each that can be left out, the last ones first.
    pub fn smaller(&self) -> Vec<Program> {
        let mut out = Vec::new();
        if self.order > 0 {
            out.push(Program { order: self.order - 1, ..self.clone() });
        }
        let parts: [fn(&mut Program) -> &mut Vec<String>; 5] =
            [|p| &mut p.train, |p| &mut p.reports, |p| &mut p.inside, |p| &mut p.setup, |p| &mut p.head];
        for part in parts {
            let count = part(&mut self.clone()).len();
            for k in (0..count).rev() {
                let mut less = self.clone();
                part(&mut less).remove(k);
                out.push(less);
            }
        }
        for k in 0..self.moved.len() {
            let mut less = self.clone();
            let (name, value, _) = less.moved.remove(k);
            less.inside.insert(0, format!("{name} = {value}"));
            if !less.moved.is_empty() && !self.inside.contains(&less.inside[0]) {
                out.push(less);
            }
        }
        out
    }
}
