//! `gannet emit`: any stage as text, and the plan as a picture.

use super::args::EmitArgs;
use gannet::compiler::CompileOptions;
use gannet::lang::diag::{Code, Diagnostic};
use gannet::lang::program::Unit;
use gannet::{Error, Model};
use std::process::ExitCode;

/// Stages in their order.
const STAGES: &[&str] =
    &["ast", "program", "graph", "graph:built", "graph:differentiated", "graph:rewritten", "plan", "clif", "wgsl"];

/// Prints a stage.
pub fn emit(args: &EmitArgs) -> Result<ExitCode, Error> {
    let options = args.run.options();
    let model = Model::from_file(&args.file, &args.run.dims)?;
    if args.svg && args.stage != "plan" {
        let d = Diagnostic::error(Code::G0701, None, format!("there is no picture of the stage `{}`", args.stage));
        return Err(model.error(d.hint("only plans are drawn: `gannet emit plan FILE --svg`")));
    }
    let text = match args.stage.as_str() {
        "ast" => gannet::lang::print::print(model.checked().ast()),
        "program" => gannet::lang::print_program::print(&model.checked().program),
        stage if STAGES.contains(&stage) => {
            let unit = model.unit(args.name.as_deref(), &options.hypers)?;
            let function = chosen_function(&model, &unit, args.function.as_deref())?;
            let compile = CompileOptions { double: options.double || unit.double, ..options.compile };
            let stages = model.stages(&unit, function, &compile);
            match stage {
                "graph:built" => stages.built.to_string(),
                "graph:differentiated" => stages.differentiated.to_string(),
                "graph" | "graph:rewritten" => stages.rewritten.to_string(),
                "plan" if args.svg => stages.plan.svg(&format!("{} · {function}", unit.name)),
                "plan" => stages.plan.to_string(),
                "clif" => gannet::compiler::emit::cpu::clif(&stages.plan),
                _ => gannet::compiler::emit::wgsl::emit(&stages.plan),
            }
        }
        other => {
            let d = Diagnostic::error(Code::G0701, None, format!("there is no stage `{other}`"));
            return Err(model.error(d.hint(format!("stages are {}", STAGES.join(", ")))));
        }
    };
    super::put(std::io::stdout(), format_args!("{text}"));
    Ok(ExitCode::SUCCESS)
}

/// The function of a unit that is named, or the one that is meant where none is.
///
/// # Errors
/// G0701 with those that the unit has.
pub(super) fn chosen_function<'a>(model: &Model, unit: &Unit, named: Option<&'a str>) -> Result<&'a str, Error> {
    let function = named.unwrap_or(unit.main_function());
    if unit.function(function).is_some() {
        return Ok(function);
    }
    let names: Vec<&str> = unit.functions.iter().map(|f| f.name.as_str()).collect();
    let d = Diagnostic::error(Code::G0701, None, format!("`{}` has no function `{function}`", unit.name));
    Err(model.error(d.hint(format!("its functions are {}", names.join(", ")))))
}
