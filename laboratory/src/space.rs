//! Where an optimizer's settings are looked for: the same number of quasi-random points for each.

use sobol_burley::sample;

/// Points over the whole space.
pub const GLOBAL: u32 = 16;
/// Points around the best of those.
pub const LOCAL: u32 = 4;

/// Octaves by which learning rates may be above or below their centre.
const OCTAVES: f64 = 3.0;
const WEIGHT_DECAY: (f64, f64) = (0.03, 3.0);
/// Shares of the run in which the learning rate rises.
const WARMUPS: [f64; 4] = [0.02, 0.075, 0.15, 0.3];

/// A setting that is one optimizer's own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knob {
    /// What stands before the number on the command line, such as `--beta2=`.
    pub flag: &'static str,
    /// Its range.
    pub range: (f64, f64),
    /// What is spread evenly over the range.
    pub spread: Spread,
    /// The largest number that means anything: a box around the best point may reach over the range.
    pub most: f64,
}

/// The measure in which a range is even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// The logarithm.
    Logarithm,
    /// The logarithm of the distance to 1, for decays.
    BelowOne,
}

/// An optimizer's space.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Space {
    /// Centre of the learning rate of hidden matrices.
    pub lr: f64,
    /// Centre of everything else's.
    pub elementwise_lr: f64,
    /// Its own setting.
    pub knob: Knob,
}

/// A point of a space, each number in the unit interval.
pub type Unit = [f64; 5];

/// Settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Of the hidden matrices.
    pub lr: f64,
    /// Of everything else.
    pub elementwise_lr: f64,
    /// Decoupled.
    pub weight_decay: f64,
    /// Share of the steps.
    pub warmup: f64,
    /// The optimizer's own.
    pub knob: f64,
}

/// Point `index` of the whole unit cube: the same for every optimizer.
pub fn global(index: u32) -> Unit {
    core::array::from_fn(|dimension| f64::from(sample(index, dimension as u32, 0)))
}

/// Point `index` of a box around `best` whose sides are a third of the cube's (an octave up and down for the rates), reaching over its
/// faces, so that a best point at the edge moves the box; warm-up as the best's.
pub fn local(best: Unit, index: u32) -> Unit {
    let mut near: Unit =
        core::array::from_fn(|at| best[at] + (f64::from(sample(index, at as u32, 1)) - 0.5) / 3.0);
    near[3] = best[3];
    near
}

impl Space {
    /// The settings at a point of the unit cube, to four digits: what is written on the command line is what is meant.
    pub fn at(&self, unit: Unit) -> Point {
        let rate = |centre: f64, u: f64| digits(centre * ((2.0 * u - 1.0) * OCTAVES).exp2());
        let logarithmic = |(low, high): (f64, f64), u: f64| low * (high / low).powf(u);
        let (low, high) = self.knob.range;
        let knob = match self.knob.spread {
            Spread::Logarithm => logarithmic((low, high), unit[4]),
            Spread::BelowOne => 1.0 - logarithmic((1.0 - low, 1.0 - high), unit[4]),
        };
        Point {
            lr: rate(self.lr, unit[0]),
            elementwise_lr: rate(self.elementwise_lr, unit[1]),
            weight_decay: digits(logarithmic(WEIGHT_DECAY, unit[2])),
            warmup: WARMUPS[((unit[3] * WARMUPS.len() as f64) as usize).min(WARMUPS.len() - 1)],
            knob: digits(knob.min(self.knob.most)),
        }
    }

    /// The flags of `train_lm` for a point.
    pub fn flags(&self, point: &Point) -> Vec<String> {
        vec![
            format!("--lr={}", point.lr),
            format!("--elementwise-lr={}", point.elementwise_lr),
            format!("--weight-decay={}", point.weight_decay),
            format!("--warmup={}", point.warmup),
            format!("{}{}", self.knob.flag, point.knob),
        ]
    }
}

fn digits(x: f64) -> f64 {
    format!("{x:.3e}").parse().unwrap_or(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: Space = Space {
        lr: 1e-3,
        elementwise_lr: 4e-3,
        knob: Knob { flag: "--beta2=", range: (0.9, 0.999), spread: Spread::BelowOne, most: 1.0 },
    };

    #[test]
    fn corners_and_centre_are_where_they_should_be() {
        let centre = SPACE.at([0.5; 5]);
        assert_eq!((centre.lr, centre.elementwise_lr, centre.warmup), (1e-3, 4e-3, 0.15));
        assert!((centre.weight_decay - 0.3).abs() < 1e-4 && (centre.knob - 0.99).abs() < 1e-4);
        let low = SPACE.at([0.0; 5]);
        assert_eq!((low.lr, low.weight_decay, low.warmup, low.knob), (1.25e-4, 0.03, 0.02, 0.9));
        assert_eq!(SPACE.flags(&low)[4], "--beta2=0.9");
    }

    #[test]
    fn sixteen_points_fill_each_side_evenly() {
        for dimension in 0..5 {
            let mut seen = [0; 4];
            for index in 0..GLOBAL {
                let u = global(index)[dimension];
                assert!((0.0..1.0).contains(&u));
                seen[(u * 4.0) as usize] += 1;
            }
            // A (0, 4, 1)-net in every dimension: four points in each quarter.
            assert_eq!(seen, [4; 4], "{dimension}");
        }
    }

    #[test]
    fn the_box_around_an_edge_reaches_over_it() {
        let best = [1.0, 0.5, 0.5, 0.9, 0.5];
        let near: Vec<_> = (0..LOCAL).map(|index| local(best, index)).collect();
        assert!(near.iter().any(|point| point[0] > 1.0) && near.iter().any(|point| point[0] < 1.0));
        let ratio = Knob { flag: "--rank-ratio=", range: (0.015, 0.9), spread: Spread::Logarithm, most: 1.0 };
        assert_eq!(Space { knob: ratio, ..SPACE }.at([0.5, 0.5, 0.5, 0.5, 1.16]).knob, 1.0);
        assert!(near.iter().all(|point| point[3] == 0.9 && (point[1] - 0.5).abs() <= 1.0 / 6.0));
    }
}
