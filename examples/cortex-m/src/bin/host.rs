//! The runs on the host: line by line what the device prints.

use spectra_cortex_m::{RUNS, Report, SPECTRA, tune, tune_lean};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for run in RUNS {
        let mut last = 0;
        tune(&run, |report| {
            if report.is_told() {
                println!("{report}");
            }
            last = report.checksum;
        })?;
        #[cfg(feature = "serde")]
        {
            let resumed = spectra_cortex_m::resume(&run)?;
            assert_eq!(resumed.checksum, last, "{}: a resumed run comes to other weights", run.preset);
            println!("{resumed}");
        }
    }
    // The same rule, put together by hand, is the same run.
    let (mut preset, mut lean): (Vec<Report>, Vec<Report>) = Default::default();
    tune(&SPECTRA, |report| preset.push(*report))?;
    tune_lean(|report| lean.push(*report))?;
    assert_eq!(lean, preset, "the composed rule goes another way than the preset");
    Ok(())
}
