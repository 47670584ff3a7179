//! The machine as its shell sees it: datagrams in, datagrams out.

mod bed;
mod forwarding;
mod headers;
mod streams;
