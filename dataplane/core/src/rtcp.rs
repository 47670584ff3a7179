//! rtcp: to come.
