//! Gannet: a small declarative language for neural networks and the rules that train them.
//!
//! This crate is the embedding API and the command line; the work is done by the crates it is made of:
//! text → Program (`gannet_lang`), Program → Graph → Plan → machine code or WGSL (`gannet_compiler`), data, step loop and
//! devices (`gannet_runtime`).
//!
//! ```
//! let model = gannet::Model::from_source(
//!     "line.gnt",
//!     r#"
//!     dim feature = 2
//!     data points from "points.csv" {
//!       x: real[feature] = columns 0..2
//!       y: real          = column 2
//!     }
//!
//!     net line(x: real[.., feature]) -> real[..] {
//!       param w: real[feature] = 0
//!       param b: real = 0 role bias
//!       sum[feature](x * w) + b
//!     }
//!
//!     train fit(lr = 0.1) on points {
//!       net f = line
//!       minimize (f(x) - y)^2 over f by sgd(lr)
//!       steps 400
//!       report error = mean((f(x) - y)^2)
//!     }
//!     "#,
//! )?;
//! assert_eq!(model.signature("fit")?.parameters, 3);
//!
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("points.csv"), "0,0,1\n1,0,3\n0,1,0\n1,1,2\n")?;
//! let model = model.data_folder(folder.path());
//! let mut run = model.train("fit", &gannet::Options { seed: 1, ..Default::default() })?;
//! assert!(run.report("error").unwrap() < 1e-6);
//!
//! // The trained net on an array: y = 2 a - b + 1.
//! let x = ndarray::array![[2.0, 1.0], [0.5, 0.5]].into_dyn();
//! let y = run.call("f", &[x])?;
//! assert!((y[[0]] - 4.0).abs() < 1e-3 && (y[[1]] - 1.5).abs() < 1e-3);
//!
//! assert!(model.wgsl("fit")?.contains("@compute"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(missing_docs)]

mod checks;
mod model;
mod run;
mod verify;

pub use checks::CheckResult;
pub use gannet_compiler as compiler;
pub use gannet_lang as lang;
pub use gannet_runtime as runtime;
pub use gannet_runtime::session::Options;
pub use model::{Error, Model, Signature};
pub use run::Run;
pub use verify::{Difference, Way};
