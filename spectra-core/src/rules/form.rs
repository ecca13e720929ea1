//! How a [`Method`] is written: a recipe as it always was, its four fields, the format of its momentum if it is another; any other rule under the name `rule`.

use super::{Method, MomentumFormat, Recipe, WholeRule};
use crate::directions::Direction;
use crate::maps::SpectralMap;
use crate::scales::StepScale;

/// The fields of a recipe, or a rule of its own.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    direction: Option<Direction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    map: Option<SpectralMap>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<StepScale>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight_decay: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    momentum_format: Option<MomentumFormat>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<WholeRule>,
}

impl From<Method> for Form {
    fn from(method: Method) -> Self {
        let (direction, map, scale, weight_decay, momentum_format) = Default::default();
        let empty = Self { direction, map, scale, weight_decay, momentum_format, rule: None };
        match method {
            Method::Whole(rule) => Self { rule: Some(rule), ..empty },
            Method::Recipe(Recipe { direction, map, scale, weight_decay, momentum_format }) => Self {
                direction: Some(direction),
                map: Some(map),
                scale: Some(scale),
                weight_decay: Some(weight_decay),
                momentum_format: Some(momentum_format).filter(|format| !format.is_full()),
                ..empty
            },
        }
    }
}

impl TryFrom<Form> for Method {
    type Error = &'static str;

    fn try_from(form: Form) -> Result<Self, Self::Error> {
        match form {
            Form {
                direction: None,
                map: None,
                scale: None,
                weight_decay: None,
                momentum_format: None,
                rule: Some(rule),
            } => Ok(Self::Whole(rule)),
            Form { rule: Some(_), .. } => Err("a method is either `rule` or the fields of a recipe"),
            Form { direction, map, scale, weight_decay, momentum_format, rule: None } => {
                Ok(Self::Recipe(Recipe {
                    direction: direction.ok_or("missing field `direction`")?,
                    map: map.ok_or("missing field `map`")?,
                    scale: scale.ok_or("missing field `scale`")?,
                    weight_decay: weight_decay.ok_or("missing field `weight_decay`")?,
                    momentum_format: momentum_format.unwrap_or_default(),
                }))
            }
        }
    }
}
