#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    spectra_fuzz_targets::candle_state(data);
});
