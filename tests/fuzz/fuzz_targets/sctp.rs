//! Fuzz target; see `corecast_tests::fuzz::sctp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_tests::fuzz::sctp(data));
