//! Defects of rounding at random.

use spectra_core::backend::Matrix;
use spectra_core::linalg::SixteenBits as Format;

use crate::bug::bug;

bug!(ToNearest, "rounding to nearest", round_stochastic, |x, format, _| {
    x.values_mut().iter_mut().for_each(|x| *x = format.round(*x, 1 << 23));
    Ok(())
});

bug!(NoSeed, "a seed that does not matter", round_stochastic, |x, format, _| {
    format.round_all(x.values_mut(), 1, 0);
    Ok(())
});

bug!(RowByRow, "the same draws in each row", round_stochastic, |x, format, seed| {
    let cols = x.shape().1.max(1);
    x.values_mut().chunks_mut(cols).for_each(|row| format.round_all(row, seed, 0));
    Ok(())
});

bug!(ByColumns, "draws by columns", round_stochastic, |x, format, seed| {
    let (rows, cols) = x.shape();
    for (at, x) in x.values_mut().iter_mut().enumerate() {
        format.round_all(std::slice::from_mut(x), seed, at % cols * rows + at / cols);
    }
    Ok(())
});

bug!(OneFormat, "f16 for bf16", round_stochastic, |x, _, seed| {
    Format::Bf16.round_all(x.values_mut(), seed, 0);
    Ok(())
});
