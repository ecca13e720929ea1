//! Defects of the numbers that stay on the device.

use crate::bug::bug;

bug!(StaleKnown, "a known value that is stale", known, |_| Some(1.0));

bug!(InvertedLess, "a comparison the wrong way round", combine, |op, a, b| match op {
    ScalarOp::Less => op.on_host(b, a),
    _ => op.on_host(a, b),
});

bug!(MaxForMin, "the larger in place of the smaller", combine, |op, a, b| match op {
    ScalarOp::Min => ScalarOp::Max.on_host(a, b),
    _ => op.on_host(a, b),
});

bug!(MinForMax, "the smaller in place of the larger", combine, |op, a, b| match op {
    ScalarOp::Max => ScalarOp::Min.on_host(a, b),
    _ => op.on_host(a, b),
});
