//! A run as a picture: rates over time beside the capacity, and below them the time in the queue.

use std::path::Path;

use plotters::prelude::*;

use super::cases::{Case, FlowKind};
use super::trace::{BIN_US, Bin, Trace};
use crate::plot::theme::{self, Area, COLORS, FAINT, FONT, GREY, INK, LABEL, PAPER, failed};

const HEIGHT: u32 = 700;
/// Pixels of the upper chart.
const UPPER: u32 = 400;
/// Bins over which a rate is shown.
const RATE_BINS: usize = 5;

/// Draws a run.
///
/// # Errors
/// The file cannot be written.
pub(super) fn draw(path: &Path, case: &Case, trace: &Trace) -> anyhow::Result<()> {
    theme::write(path, HEIGHT, |root| {
        // One of the cases is ours, and has a word for a name.
        let of = if case.name.starts_with(|first: char| first.is_ascii_digit()) { "RFC 8867, " } else { "" };
        let below = theme::heading(root, &format!("{of}{}", case.name), case.title)?;
        let (upper, lower) = below.split_vertically(UPPER);
        rates(&upper, case, &trace.bins)?;
        waits(&lower, case, &trace.bins)
    })
}

fn seconds(index: usize) -> f64 {
    index as f64 * BIN_US as f64 / 1e6
}

fn rates(area: &Area<'_>, case: &Case, bins: &[Bin]) -> anyhow::Result<()> {
    let ways = if case.flows.iter().any(|flow| flow.direction == 1) { 2 } else { 1 };
    let most = bins.iter().flat_map(|bin| &bin.capacity_bps[..ways]).fold(0.0_f64, |most, bps| most.max(*bps)) / 1e6;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(28)
        .x_label_area_size(52)
        .y_label_area_size(76)
        .build_cartesian_2d(0.0..case.seconds, 0.0..most * 1.4)
        .map_err(|error| failed(&error))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .label_style((FONT, LABEL).into_font().color(&INK))
        .x_desc("seconds")
        .y_desc("rate, Mbit/s")
        .draw()
        .map_err(|error| failed(&error))?;
    for way in 0..ways {
        let color = if way == 0 { INK } else { GREY };
        let points = bins.iter().enumerate().map(|(index, bin)| (seconds(index), bin.capacity_bps[way] / 1e6));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))
            .map_err(|error| failed(&error))?
            .label(if way == 0 { "capacity" } else { "capacity, backward" })
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2)));
    }
    let tcp: Vec<usize> = (0..case.flows.len()).filter(|index| !is_media(case, *index)).collect();
    let rate = |flows: &[usize], at: usize| {
        let window = &bins[at.saturating_sub(RATE_BINS)..=at];
        let bytes: u64 = window.iter().flat_map(|bin| flows.iter().map(|flow| bin.flows[*flow].bytes)).sum();
        bytes as f64 * 8.0 / (window.len() as f64 * BIN_US as f64)
    };
    let media = (0..case.flows.len()).filter(|index| is_media(case, *index));
    let lines = media.map(|index| (vec![index], format!("flow {}", index + 1), COLORS[index % COLORS.len()]));
    let tcp = (!tcp.is_empty()).then(|| (tcp, "TCP".to_owned(), GREY));
    for (flows, name, color) in lines.chain(tcp) {
        let points = (0..bins.len()).map(|at| (seconds(at), rate(&flows, at)));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(1)))
            .map_err(|error| failed(&error))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font((FONT, LABEL).into_font().color(&INK))
        .background_style(PAPER.mix(0.8))
        .border_style(FAINT)
        .draw()
        .map_err(|error| failed(&error))
}

fn is_media(case: &Case, index: usize) -> bool {
    matches!(case.flows[index].kind, FlowKind::Media { .. })
}

fn waits(area: &Area<'_>, case: &Case, bins: &[Bin]) -> anyhow::Result<()> {
    let most = bins.iter().flat_map(|bin| bin.wait_ms).fold(10.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(28)
        .x_label_area_size(52)
        .y_label_area_size(76)
        .build_cartesian_2d(0.0..case.seconds, 0.0..most * 1.1)
        .map_err(|error| failed(&error))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .label_style((FONT, LABEL).into_font().color(&INK))
        .x_desc("seconds")
        .y_desc("wait in the queue, ms")
        .y_labels(5)
        .draw()
        .map_err(|error| failed(&error))?;
    for way in 0..2 {
        let color = if way == 0 { COLORS[0] } else { GREY };
        let points = bins.iter().enumerate().map(|(index, bin)| (seconds(index), bin.wait_ms[way]));
        chart.draw_series(LineSeries::new(points, color.stroke_width(1))).map_err(|error| failed(&error))?;
    }
    Ok(())
}
