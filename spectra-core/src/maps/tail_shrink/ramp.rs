//! A rank that moves with the steps.

use crate::backend::{Result, require};

/// The rank ratio goes from [`rank_ratio`](super::TailShrink::rank_ratio) to [`to`](Self::to) between two steps, in equal jumps:
///
/// `ratio(t) = rank_ratio + (to - rank_ratio) floor(levels x) / levels`, `x = (t - begin) / (end - begin)` kept in [0, 1],
///
/// with the matrix's own step t, from 0. Ours, without evidence yet: gradients are said to be low-rank and noise early, so that a large rank
/// would be of use at one end of a run only. A step that changes the rank makes new temporaries, and keeps the old ones for
/// other matrices: at most `levels` times.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct RankRamp {
    /// The last ratio, in (0, 1], smaller or larger than the first.
    pub to: f64,
    /// The step at which it begins to move.
    #[cfg_attr(feature = "serde", serde(default))]
    pub begin: u64,
    /// The step at which it has arrived, after `begin`.
    pub end: u64,
    /// In how many jumps, from 1 to 100; 8 unless given.
    #[cfg_attr(feature = "serde", serde(default = "eight"))]
    pub levels: u32,
}

#[cfg(feature = "serde")]
fn eight() -> u32 {
    8
}

impl RankRamp {
    /// The ratio at `step`, having begun at `from`.
    pub fn ratio(&self, from: f64, step: u64) -> f64 {
        let (gone, all) = (step.saturating_sub(self.begin), self.end.saturating_sub(self.begin));
        if gone >= all {
            return self.to;
        }
        let levels = f64::from(self.levels);
        from + (self.to - from) * libm::floor(levels * gone as f64 / all as f64) / levels
    }

    /// An error if a setting is outside its domain.
    pub(super) fn validate(&self) -> Result<()> {
        let Self { to, begin, end, levels } = *self;
        require(to > 0.0 && to <= 1.0, "tail_shrink", "ramp.to", to, "in (0, 1]")?;
        require(end > begin, "tail_shrink", "ramp.end", end as f64, "after ramp.begin")?;
        let in_range = (1..=100).contains(&levels);
        require(in_range, "tail_shrink", "ramp.levels", f64::from(levels), "from 1 to 100")
    }
}
