#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keywatch_fuzz::decode::run(bytes));
