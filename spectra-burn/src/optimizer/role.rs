//! Whose optimizer a rule is.

use super::Orientation;
use super::assigned::Assigned;
use super::blocks::shapes;
use super::layout::{View, flat, group_view};
use burn::module::ParamId;
use burn::tensor::DType;
use spectra_core::backend::{Error, ErrorKind, Result};
use spectra_core::optimizer::plan::Block;
use std::sync::Arc;

/// Whose optimizer it is.
#[derive(Clone, Debug)]
pub(super) enum Role {
    /// A group's: it knows a parameter's shape only.
    Group,
    /// One parameter's of a plan.
    Parameter(Arc<Target>),
    /// The parameters' that a plan has not: it refuses them.
    Unplanned,
}

/// A named parameter and what a plan decided for it.
#[derive(Debug)]
pub(super) struct Target {
    /// Its place in the plan.
    pub(super) place: usize,
    pub(super) id: ParamId,
    pub(super) name: Box<str>,
    pub(super) shape: Box<[usize]>,
    pub(super) dtype: DType,
    pub(super) view: View,
    /// The matrices in it; none if it is one.
    pub(super) blocks: Box<[Block]>,
    /// `None`: frozen.
    pub(super) assigned: Option<Assigned>,
}

impl Target {
    /// The shapes of the matrices that it is stepped as.
    pub(super) fn shapes(&self) -> Vec<(usize, usize)> {
        shapes(&self.blocks, (self.view.rows, self.view.cols))
    }

    /// Their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let whole = self.blocks.is_empty().then_some(&*self.name);
        whole.into_iter().chain(self.blocks.iter().map(Block::name))
    }
}

impl Role {
    /// The parameter, if it is one parameter's.
    pub(super) fn target(&self) -> Option<&Arc<Target>> {
        if let Self::Parameter(target) = self { Some(target) } else { None }
    }

    /// What is seen in a parameter of this shape.
    pub(super) fn view(&self, shape: &[usize], orientation: Orientation) -> Result<View> {
        match self {
            Self::Group => Ok(group_view(shape, orientation)),
            Self::Parameter(target) if *target.shape == *shape => Ok(target.view),
            Self::Parameter(target) => Err(Error::shape("step", flat(&target.shape), flat(shape))),
            Self::Unplanned => {
                let name = format!("a parameter of shape {shape:?}").into();
                let reason = "has neither a name nor an id of the module that the plan was made for";
                Err(Error::new("step", ErrorKind::Name { name, reason }))
            }
        }
    }
}
