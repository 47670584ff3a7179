//! `GET /rooms/{room}/transports/{transport}/trace`: what was seen of the path to a viewer and decided for it, as JSON
//! or, with `?format=svg`, as a picture.

use std::collections::HashMap;
use std::fmt::Write;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use corecast_wire::{ConsumerId, Decided, Decision, OutgoingCause};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::{Answer, AppState, HttpError};

/// What stands for all layers.
const ALL: u8 = u8::MAX;

#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct TraceQuery {
    /// "json", or "svg" for a picture.
    #[param(nullable = false)]
    format: Option<String>,
}

pub(super) async fn trace(
    State(app): AppState,
    Path((room, transport)): Path<(String, String)>,
    Query(query): Query<TraceQuery>,
) -> Answer {
    let (decisions, names) = app.rooms().get(&room).await?.trace(&transport).await?;
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match query.format.as_deref() {
        None | Some("json") => {
            let decisions: Vec<_> = decisions.iter().map(|decision| entry(decision, &names)).collect();
            Ok(([no_store], Json(Trace { decisions })).into_response())
        }
        Some("svg") => {
            let kind = (header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"));
            Ok(([no_store, kind], picture(&decisions, &names)).into_response())
        }
        Some(other) => {
            let sentence = format!("format: {other:?} is not known; there are \"json\" and \"svg\"");
            Err(HttpError::new(StatusCode::UNPROCESSABLE_ENTITY, sentence))
        }
    }
}

/// A consumer's name, or its number if it has gone.
fn name(names: &HashMap<ConsumerId, String>, consumer: ConsumerId) -> String {
    names.get(&consumer).cloned().unwrap_or_else(|| consumer.0.to_string())
}

/// What was seen of the path to a viewer, and decided for it: the oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Trace {
    decisions: Vec<Traced>,
}

/// Something that was seen or decided.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Traced {
    Path(PathSeen),
    Layers(LayersDecided),
}

/// The path to the receiver.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PathSeen {
    /// How long ago it was.
    ago_ms: u32,
    /// What it is taken to carry, in bits per second; null if its receiver does not tell.
    available_outgoing_bitrate: Option<u64>,
    /// What its consumers may take of that, in bits per second.
    given_outgoing_bitrate: u64,
    /// What they would take if all of it were there, in bits per second.
    wanted_outgoing_bitrate: u64,
    /// How long packets wait in it, in milliseconds.
    outgoing_queue: u32,
    /// What changed the estimate last: "start", "increase", "delay", "ecn", "loss", "probe", "remb" or "silence".
    #[schema(value_type = String)]
    outgoing_bitrate_cause: OutgoingCause,
}

/// What a consumer may be sent from then on.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayersDecided {
    /// How long ago it was.
    ago_ms: u32,
    /// Its name, or its number if it has gone.
    consumer_id: String,
    /// Highest layers; null for all.
    spatial_layer: Option<u8>,
    temporal_layer: Option<u8>,
    /// Nothing at all.
    suspended: bool,
}

fn entry(decision: &Decision, names: &HashMap<ConsumerId, String>) -> Traced {
    let ago_ms = decision.ago_ms;
    match decision.decided {
        Decided::Path { available_bps, given_bps, wanted_bps, queue_ms, cause } => Traced::Path(PathSeen {
            ago_ms,
            available_outgoing_bitrate: available_bps,
            given_outgoing_bitrate: given_bps,
            wanted_outgoing_bitrate: wanted_bps,
            outgoing_queue: queue_ms,
            outgoing_bitrate_cause: cause,
        }),
        Decided::Layers { consumer, spatial, temporal, suspended } => {
            let layer = |layer: u8| (layer != ALL).then_some(layer);
            let (spatial_layer, temporal_layer) = (layer(spatial), layer(temporal));
            let consumer_id = name(names, consumer);
            Traced::Layers(LayersDecided { ago_ms, consumer_id, spatial_layer, temporal_layer, suspended })
        }
    }
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;
/// Lines of a plot: what, its colour and its dashes.
const LINES: [(&str, &str, &str); 3] =
    [("the path carries", "#1f77b4", ""), ("given", "#2ca02c", ""), ("wanted", "#888", "4 4")];

/// Where things are in the picture.
struct Scale {
    oldest_ms: f64,
    most_bps: f64,
}

impl Scale {
    fn x(&self, ago_ms: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (1.0 - ago_ms / self.oldest_ms)
    }

    fn y(&self, bps: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * bps / self.most_bps
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= value).unwrap_or(10.0);
    step * power
}

/// The estimate, what is given of it and what is wanted over time, and where layers change.
fn picture(decisions: &[Decision], names: &HashMap<ConsumerId, String>) -> String {
    let mut points: Vec<(f64, [Option<f64>; 3])> = Vec::new();
    #[expect(clippy::cast_precision_loss, reason = "a picture")]
    for decision in decisions {
        if let Decided::Path { available_bps, given_bps, wanted_bps, .. } = decision.decided {
            let known = [available_bps, Some(given_bps), Some(wanted_bps)].map(|bps| bps.map(|bps| bps as f64));
            points.push((f64::from(decision.ago_ms), known));
        }
    }
    let most = points.iter().flat_map(|(_, known)| known).flatten().copied().fold(100_000.0, f64::max);
    let oldest = decisions.first().map_or(0, |first| first.ago_ms);
    let scale = Scale { oldest_ms: f64::from(oldest.max(1_000)), most_bps: round_up(most) };
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    );
    axes(&mut svg, &scale);
    for (at, (what, colour, dashes)) in LINES.iter().enumerate() {
        let known = points.iter().filter_map(|(ago, known)| Some((*ago, known.get(at).copied().flatten()?)));
        let path: Vec<String> = known.map(|(ago, bps)| format!("{:.1},{:.1}", scale.x(ago), scale.y(bps))).collect();
        let path = path.join(" ");
        let x = LEFT + 180.0 * f64::from(u8::try_from(at).unwrap_or(0));
        let _ = write!(
            svg,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" \
             stroke-dasharray=\"{dashes}\"/><line x1=\"{x}\" x2=\"{}\" y1=\"16\" y2=\"16\" stroke=\"{colour}\" \
             stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/><text x=\"{}\" y=\"20\" fill=\"#222\">{what}</text>",
            x + 24.0,
            x + 30.0
        );
    }
    changes(&mut svg, &scale, decisions, names);
    svg.push_str("</svg>");
    svg
}

fn axes(svg: &mut String, scale: &Scale) {
    for part in 0..=4_u8 {
        let bps = scale.most_bps * f64::from(part) / 4.0;
        let (y, label) = (scale.y(bps), bps / 1_000.0);
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{label:.0}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0
        );
        let ago = scale.oldest_ms * f64::from(part) / 4.0;
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#444\">{:.0}</text>",
            scale.x(ago),
            HEIGHT - BOTTOM + 16.0,
            ago / 1_000.0
        );
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    let _ = write!(
        svg,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" fill=\"#222\">seconds ago</text>\
         <text transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\" fill=\"#222\">kbit/s</text>",
        HEIGHT - 10.0,
        HEIGHT / 2.0
    );
}

/// A mark for each change of layers, which says more when it is pointed at.
fn changes(svg: &mut String, scale: &Scale, decisions: &[Decision], names: &HashMap<ConsumerId, String>) {
    for decision in decisions {
        let Decided::Layers { consumer, spatial, temporal, suspended } = decision.decided else { continue };
        let layer = |layer: u8| if layer == ALL { "all".to_owned() } else { layer.to_string() };
        let words = match suspended {
            true => "suspended".to_owned(),
            false => format!("spatial {}, temporal {}", layer(spatial), layer(temporal)),
        };
        let short = if suspended { "–".to_owned() } else { format!("{}·{}", layer(spatial), layer(temporal)) };
        let (x, colour) = (scale.x(f64::from(decision.ago_ms)), if suspended { "#d62728" } else { "#9467bd" });
        let _ = write!(
            svg,
            "<g><title>{}: {words}, {:.1} s ago</title><line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\" \
             stroke=\"{colour}\" stroke-dasharray=\"2 3\"/><text transform=\"translate({:.1} {}) rotate(-90)\" \
             text-anchor=\"end\" font-size=\"10\" fill=\"{colour}\">{short}</text></g>",
            name(names, consumer),
            f64::from(decision.ago_ms) / 1_000.0,
            HEIGHT - BOTTOM,
            x - 3.0,
            TOP + 4.0
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decisions() -> Vec<Decision> {
        let path = |ago_ms, bps| Decision {
            ago_ms,
            decided: Decided::Path {
                available_bps: Some(bps),
                given_bps: bps / 2,
                wanted_bps: 1_700_000,
                queue_ms: 3,
                cause: OutgoingCause::Probe,
            },
        };
        let layers = Decided::Layers { consumer: ConsumerId(7), spatial: 1, temporal: ALL, suspended: false };
        vec![path(60_000, 300_000), Decision { ago_ms: 30_000, decided: layers }, path(100, 900_000)]
    }

    #[test]
    fn entries_have_the_names_of_the_api() {
        let names = HashMap::from([(ConsumerId(7), "tile".to_owned())]);
        let entries: Vec<_> = decisions().iter().map(|decision| json!(entry(decision, &names))).collect();
        assert_eq!(entries[0]["availableOutgoingBitrate"], 300_000);
        assert_eq!(entries[0]["outgoingBitrateCause"], "probe");
        let layers = json!({
            "type": "layers", "consumerId": "tile", "spatialLayer": 1, "temporalLayer": null, "suspended": false,
            "agoMs": 30_000,
        });
        assert_eq!(entries[1], layers);
    }

    #[test]
    fn a_picture_has_a_line_for_each_rate_and_a_mark_for_each_change() {
        let svg = picture(&decisions(), &HashMap::new());
        assert_eq!(svg.matches("<polyline").count(), 3);
        assert!(svg.contains("<title>7: spatial 1, temporal all, 30.0 s ago</title>"), "{svg}");
        assert!(svg.contains(">2000</text>"), "the scale goes up to 2 Mbit/s: {svg}");
        assert!(picture(&[], &HashMap::new()).ends_with("</svg>"), "nothing is known yet");
    }
}
