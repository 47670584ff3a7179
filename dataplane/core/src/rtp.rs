//! rtp: to come.
