//! What a server held over time, as a picture of one chart for each figure.

use std::path::Path;

use anyhow::Context as _;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::samples::{FIGURES, Figure, Sample};
use crate::plot::theme::{self, Area, COLORS, FAINT, FONT, INK, LABEL, failed};

const HEIGHT: u32 = 1_200;

/// Draws the figures over time.
///
/// # Errors
/// There are no samples, or the file cannot be written.
pub(super) fn draw(path: &Path, title: &str, samples: &[Sample]) -> anyhow::Result<()> {
    theme::write(path, HEIGHT, |root| charts(root, title, samples))
}

fn charts(root: &Area<'_>, title: &str, samples: &[Sample]) -> anyhow::Result<()> {
    let last = samples.last().context("nothing was measured")?.at_s;
    let root = theme::heading(root, "What the server held", title)?;
    for (figure, area) in FIGURES.iter().zip(root.split_evenly((FIGURES.len(), 1))) {
        chart(&area, figure, samples, last).map_err(|error| failed(&error))?;
    }
    Ok(())
}

fn chart<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    figure: &Figure,
    samples: &[Sample],
    last: f64,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let (unit_s, unit) = if last > 7_200.0 { (3_600.0, "hours") } else { (60.0, "minutes") };
    let points = samples.iter().map(|sample| (sample.at_s / unit_s, (figure.of)(sample)));
    let highest = samples.iter().map(figure.of).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(48)
        .y_label_area_size(84)
        .build_cartesian_2d(0.0..last / unit_s, 0.0..highest * 1.15)?;
    let name =
        if figure.unit.is_empty() { figure.name.to_owned() } else { format!("{}, {}", figure.name, figure.unit) };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .label_style((FONT, LABEL).into_font().color(&INK))
        .y_labels(5)
        .y_label_formatter(&|value| format!("{value:.0}"))
        .x_desc(unit)
        .y_desc(name)
        .draw()?;
    chart.draw_series(LineSeries::new(points, COLORS[0].stroke_width(2)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_names_all_figures() {
        let sample =
            Sample { at_s: 60.0, memory_mb: 50.0, descriptors: 70.0, threads: 9.0, objects: 80.0, timers: 400.0 };
        let samples = [Sample { at_s: 0.0, ..sample }, sample];
        let svg = theme::svg(HEIGHT, |root| charts(root, "title", &samples)).expect("draws");
        for text in ["title", "memory, MB", "descriptors", "threads", "objects", "timers", "minutes"] {
            assert!(svg.contains(text), "{text} is missing");
        }
    }
}
