//! What mediasoup's Node library and its worker say to each other, made of mediasoup's schemas at build time.
//!
//! A library of its own beside the program, so that its three megabytes of generated code are compiled once.

#[allow(
    missing_docs,
    unreachable_pub,
    unused_imports,
    unused_qualifications,
    elided_lifetimes_in_paths,
    clippy::all,
    clippy::manual_let_else,
    clippy::multiple_unsafe_ops_per_block,
    clippy::or_fun_call,
    clippy::undocumented_unsafe_blocks,
    clippy::use_self,
    reason = "generated"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/fbs.rs"));
}

pub use generated::fbs;
