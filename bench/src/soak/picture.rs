//! What a server held over time, as a picture of one chart for each figure.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::samples::{FIGURES, Figure, Sample};
use crate::plot::{FAINT, FONT, INK};

const SIZE: (u32, u32) = (960, 1_080);
const COLOR: RGBColor = RGBColor(0x1f, 0x6f, 0xd6);

/// Draws the figures over time.
///
/// # Errors
/// There are no samples, or the file cannot be written.
pub(super) fn draw(path: &Path, title: &str, samples: &[Sample]) -> anyhow::Result<()> {
    // The backend writes when it is dropped and would hide that it cannot: try first.
    std::fs::write(path, []).context("cannot be written")?;
    let mut svg = String::new();
    draw_to(&mut svg, title, samples)?;
    Ok(std::fs::write(path, svg)?)
}

fn draw_to(svg: &mut String, title: &str, samples: &[Sample]) -> anyhow::Result<()> {
    let last = samples.last().context("nothing was measured")?.at_s;
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| anyhow!("cannot be drawn: {error}");
    root.fill(&WHITE).map_err(|error| failed(&error))?;
    let root = root.titled(&format!("What the server held: {title}"), (FONT, 22)).map_err(|error| failed(&error))?;
    for (figure, area) in FIGURES.iter().zip(root.split_evenly((FIGURES.len(), 1))) {
        chart(&area, figure, samples, last).map_err(|error| failed(&error))?;
    }
    root.present().map_err(|error| failed(&error))
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
        .x_label_area_size(40)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..last / unit_s, 0.0..highest * 1.15)?;
    let name =
        if figure.unit.is_empty() { figure.name.to_owned() } else { format!("{}, {}", figure.name, figure.unit) };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .label_style((FONT, 14).into_font().color(&INK))
        .y_labels(5)
        .y_label_formatter(&|value| format!("{value:.0}"))
        .x_desc(unit)
        .y_desc(name)
        .draw()?;
    chart.draw_series(LineSeries::new(points, COLOR.stroke_width(2)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_names_all_figures() {
        let sample =
            Sample { at_s: 60.0, memory_mb: 50.0, descriptors: 70.0, threads: 9.0, objects: 80.0, timers: 400.0 };
        let mut svg = String::new();
        draw_to(&mut svg, "title", &[Sample { at_s: 0.0, ..sample }, sample]).expect("draws");
        for text in ["title", "memory, MB", "descriptors", "threads", "objects", "timers", "minutes"] {
            assert!(svg.contains(text), "{text} is missing");
        }
    }
}
