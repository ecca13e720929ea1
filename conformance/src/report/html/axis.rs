//! A logarithmic axis.

/// Whole decades, laid out over a range of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    low: i32,
    high: i32,
    /// Whether there are values below the low end, which are drawn there.
    cut: bool,
    from: f64,
    to: f64,
}

impl Axis {
    /// The axis that holds the largest of `values` and at most `decades` below it. Values that are not positive and finite
    /// are left out of account; `None` if there are no others.
    pub(super) fn over(
        values: impl Iterator<Item = f64>,
        decades: i32,
        (from, to): (f64, f64),
    ) -> Option<Self> {
        let logarithms = values.filter(|value| *value > 0.0 && value.is_finite()).map(f64::log10);
        let (low, high) = logarithms.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), decade| {
            (decade.min(low), decade.max(high))
        });
        if low > high {
            return None;
        }
        let high = high.ceil() as i32;
        let lowest = (low.floor() as i32).min(high - 1);
        let low = lowest.max(high - decades);
        Some(Self { low, high, cut: low > lowest, from, to })
    }

    /// Where a value lies; beyond the ends, at the end.
    pub(super) fn position(&self, value: f64) -> f64 {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let decade = if value > 0.0 { value.log10().clamp(low, high) } else { low };
        self.from + (self.to - self.from) * (decade - low) / (high - low)
    }

    /// A few decades to label: position and label.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (f64, String)> + '_ {
        let step = (self.high - self.low).div_euclid(6).max(1) as usize;
        (self.low..=self.high).step_by(step).map(|decade| {
            let bound = if self.cut && decade == self.low { "\u{2264}" } else { "" };
            (self.position(10_f64.powi(decade)), format!("{bound}{}", label(decade)))
        })
    }
}

/// `1`, `10`, `10³`, `10⁻⁷`.
fn label(decade: i32) -> String {
    let digit = |c: char| match c {
        '-' => '\u{207b}',
        '1' => '\u{b9}',
        '2' => '\u{b2}',
        '3' => '\u{b3}',
        other => char::from_u32(0x2070 + other as u32 - '0' as u32).unwrap_or(other),
    };
    match decade {
        0 => "1".to_owned(),
        1 => "10".to_owned(),
        other => format!("10{}", other.to_string().chars().map(digit).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Axis, label};

    #[test]
    fn values_lie_between_whole_decades() {
        let values = || [3.0, 0.02, 0.0, f64::NAN].into_iter();
        let axis = Axis::over(values(), 8, (0.0, 300.0)).unwrap();
        assert_eq!(axis, Axis { low: -2, high: 1, cut: false, from: 0.0, to: 300.0 });
        assert!((axis.position(0.1) - 100.0).abs() < 1e-9);
        let ends = [axis.position(0.0), axis.position(1e-9), axis.position(f64::INFINITY)];
        assert_eq!(ends, [0.0, 0.0, 300.0]);
        let cut = Axis::over(values(), 2, (0.0, 300.0)).unwrap();
        assert_eq!(cut, Axis { low: -1, cut: true, ..axis });
        assert_eq!(cut.ticks().next().unwrap().1, "\u{2264}10\u{207b}\u{b9}");
        assert_eq!(Axis::over([0.0, f64::INFINITY].into_iter(), 8, (0.0, 1.0)), None);
    }

    #[test]
    fn there_are_few_ticks_and_always_some() {
        for (low, high) in [(1.0, 1.0), (1e-3, 1e3), (1.0, 1e16), (1e-300, 1.0)] {
            let axis = Axis::over([low, high].into_iter(), 20, (0.0, 1.0)).unwrap();
            assert!((2..=12).contains(&axis.ticks().count()), "{low} to {high}");
        }
        assert_eq!([0, 1, 3, -10].map(label), ["1", "10", "10\u{b3}", "10\u{207b}\u{b9}\u{2070}"]);
    }
}
