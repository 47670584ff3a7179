//! Goodput and latency over the offered load, as a picture of two charts.

use std::path::Path;

use anyhow::Context as _;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::Step;
use crate::plot::theme::{self, Area, COLORS, FAINT, FONT, INK, LABEL, LINE, failed};

const HEIGHT: u32 = 760;
/// Part of the width by which the axes go on behind the last step.
const MARGIN: f64 = 1.08;

/// One chart: a figure of every step.
struct Chart<'a> {
    caption: &'a str,
    unit: &'a str,
    color: RGBColor,
    points: Vec<(f64, f64)>,
    /// What the figure would be at best, if there is such a line.
    best: Vec<(f64, f64)>,
}

/// Draws the steps, in the order of what was offered.
///
/// # Errors
/// There are no steps, or the file cannot be written.
pub(super) fn draw(path: &Path, title: &str, steps: &[Step]) -> anyhow::Result<()> {
    theme::write(path, HEIGHT, |root| charts(root, title, steps))
}

fn charts(root: &Area<'_>, title: &str, steps: &[Step]) -> anyhow::Result<()> {
    let mut steps = steps.to_vec();
    steps.sort_by(|one, other| one.offered_ratio.total_cmp(&other.offered_ratio));
    let last = steps.last().context("nothing was measured")?.offered_ratio;
    let points = |figure: &dyn Fn(&Step) -> f64| steps.iter().map(|step| (step.offered_ratio, figure(step))).collect();
    let goodput = Chart {
        caption: "What left",
        unit: "times the capacity",
        color: COLORS[0],
        points: points(&|step| step.goodput_ratio),
        best: vec![(0.0, 0.0), (1.0, 1.0), (last * MARGIN, 1.0)],
    };
    let latency = Chart {
        caption: "Latency of what left, 99th percentile",
        unit: "latency, ms",
        color: COLORS[1],
        points: points(&|step| step.p99_us / 1e3),
        best: Vec::new(),
    };
    let below = theme::heading(root, "Overload", title)?;
    let (upper, lower) = below.split_vertically((HEIGHT - theme::HEADING) / 2);
    goodput.draw(&upper, last).map_err(|error| failed(&error))?;
    latency.draw(&lower, last).map_err(|error| failed(&error))
}

impl Chart<'_> {
    fn draw<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        last: f64,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let highest = self.points.iter().chain(&self.best).map(|point| point.1).fold(0.0, f64::max).max(1e-9);
        let mut chart = ChartBuilder::on(area)
            .caption(self.caption, (FONT, LINE).into_font().color(&INK))
            .margin(14)
            .x_label_area_size(52)
            .y_label_area_size(76)
            .build_cartesian_2d(0.0..last * MARGIN, 0.0..highest * 1.2)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .axis_style(INK)
            .label_style((FONT, LABEL).into_font().color(&INK))
            .x_labels(12)
            .y_labels(6)
            .x_desc("offered, in times of the capacity")
            .y_desc(self.unit)
            .draw()?;
        chart.draw_series([PathElement::new(self.best.clone(), INK.mix(0.35).stroke_width(1))])?;
        chart.draw_series([PathElement::new(self.points.clone(), self.color.stroke_width(2))])?;
        chart.draw_series(self.points.iter().map(|point| Circle::new(*point, 4, self.color.filled())))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_both_charts_and_every_step() {
        let step = |offered_ratio| Step {
            offered_ratio,
            goodput_ratio: offered_ratio.min(1.0),
            p99_us: 1_000.0 * offered_ratio,
            stale: 0,
            recovery_ms: None,
            lost_control: 0,
        };
        let drawn = |steps: &[Step]| theme::svg(HEIGHT, |root| charts(root, "three steps", steps));
        let svg = drawn(&[step(2.0), step(0.5), step(1.0)]).expect("draws");
        for text in ["What left", "99th percentile", "three steps", "latency, ms", "offered"] {
            assert!(svg.contains(text), "{text} is missing");
        }
        assert_eq!(svg.matches("<circle").count(), 6);
        assert!(drawn(&[]).is_err());
    }
}
