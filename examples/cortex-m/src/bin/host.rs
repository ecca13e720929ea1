//! The runs on the host: line by line what the device prints.

use spectra_cortex_m::{RUNS, tune};

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
    Ok(())
}
