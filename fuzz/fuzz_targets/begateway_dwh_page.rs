#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| paysync_fuzz::page("begateway_dwh", data));
