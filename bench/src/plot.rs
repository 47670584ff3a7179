//! Latency as a picture: how it is distributed, and below that how late the latest are.

mod percentiles;
pub(crate) mod theme;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use plotters::coord::combinators::{BindKeyPoints as _, IntoLogRange as _, LogCoord, WithKeyPoints};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use self::theme::{Area, COLORS, FAINT, FONT, INK, LABEL, PAPER, failed};

const HEIGHT: u32 = 920;
/// Bars per factor of ten.
const BARS_PER_DECADE: f64 = 16.0;
/// Percentiles, and on which side of its line each is named: the last two are often close together.
const MARKS: [(f64, &str, HPos); 3] =
    [(0.5, "p50", HPos::Right), (0.99, "p99", HPos::Right), (0.999, "p99.9", HPos::Left)];

/// One distribution.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Its name in the legend.
    pub name: &'a str,
    /// Latencies in nanoseconds.
    pub latency: &'a Histogram<u64>,
}

/// A file that [`draw`] can write.
///
/// # Errors
/// Says what is allowed.
pub fn file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => Ok(path),
        _ => Err("the name must end with .svg".into()),
    }
}

fn bar_of(ns: f64) -> i32 {
    (ns.max(1.0).log10() * BARS_PER_DECADE).floor() as i32
}

fn start_of(bar: i32) -> f64 {
    10_f64.powf(f64::from(bar) / BARS_PER_DECADE)
}

/// (bar, percent of packets) of every bar that is not empty.
fn bars(latency: &Histogram<u64>) -> Vec<(i32, f64)> {
    let total = latency.len().max(1) as f64;
    let mut bars: Vec<(i32, f64)> = Vec::new();
    for value in latency.iter_recorded() {
        let bar = bar_of(value.value_iterated_to() as f64);
        let percent = 100.0 * value.count_since_last_iteration() as f64 / total;
        match bars.last_mut() {
            Some(last) if last.0 == bar => last.1 += percent,
            _ => bars.push((bar, percent)),
        }
    }
    bars
}

fn label(ns: &f64) -> String {
    match *ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.0} µs", ns / 1e3),
        ns if ns < 1e9 => format!("{:.0} ms", ns / 1e6),
        ns => format!("{:.0} s", ns / 1e9),
    }
}

/// Times on a logarithmic axis, with ticks at 1, 2 and 5 times each power of ten.
fn times(range: RangeInclusive<f64>) -> WithKeyPoints<LogCoord<f64>> {
    let (from, to) = range.into_inner();
    let decades = from.log10().floor() as i32..=to.log10().ceil() as i32;
    let ticks = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)));
    (from..to).log_scale().with_key_points(ticks.filter(|tick| (from..=to).contains(tick)).collect())
}

fn legend(series: &Series<'_>) -> String {
    let marks = MARKS.map(|(quantile, name, _)| {
        let ns = series.latency.value_at_quantile(quantile) as f64;
        format!("{name} {}", crate::report::duration(ns))
    });
    format!("{}: {}", series.name, marks.join(", "))
}

/// Draws the distributions over one another, with their percentiles.
///
/// # Errors
/// Nothing was measured, or the file cannot be written.
pub fn draw(path: &Path, title: &str, series: &[Series<'_>]) -> anyhow::Result<()> {
    theme::write(path, HEIGHT, |root| charts(root, title, series))
}

fn charts(root: &Area<'_>, title: &str, series: &[Series<'_>]) -> anyhow::Result<()> {
    let below = theme::heading(root, "Forwarding latency", title)?;
    let (upper, lower) = below.split_vertically((HEIGHT - theme::HEADING) / 2);
    distribution(&upper, series)?;
    percentiles::draw(&lower, series)
}

fn distribution(area: &Area<'_>, series: &[Series<'_>]) -> anyhow::Result<()> {
    let all: Vec<_> = series.iter().map(|series| bars(series.latency)).collect();
    let first = all.iter().flatten().map(|bar| bar.0).min().context("nothing was measured")?;
    let last = all.iter().flatten().map(|bar| bar.0).max().context("nothing was measured")?;
    let highest = all.iter().flatten().map(|bar| bar.1).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .x_label_area_size(52)
        .y_label_area_size(76)
        .build_cartesian_2d(times(start_of(first - 1)..=start_of(last + 3)), 0.0..highest * 1.45)
        .map_err(|error| failed(&error))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .label_style((FONT, LABEL).into_font().color(&INK))
        .x_labels(12)
        .x_label_formatter(&label)
        .y_label_formatter(&|percent| format!("{percent:.0} %"))
        .x_desc("latency")
        .y_desc("share of the packets")
        .draw()
        .map_err(|error| failed(&error))?;
    for ((series, bars), color) in series.iter().zip(&all).zip(COLORS) {
        let outline = outline(bars, first, last);
        chart
            .draw_series(
                AreaSeries::new(outline.iter().copied(), 0.0, color.mix(0.22)).border_style(color.stroke_width(2)),
            )
            .map_err(|error| failed(&error))?
            .label(legend(series))
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], color.filled()));
    }
    for (row, (series, color)) in series.iter().zip(COLORS).enumerate() {
        let top = highest * (1.15 - 0.08 * row as f64);
        for (quantile, name, side) in MARKS {
            let ns = series.latency.value_at_quantile(quantile) as f64;
            let style = (FONT, LABEL).into_font().color(&color).pos(Pos::new(side, VPos::Top));
            chart
                .draw_series([PathElement::new([(ns, 0.0), (ns, top)], color.mix(0.8).stroke_width(1))])
                .map_err(|error| failed(&error))?;
            chart.draw_series([Text::new(format!(" {name} "), (ns, top), style)]).map_err(|error| failed(&error))?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font((FONT, LABEL).into_font().color(&INK))
        .background_style(PAPER.mix(0.8))
        .border_style(FAINT)
        .draw()
        .map_err(|error| failed(&error))
}

/// The upper edge of the bars, as points from left to right.
fn outline(bars: &[(i32, f64)], first: i32, last: i32) -> Vec<(f64, f64)> {
    let mut points = vec![(start_of(first - 1), 0.0)];
    for bar in first..=last {
        let height = bars.iter().find(|known| known.0 == bar).map_or(0.0, |known| known.1);
        points.extend([(start_of(bar), height), (start_of(bar + 1), height)]);
    }
    points.push((start_of(last + 1), 0.0));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_hold_everything_and_a_picture_names_axes_and_percentiles() {
        let mut latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("histogram");
        for index in 0..10_000_u64 {
            latency.record(100_000 + index * 300).expect("in range");
        }
        let total: f64 = bars(&latency).iter().map(|bar| bar.1).sum();
        assert!((total - 100.0).abs() < 1e-6);
        let series = [Series { name: "corecast", latency: &latency }];
        let svg = theme::svg(HEIGHT, |root| charts(root, "title", &series)).expect("draws");
        for text in
            ["title", "corecast", "p50 1.60 ms", "p99.9 3.10 ms", "share of the packets", "99.9 %", "percentile"]
        {
            assert!(svg.contains(text), "{text} is missing");
        }
        let nothing = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("histogram");
        let series = [Series { name: "corecast", latency: &nothing }];
        assert!(theme::svg(HEIGHT, |root| charts(root, "title", &series)).is_err());
    }
}
