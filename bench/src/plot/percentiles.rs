//! Latency over percentiles: an axis on which 90, 99 and 99.9 percent are equally far apart, so that the latest packets
//! have as much room as the others.

use hdrhistogram::Histogram;
use plotters::coord::combinators::{BindKeyPoints as _, IntoLogRange as _};
use plotters::prelude::*;

use super::theme::{Area, COLORS, FAINT, FONT, INK, LABEL, PAPER, failed};
use super::{Series, label, times};

/// Points of a curve.
const POINTS: u32 = 400;
/// One in so many packets is later than what is shown at the end: beyond it too few are left.
const MOST: f64 = 1e6;

/// The quantile at a place on the axis, where one in so many packets is later: 2 is the median, 100 the 99th
/// percentile.
fn quantile(one_in: f64) -> f64 {
    1.0 - one_in.recip()
}

/// How far a distribution's curve goes: to where one packet is left.
fn end(latency: &Histogram<u64>) -> f64 {
    (latency.len().max(1) as f64).min(MOST)
}

/// From the earliest to the latest, each with its place on the axis.
fn curve(latency: &Histogram<u64>) -> Vec<(f64, f64)> {
    let end = end(latency);
    let place = |index: u32| end.powf(f64::from(index) / f64::from(POINTS));
    let at = |place: f64| (place, latency.value_at_quantile(quantile(place)).max(1) as f64);
    (0..=POINTS).map(|index| at(place(index))).collect()
}

fn percent(one_in: &f64) -> String {
    let places = (one_in.log10().ceil() as usize).saturating_sub(2);
    format!("{:.places$} %", 100.0 * quantile(*one_in))
}

/// Draws the curves.
///
/// # Errors
/// They cannot be drawn.
pub(super) fn draw(area: &Area<'_>, series: &[Series<'_>]) -> anyhow::Result<()> {
    let curves: Vec<_> = series.iter().map(|series| curve(series.latency)).collect();
    let end = series.iter().map(|series| end(series.latency)).fold(10.0, f64::max);
    let latencies = || curves.iter().flatten().map(|point| point.1);
    let (least, most) = (latencies().fold(f64::MAX, f64::min), latencies().fold(1.0, f64::max));
    let ticks = [1.0, 2.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6].into_iter().filter(|tick| *tick <= end);
    let axis = (1.0..end).log_scale().with_key_points(ticks.collect());
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .margin_right(44)
        .x_label_area_size(52)
        .y_label_area_size(76)
        .build_cartesian_2d(axis, times(least * 0.8..=most * 1.6))
        .map_err(|error| failed(&error))?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .label_style((FONT, LABEL).into_font().color(&INK))
        .x_labels(10)
        .y_labels(10)
        .x_label_formatter(&percent)
        .y_label_formatter(&label)
        .x_desc("percentile: so many of the packets are no later")
        .y_desc("latency")
        .draw()
        .map_err(|error| failed(&error))?;
    for ((series, curve), color) in series.iter().zip(curves).zip(COLORS) {
        chart
            .draw_series(LineSeries::new(curve, color.stroke_width(2)))
            .map_err(|error| failed(&error))?
            .label(series.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font((FONT, LABEL).into_font().color(&INK))
        .background_style(PAPER.mix(0.8))
        .border_style(FAINT)
        .draw()
        .map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_from_the_earliest_to_the_latest() {
        let mut latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("histogram");
        (1..=1_000_u64).for_each(|value| latency.record(value * 1_000).expect("in range"));
        let curve = curve(&latency);
        assert!(curve.is_sorted_by(|one, other| one.0 < other.0 && one.1 <= other.1), "{curve:?}");
        let at = |place: f64| curve.iter().find(|point| point.0 >= place * 0.999).expect("there").1;
        for (place, expected) in [(1.0, 1_000.0), (10.0, 900_000.0), (100.0, 990_000.0), (1_000.0, 1_000_000.0)] {
            assert!((at(place) / expected - 1.0).abs() < 0.01, "{place}: {} is not {expected}", at(place));
        }
        let named = [1.0, 2.0, 10.0, 100.0, 1_000.0].map(|place| percent(&place));
        assert_eq!(named, ["0 %", "50 %", "90 %", "99 %", "99.9 %"]);
    }
}
