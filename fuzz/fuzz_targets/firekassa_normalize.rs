#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| paysync_fuzz::normalize("firekassa", data));
