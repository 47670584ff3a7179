//! What an operator sees of the built binary and does to it: rooms that nobody uses, what is logged and counted, exit
//! codes, signals, settings that are shown, traces.

mod crowds;
mod documents;
mod drain;
mod ends;
mod handshakes;
mod marks;
mod metrics;
mod operators;
mod people;
mod receiver;
mod reload;
mod rooms;
mod shown;
mod tokens;
mod told;
mod traces;
mod webhooks;
