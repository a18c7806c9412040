//! The folder of a run: weights as safetensors, reports as JSON, the loss curve as SVG and CSV.
//! Law: a file appears whole or not at all: it is written under another name, flushed, and renamed.

use crate::session::Session;
use crate::train::Outcome;
use gannet_lang::diag::{Code, Diagnostic};
use plotters::prelude::*;
use serde_json::json;
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes all files of a run into `folder`, which is made if need be; returns the paths.
///
/// # Errors
/// A folder or file that cannot be written (a disk that is full, say): nothing half-written is left.
pub fn write(folder: &Path, session: &Session, outcome: &Outcome) -> Result<Vec<PathBuf>, Diagnostic> {
    std::fs::create_dir_all(folder).map_err(|e| cannot_write(folder, &e))?;
    let weights = folder.join("weights.safetensors");
    save(&weights, &weights_bytes(session)?)?;
    let reports = folder.join("reports.json");
    let text = serde_json::to_string_pretty(&reports_json(session, outcome)).expect("numbers and names are JSON");
    save(&reports, text.as_bytes())?;
    let losses = folder.join("loss.csv");
    let rows: String = outcome.losses.iter().enumerate().map(|(k, l)| format!("{},{l}\n", k + 1)).collect();
    save(&losses, format!("step,loss\n{rows}").as_bytes())?;
    let mut paths = vec![weights, reports, losses];
    if let Some(svg) = curve(&session.unit.name, &outcome.losses) {
        let path = folder.join("loss.svg");
        save(&path, svg.as_bytes())?;
        paths.push(path);
    }
    Ok(paths)
}

/// Writes a file under another name in the same folder, then renames it.
pub fn save(path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().map_err(|e| cannot_write(path, &e))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error(Code::G0602, None, format!("`{}` cannot be written: {error}", path.display()))
        .hint("name another place (the folder of a run with `--out DIR`); nothing half-written was left behind")
}

/// Parameters as f32 (f64 in double precision), by name, with the step and the unit in the metadata.
fn weights_bytes(session: &Session) -> Result<Vec<u8>, Diagnostic> {
    let double = session.options.double;
    let dtype = if double { safetensors::Dtype::F64 } else { safetensors::Dtype::F32 };
    let held: Vec<(String, Vec<usize>, Vec<u8>)> = (0..session.unit.params.len())
        .map(|k| {
            let (shape, values) = session.param(k);
            let bytes = values
                .iter()
                .flat_map(|x| if double { x.to_le_bytes().to_vec() } else { (*x as f32).to_le_bytes().to_vec() });
            (session.unit.params[k].name.clone(), shape, bytes.collect())
        })
        .collect();
    let views: Vec<(&str, safetensors::tensor::TensorView<'_>)> = held
        .iter()
        .map(|(name, shape, bytes)| {
            let view =
                safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes).expect("shape and bytes agree");
            (name.as_str(), view)
        })
        .collect();
    let meta = HashMap::from([("gannet".to_string(), metadata(session))]);
    safetensors::serialize(views, Some(meta))
        .map_err(|e| Diagnostic::error(Code::G0602, None, format!("the weights cannot be stored: {e}")))
}

fn metadata(session: &Session) -> String {
    json!({ "program": session.unit.name, "step": session.step, "seed": session.options.seed }).to_string()
}

/// The reports of a run as JSON.
pub fn reports_json(session: &Session, outcome: &Outcome) -> serde_json::Value {
    let reports: serde_json::Map<String, serde_json::Value> =
        outcome.reports.iter().map(|(name, values)| (name.clone(), number_or_list(values))).collect();
    json!({
        "program": session.unit.name,
        "seed": session.options.seed,
        "steps": session.step,
        "interrupted": outcome.interrupted,
        "loss": outcome.losses.last().copied().map(f64::from).filter(|l| l.is_finite()),
        "seconds": outcome.elapsed.as_secs_f64(),
        "parameters": session.parameter_count(),
        "reports": reports,
    })
}

/// One number as itself, several as a list.
pub fn number_or_list(values: &[f64]) -> serde_json::Value {
    match values {
        [one] => json!(one),
        many => json!(many),
    }
}

/// The loss over the steps, thinned to what a picture can show.
fn curve(title: &str, losses: &[f32]) -> Option<String> {
    let finite: Vec<(f64, f64)> = losses
        .iter()
        .enumerate()
        .filter(|(_, l)| l.is_finite())
        .map(|(k, l)| (k as f64 + 1.0, f64::from(*l)))
        .collect();
    let high = finite.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    let low = finite.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    if finite.len() < 2 {
        return None;
    }
    let stride = finite.len().div_ceil(MAX_POINTS);
    let points: Vec<(f64, f64)> = finite
        .chunks(stride)
        .map(|c| (c[c.len() - 1].0, c.iter().map(|p| p.1).sum::<f64>() / c.len() as f64))
        .collect();
    let mut svg = String::new();
    let margin = ((high - low) * 0.05).max(1e-12);
    let draw = |svg: &mut String| -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::with_string(svg, (800, 480)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(format!("{title}: loss"), ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..finite[finite.len() - 1].0, (low - margin)..(high + margin))?;
        chart.configure_mesh().light_line_style(TRANSPARENT).x_desc("step").y_desc("loss").draw()?;
        chart.draw_series(LineSeries::new(points.iter().copied(), RGBColor(31, 92, 153).stroke_width(2)))?;
        root.present()?;
        Ok(())
    };
    draw(&mut svg).ok()?;
    Some(svg)
}

/// More points than this cannot be told apart in the picture.
const MAX_POINTS: usize = 800;
