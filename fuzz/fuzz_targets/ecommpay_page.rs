#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| paysync_fuzz::page("ecommpay", data));
