//! Which of a consumer's packets control is told of.

use corecast_wire::TraceEvents;

use super::Consumer;

impl Consumer {
    /// The kinds of packets that control is told of.
    pub(crate) const fn traces(&self) -> TraceEvents {
        self.traces
    }

    /// Changes them.
    pub(crate) const fn set_traces(&mut self, traces: TraceEvents) {
        self.traces = traces;
    }
}
