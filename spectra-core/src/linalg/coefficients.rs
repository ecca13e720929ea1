//! Published coefficients of odd quintics `x (a + b x^2 + c x^4)`, one triple a step.

use super::{Normalization, OddPolynomial, Polar, Schedule, Steps};

/// A published set; its last triple repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Published {
    /// Polar Express as its authors' program has it (2505.16932): eight, of which all but the last stretch the argument by 1.01. In
    /// eight steps from `[1e-3, 1]` to 3e-15.
    PolarExpress,
    /// Polar Express in five steps, made for these: microsoft/dion, modded-nanogpt. The stretch by 1.02 is inside.
    PolarExpressShort,
    /// Polar Express in NVIDIA's Emerging-Optimizers: four decimals, the stretch by 1.01 inside.
    PolarExpressNvidia,
    /// Jiacheng You's five: modded-nanogpt before Polar Express, microsoft/dion without it, Megatron's default.
    You,
    /// CANS (Grishina et al. 2025, 2506.10935): Remez with an interval that is adapted, five.
    Cans,
}

type Triples = &'static [[f64; 3]];

const POLAR_EXPRESS: Triples = &[
    [8.28721201814563, -23.595886519098837, 17.300387312530933],
    [4.107059111542203, -2.9478499167379106, 0.5448431082926601],
    [3.9486908534822946, -2.908902115962949, 0.5518191394370137],
    [3.3184196573706015, -2.488488024314874, 0.51004894012372],
    [2.300652019954817, -1.6689039845747493, 0.4188073119525673],
    [1.891301407787398, -1.2679958271945868, 0.37680408948524835],
    [1.8750014808534479, -1.2500016453999487, 0.3750001645474248],
    [1.875, -1.25, 0.375],
];

const POLAR_EXPRESS_SHORT: Triples = &[
    [8.156554524902461, -22.48329292557795, 15.878769915207462],
    [4.042929935166739, -2.808917465908714, 0.5000178451051316],
    [3.8916678022926607, -2.772484153217685, 0.5060648178503393],
    [3.285753657755655, -2.3681294933425376, 0.46449024233003106],
    [2.3465413258596377, -1.7097828382687081, 0.42323551169305323],
];

const POLAR_EXPRESS_NVIDIA: Triples = &[
    [8.2051, -22.9019, 16.4607],
    [4.0664, -2.8612, 0.5184],
    [3.9096, -2.8234, 0.5250],
    [3.2856, -2.4153, 0.4853],
    [2.2779, -1.6198, 0.3985],
    [1.8726, -1.2307, 0.3585],
    [1.8564, -1.2132, 0.3568],
    [1.875, -1.25, 0.375],
];

const YOU: Triples = &[
    [4.0848, -6.8946, 2.9270],
    [3.9505, -6.3029, 2.6377],
    [3.7418, -5.5913, 2.3037],
    [2.8769, -3.1427, 1.2046],
    [2.8366, -3.0525, 1.2012],
];

const CANS: Triples = &[
    [8.4703, -25.1081, 18.6293],
    [4.1828, -3.1087, 0.5806],
    [3.9619, -2.9541, 0.5630],
    [3.2866, -2.4647, 0.5074],
    [2.2737, -1.6447, 0.4162],
];

impl Published {
    /// The polynomial of step `step`, from 0.
    pub fn polynomial(self, step: usize) -> OddPolynomial {
        let (triples, stretch) = match self {
            Self::PolarExpress => (POLAR_EXPRESS, 1.01),
            Self::PolarExpressShort => (POLAR_EXPRESS_SHORT, 1.0),
            Self::PolarExpressNvidia => (POLAR_EXPRESS_NVIDIA, 1.0),
            Self::You => (YOU, 1.0),
            Self::Cans => (CANS, 1.0),
        };
        let last = triples.len() - 1;
        let [a, b, c] = triples[step.min(last)];
        let p = OddPolynomial { a, b, c };
        if step < last { p.stretched(stretch) } else { p }
    }
}

/// The iterations of their programs.
impl Polar {
    /// The authors' Polar Express in eight steps, `X / (1.01 ||X||_F + 1e-7)`.
    pub const POLAR_EXPRESS_PAPER: Self = Self {
        schedule: Schedule::Published(Published::PolarExpress),
        steps: Steps::Fixed(8),
        normalization: Normalization::Added { factor: 1.01, eps: 1e-7 },
        ..Self::MUON
    };

    /// The published digits of [`POLAR_EXPRESS`](Self::POLAR_EXPRESS), as in microsoft/dion and modded-nanogpt.
    pub const POLAR_EXPRESS_SHORT: Self =
        Self { schedule: Schedule::Published(Published::PolarExpressShort), ..Self::POLAR_EXPRESS };

    /// NVIDIA's Polar Express in eight steps, `X / max(||X||_F, 1e-7)`.
    pub const POLAR_EXPRESS_NVIDIA: Self = Self {
        schedule: Schedule::Published(Published::PolarExpressNvidia),
        steps: Steps::Fixed(8),
        ..Self::MUON_TORCH
    };

    /// You's five steps, `X / (||X||_F + 1e-7)`.
    pub const YOU: Self = Self { schedule: Schedule::Published(Published::You), ..Self::MUON };

    /// CANS in five steps, `X / max(||X||_F, 1e-7)` as NVIDIA has it.
    pub const CANS: Self = Self { schedule: Schedule::Published(Published::Cans), ..Self::MUON_TORCH };
}

impl OddPolynomial {
    /// The least and the largest value on `[l, u]`.
    pub(super) fn range(&self, l: f64, u: f64) -> (f64, f64) {
        // p'(x) = a + 3 b y + 5 c y^2 with y = x^2; where there are no real roots they are NaN, and in no interval.
        let root = libm::sqrt(9.0 * self.b * self.b - 20.0 * self.a * self.c);
        let extrema = if self.c == 0.0 {
            [libm::sqrt(-self.a / (3.0 * self.b)); 2]
        } else {
            [-root, root].map(|root| libm::sqrt((root - 3.0 * self.b) / (10.0 * self.c)))
        };
        let inside = extrema.into_iter().filter(|x| l < *x && *x < u);
        [l, u]
            .into_iter()
            .chain(inside)
            .map(|x| self.at(x))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)))
    }
}
