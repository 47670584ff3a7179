//! Fuzz target; see `corecast_tests::fuzz::stun`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_tests::fuzz::stun(data));
