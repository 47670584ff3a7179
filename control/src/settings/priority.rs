//! How much a room matters beside the others.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How much a room matters beside the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Priority {
    /// As all others.
    #[default]
    Normal,
    /// It gets the core on which there is most room, and is still made when others are not any longer.
    High,
}
