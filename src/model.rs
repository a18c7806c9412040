//! A checked model file, ready to be trained, called or printed.

use crate::checks::Runs;
use crate::run::Run;
use gannet_compiler::egraph::Explanation;
use gannet_compiler::{CompileOptions, Stages, stages_of};
use gannet_lang::check::{Checked, Loader, Options as CheckOptions, check};
use gannet_lang::diag::{Code, Diagnostic, Diagnostics, FileId, Sources};
use gannet_lang::program::{Unit, UnitKind};
use gannet_runtime::data::{self, Dataset, Places, Sizes};
use gannet_runtime::session::{Options, Session};
use gannet_runtime::train::{Observer, Quiet, evaluate, train};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Findings together with the sources that they speak of.
#[derive(Clone, Debug)]
pub struct Error {
    /// What was found.
    pub diagnostics: Diagnostics,
    /// The sources, for rendering.
    pub sources: Arc<Sources>,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&gannet_lang::render::render(&self.sources, &self.diagnostics, false))
    }
}

impl std::error::Error for Error {}

/// What a train block or task takes and has.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Its arguments with their defaults.
    pub arguments: Vec<(String, f64)>,
    /// The data set it runs on.
    pub data: Option<String>,
    /// Parameter tensors: name and type as text.
    pub tensors: Vec<(String, String)>,
    /// Trained entries, open dims counted as nought.
    pub parameters: usize,
    /// Its reports.
    pub reports: Vec<String>,
}

/// Finds imported files: `std/...` in the standard library, others beside the file that imports them.
struct Library;

impl Loader for Library {
    fn load(&self, path: &str, from: Option<&str>) -> Option<(String, String)> {
        if let Some(text) = gannet_stdlib::file(path) {
            return Some((path.to_string(), text.to_string()));
        }
        let folder = from.and_then(|f| Path::new(f).parent()).unwrap_or(Path::new(""));
        let file = folder.join(path);
        Some((file.display().to_string(), std::fs::read_to_string(&file).ok()?))
    }
}

/// A checked source file.
#[derive(Clone)]
pub struct Model {
    sources: Arc<Sources>,
    checked: Rc<Checked>,
    places: Places,
}

impl Model {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// A file that cannot be read; everything that a user can get wrong in it.
    pub fn from_file(path: impl AsRef<Path>, dims: &[(String, u64)]) -> Result<Model, Error> {
        Model::from_file_with(path, &CheckOptions { dims: dims.to_vec(), ..CheckOptions::default() })
    }

    /// Reads and checks a file with sizes of open dims, functions of the embedding program and the like.
    ///
    /// # Errors
    /// As [`Model::from_file`].
    pub fn from_file_with(path: impl AsRef<Path>, options: &CheckOptions) -> Result<Model, Error> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| {
            let message = format!("`{}` cannot be read: {e}", path.display());
            let hint = "name a model file, for example `examples/digits_mlp.gnt`";
            Error {
                diagnostics: Diagnostic::error(Code::G0501, None, message).hint(hint).into(),
                sources: Arc::default(),
            }
        })?;
        Model::new(&path.display().to_string(), &text, options, Places::of(path))
    }

    /// Checks a source text; `name` is shown in diagnostics, and data files are looked for beside it.
    pub fn from_source(name: &str, text: &str) -> Result<Model, Error> {
        Model::from_source_with(name, text, &CheckOptions::default())
    }

    /// Checks a source text with sizes of open dims, functions of the embedding program (`extern fn`) and the like.
    pub fn from_source_with(name: &str, text: &str, options: &CheckOptions) -> Result<Model, Error> {
        Model::new(name, text, options, Places::of(Path::new(name)))
    }

    fn new(name: &str, text: &str, options: &CheckOptions, places: Places) -> Result<Model, Error> {
        let mut sources = Sources::default();
        let file: FileId = sources.add(name, text);
        match check(&mut sources, file, &Library, options) {
            Ok(checked) => Ok(Model { sources: Arc::new(sources), checked: Rc::new(checked), places }),
            Err(diagnostics) => Err(Error { diagnostics, sources: Arc::new(sources) }),
        }
    }

    /// Looks for data files in this folder first.
    pub fn data_folder(mut self, folder: impl Into<PathBuf>) -> Model {
        let model = std::mem::replace(&mut self.places.model, folder.into());
        self.places.further.insert(0, model);
        self
    }

    /// The checked program.
    pub fn checked(&self) -> &Checked {
        &self.checked
    }

    /// The sources, for rendering diagnostics.
    pub fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// Traps that shapes cannot see; see [`gannet_lang::lint`].
    pub fn lint(&self) -> Diagnostics {
        gannet_lang::lint::lint(&self.checked, &self.sources, FileId::default())
    }

    /// With the sources.
    pub fn error(&self, diagnostics: impl Into<Diagnostics>) -> Error {
        Error { diagnostics: diagnostics.into(), sources: self.sources.clone() }
    }

    /// The train block or task of that name, or the first one.
    ///
    /// # Errors
    /// No such block; a file without any.
    pub fn unit(&self, name: Option<&str>, args: &[(String, f64)]) -> Result<Unit, Error> {
        let units = &self.checked.program.units;
        let chosen = match name {
            Some(name) => units.iter().find(|u| u.name == name),
            None => units.iter().find(|u| u.kind == UnitKind::Train).or(units.first()),
        };
        let names: Vec<&str> = units.iter().map(|u| u.name.as_str()).collect();
        let unit = chosen.ok_or_else(|| {
            let message = match name {
                Some(name) => format!("there is no train block or task `{name}`"),
                None => "the file has no train block and no task".to_string(),
            };
            let hint = if names.is_empty() {
                "add one: `train NAME on DATA { ... }`".to_string()
            } else {
                format!("the file has {}", names.join(", "))
            };
            self.error(Diagnostic::error(Code::G0702, None, message).hint(hint))
        })?;
        if args.is_empty() {
            return Ok(unit.clone());
        }
        self.checked.instantiate(&unit.name, args).map_err(|d| self.error(d))
    }

    /// What a train block or task takes and has.
    pub fn signature(&self, name: &str) -> Result<Signature, Error> {
        let unit = self.unit(Some(name), &[])?;
        let tables = gannet_compiler::graph::Tables::of(&unit);
        let shape = |ty: &gannet_lang::program::Ty| {
            let dims: Vec<&str> = ty.axes.iter().map(|a| unit.dims[a.dim.index()].name.as_str()).collect();
            format!("real[{}]", dims.join(", "))
        };
        let entries = |ty: &gannet_lang::program::Ty| -> usize {
            let size = |d: &gannet_lang::program::Dim| match d.size {
                gannet_lang::program::Size::Fixed(n) => n as usize,
                _ => 0,
            };
            ty.axes.iter().map(|a| size(&tables.dims[a.dim.index()])).product()
        };
        Ok(Signature {
            arguments: unit.hypers.iter().map(|h| (h.name.clone(), h.default)).collect(),
            data: unit.data.map(|d| self.checked.program.data[d].name.clone()),
            tensors: unit.params.iter().map(|p| (p.name.clone(), shape(&p.ty))).collect(),
            parameters: unit.params.iter().map(|p| entries(&p.ty)).sum(),
            reports: unit.reports.iter().map(|r| r.name.clone()).collect(),
        })
    }

    /// The data set of a unit, loaded, with the sizes of dims that it binds.
    pub fn load_data(&self, unit: &Unit, options: &Options) -> Result<(Option<Arc<Dataset>>, Sizes), Error> {
        let program = &self.checked.program;
        let mut sizes = Sizes::of(&program.dims);
        let Some(k) = unit.data else { return Ok((None, sizes)) };
        let double = options.double || unit.double;
        let declared = &program.data[k];
        let own = Options { double, ..options.clone() };
        let set = data::of_unit(declared, unit, &program.dims, &self.places, &mut sizes, &own);
        set.map(|s| (Some(Arc::new(s)), sizes)).map_err(|d| self.error(d))
    }

    /// A unit compiled and bound to its data.
    pub fn session(&self, unit: Unit, options: &Options) -> Result<Session, Error> {
        let (data, sizes) = self.load_data(&unit, options)?;
        Session::new(unit, data, sizes, options.clone()).map_err(|d| self.error(d))
    }

    /// Trains a train block to the end.
    pub fn train(&self, name: &str, options: &Options) -> Result<Run, Error> {
        self.train_watched(Some(name), options, &mut Quiet, &AtomicBool::new(false))
    }

    /// Trains, watched by an observer, until the end or until `stop` is set.
    pub fn train_watched(
        &self,
        name: Option<&str>,
        options: &Options,
        observer: &mut (dyn Observer + Send),
        stop: &AtomicBool,
    ) -> Result<Run, Error> {
        let unit = self.unit(name, &static_args(options))?;
        self.run_unit(unit, options, &mut Runs::default(), observer, stop)
    }

    /// Runs a train block or task to the end, with the runs that it reads.
    pub(crate) fn run_unit(
        &self,
        unit: Unit,
        options: &Options,
        runs: &mut Runs,
        observer: &mut (dyn Observer + Send),
        stop: &AtomicBool,
    ) -> Result<Run, Error> {
        let mut inner = options.clone();
        inner.hypers.clear();
        let mut session = self.session_with_runs(unit, options, &inner, runs)?;
        let outcome = if session.unit.kind == UnitKind::Train {
            train(&mut session, observer, stop)
        } else {
            evaluate(&mut session, observer)
        };
        let outcome = outcome.map_err(|d| self.error(d))?;
        Ok(Run::new(self.clone(), session, outcome))
    }

    /// Every stage of the compilation of one function of a unit.
    pub fn stages(&self, unit: &Unit, function: &str, options: &CompileOptions) -> Stages {
        let function = unit.function(function).expect("the caller names one of the unit's functions");
        let tables = Arc::new(gannet_compiler::graph::Tables::of(unit));
        stages_of(unit, function, tables, options)
    }

    /// How rewriting changes one function of a unit.
    pub fn explain(&self, unit: &Unit, function: &str, options: &CompileOptions) -> Explanation {
        let function = unit.function(function).expect("the caller names one of the unit's functions");
        gannet_compiler::pass::explain(unit, function, Arc::new(gannet_compiler::graph::Tables::of(unit)), options)
    }

    /// The training step (or the task) as WGSL text.
    pub fn wgsl(&self, name: &str) -> Result<String, Error> {
        let unit = self.unit(Some(name), &[])?;
        let stages = self.stages(&unit, unit.main_function(), &CompileOptions::default());
        Ok(gannet_compiler::emit::wgsl::emit(&stages.plan))
    }
}

/// Values that may be needed while checking (a size made from an argument): all that were set.
fn static_args(options: &Options) -> Vec<(String, f64)> {
    options.hypers.clone()
}
