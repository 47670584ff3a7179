//! corecast's tests that need more than one package: simulation, fuzz targets, and what the tests share.

pub mod association;
pub mod bare;
pub mod bed;
pub mod broadcaster;
pub mod browser;
pub mod chunks;
mod described;
pub mod fuzz;
pub mod relay;
pub mod script;
pub mod server;
pub mod sim;
pub mod webrtc;
