//! Numbers that the host does not know.
//!
//! An operation on them is only noted. The kernel that needs the result gets the notes as a program, which its blocks
//! run before they begin: a norm becomes a coefficient without a launch of its own. Only a number that is read, or whose
//! program would grow too long, is computed by itself.

use super::check_device;
use crate::checked::{CONSTANT, Coefficients, Device, Instruction, LOAD, Slot};
use crate::error::At;
use spectra_core::backend::{Coefficient, Error, ErrorKind, Result, Scalar, ScalarOp};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A number of [`CudaBackend`](crate::CudaBackend), in `f64`.
#[derive(Clone)]
pub struct CudaScalar(Expression);

#[derive(Clone)]
enum Expression {
    /// The host has it.
    Constant(f64),
    /// The device will have it.
    Unknown(Arc<Node>),
}

struct Node {
    device: Arc<Device>,
    value: Value,
    /// 1, or the parts of the stacks of which each has its own.
    count: usize,
    /// At least as many steps as its program has.
    steps: usize,
}

enum Value {
    /// A kernel has written it.
    Measured(Slot),
    Combined(ScalarOp, Expression, Expression),
    Root(Expression),
}

/// A number with a longer program is computed by itself. Two such numbers and what is made of them still fit a launch.
const LONGEST: usize = 32;

/// The places of operations in the kernels' `apply`.
fn code(op: ScalarOp) -> i32 {
    match op {
        ScalarOp::Add => 2,
        ScalarOp::Sub => 3,
        ScalarOp::Mul => 4,
        ScalarOp::Div => 5,
        ScalarOp::Min => 6,
        ScalarOp::Max => 7,
        ScalarOp::Less => 8,
    }
}
const SQRT: i32 = 9;

impl fmt::Debug for CudaScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Expression::Constant(value) => f.debug_tuple("CudaScalar").field(value).finish(),
            Expression::Unknown(node) => write!(f, "CudaScalar({} steps on the device)", node.steps),
        }
    }
}

impl CudaScalar {
    pub(super) fn constant(value: f64) -> Self {
        Self(Expression::Constant(value))
    }

    /// The number that `measure` makes a kernel write.
    pub(super) fn measured(
        device: &Arc<Device>,
        count: usize,
        measure: impl FnOnce(u64) -> Result<()>,
    ) -> Result<Self> {
        let slot = device.slot(count).at("scalar")?;
        measure(slot.place())?;
        Ok(Self::of_slot(device, slot))
    }

    pub(super) fn of_slot(device: &Arc<Device>, slot: Slot) -> Self {
        let (device, count) = (device.clone(), slot.count());
        let node = Node { device, count, value: Value::Measured(slot), steps: 1 };
        Self(Expression::Unknown(Arc::new(node)))
    }

    /// The same number, computed now: its program is one step.
    fn settled(&self) -> Result<Self> {
        match &self.0 {
            Expression::Unknown(node) if !matches!(node.value, Value::Measured(_)) => {
                let mut program = Program::new();
                let out = program.add(&self.0).map(i32::from).ok_or_else(too_long)?;
                let mut coefficients = program.coefficients([1.0; 4]);
                coefficients.out[0] = out;
                Self::measured(&node.device, node.count, |place| {
                    node.device.scalar_evaluate(place, &coefficients, node.count)
                })
            }
            _ => Ok(self.clone()),
        }
    }

    fn steps(&self) -> usize {
        match &self.0 {
            Expression::Constant(_) => 1,
            Expression::Unknown(node) => node.steps,
        }
    }
}

/// A program that fits by the count of its steps and does not: a defect of this file.
fn too_long() -> spectra_core::backend::Error {
    crate::CudaError::TooLarge { what: "a program", size: LONGEST }.at("scalar")
}

impl Expression {
    fn device(&self) -> Option<&Arc<Device>> {
        match self {
            Self::Constant(_) => None,
            Self::Unknown(node) => Some(&node.device),
        }
    }

    /// For how many parts of a stack it is; 1: the same for all.
    fn count(&self) -> usize {
        match self {
            Self::Constant(_) => 1,
            Self::Unknown(node) => node.count,
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Constant(a), Self::Constant(b)) => a.to_bits() == b.to_bits(),
            (Self::Unknown(a), Self::Unknown(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Scalar for CudaScalar {
    fn combine(op: ScalarOp, a: &Self, b: &Self) -> Result<Self> {
        const NAME: &str = "combine";
        let device = match (&a.0, &b.0) {
            (Expression::Constant(a), Expression::Constant(b)) => {
                return Ok(Self::constant(op.on_host(*a, *b)));
            }
            (Expression::Unknown(a), Expression::Unknown(b)) => {
                check_device(NAME, &a.device, &b.device)?;
                a.device.clone()
            }
            (Expression::Unknown(node), _) | (_, Expression::Unknown(node)) => node.device.clone(),
        };
        let count = match (a.0.count(), b.0.count()) {
            (a, 1) => a,
            (1, b) => b,
            (a, b) if a == b => a,
            _ => return Err(of_other_stacks(NAME)),
        };
        let node = |a: &Self, b: &Self| {
            let value = Value::Combined(op, a.0.clone(), b.0.clone());
            Self(Expression::Unknown(Arc::new(Node { device: device.clone(), count, value, steps: 0 })))
        };
        shortest([a, b], |[a, b]| node(a, b))
    }

    fn sqrt(&self) -> Result<Self> {
        match &self.0 {
            Expression::Constant(value) => Ok(Self::constant(f64::sqrt(*value))),
            Expression::Unknown(node) => {
                let (device, count) = (node.device.clone(), node.count);
                shortest([self], |[a]| {
                    let (device, value) = (device.clone(), Value::Root(a.0.clone()));
                    Self(Expression::Unknown(Arc::new(Node { device, count, value, steps: 0 })))
                })
            }
        }
    }

    fn read(&self) -> Result<f64> {
        if self.0.count() > 1 {
            let what = "reading a number of each part of a stack";
            return Err(Error::new("read", ErrorKind::Unsupported { what }));
        }
        let settled = self.settled()?;
        match &settled.0 {
            Expression::Constant(value) => Ok(*value),
            Expression::Unknown(node) => {
                let Value::Measured(slot) = &node.value else { return Err(too_long()) };
                let mut value = [0.0];
                // SAFETY: a slot holds one f64; the host waits before the borrow ends.
                unsafe { node.device.download(slot.place(), &mut value) }.at("read")?;
                node.device.wait().at("read")?;
                Ok(value[0])
            }
        }
    }

    fn known(&self) -> Option<f64> {
        if let Expression::Constant(value) = self.0 { Some(value) } else { None }
    }
}

/// The scalar that `make` makes of the operands, of which the longest are computed first until its program fits.
fn shortest<const N: usize>(
    operands: [&CudaScalar; N],
    make: impl Fn([&CudaScalar; N]) -> CudaScalar,
) -> Result<CudaScalar> {
    let mut owned = operands.map(Clone::clone);
    loop {
        let made = make(owned.each_ref());
        let bound: usize = owned.iter().map(CudaScalar::steps).sum::<usize>() + 1;
        // Operands may share steps: the sum is only a bound.
        let steps = if bound <= LONGEST { Some(bound) } else { Program::count(&made.0) };
        if let (Some(steps), Expression::Unknown(node)) = (steps.filter(|s| *s <= LONGEST), made.0) {
            let node = match Arc::try_unwrap(node) {
                Ok(node) => Node { steps, ..node },
                Err(_) => return Err(too_long()),
            };
            return Ok(CudaScalar(Expression::Unknown(Arc::new(node))));
        }
        let longest = (0..N).max_by_key(|i| owned[*i].steps()).unwrap_or(0);
        owned[longest] = owned[longest].settled()?;
    }
}

/// A program under construction: every distinct number once.
struct Program<'a> {
    seen: Vec<&'a Expression>,
    code: [Instruction; 40],
}

impl<'a> Program<'a> {
    fn new() -> Self {
        Self { seen: Vec::with_capacity(40), code: [Instruction::default(); 40] }
    }

    /// How many steps the program of an expression has, if it fits a launch.
    fn count(expression: &Expression) -> Option<usize> {
        let mut program = Program::new();
        program.add(expression)?;
        Some(program.seen.len())
    }

    /// The step that gives `expression`; `None` if there is no room.
    fn add(&mut self, expression: &'a Expression) -> Option<i16> {
        if let Some(step) = self.seen.iter().position(|e| e.is(expression)) {
            return i16::try_from(step).ok();
        }
        let instruction = match expression {
            Expression::Constant(value) => {
                Instruction { constant: *value, op: CONSTANT, ..Default::default() }
            }
            Expression::Unknown(node) => match &node.value {
                Value::Measured(slot) => {
                    let a = i16::from(slot.count() > 1);
                    Instruction { place: slot.place(), op: LOAD, a, ..Default::default() }
                }
                Value::Combined(op, a, b) => {
                    let (a, b) = (self.add(a)?, self.add(b)?);
                    Instruction { op: code(*op), a, b, ..Default::default() }
                }
                Value::Root(a) => {
                    let a = self.add(a)?;
                    Instruction { op: SQRT, a, b: a, ..Default::default() }
                }
            },
        };
        let step = self.seen.len();
        *self.code.get_mut(step)? = instruction;
        self.seen.push(expression);
        i16::try_from(step).ok()
    }

    fn coefficients(&self, factor: [f64; 4]) -> Coefficients {
        let mut coefficients = Coefficients::of(factor);
        coefficients.count = self.seen.len() as i32;
        coefficients.code = self.code;
        coefficients
    }
}

/// The coefficients of a launch, and the numbers that were computed for it: their places are nobody else's until it has been
/// queued.
pub(super) struct Evaluated {
    coefficients: Coefficients,
    _settled: Vec<Option<CudaScalar>>,
}

impl Deref for Evaluated {
    type Target = Coefficients;

    fn deref(&self) -> &Coefficients {
        &self.coefficients
    }
}

/// The error of a stack and what belongs to one of another count.
pub(super) fn of_other_stacks(operation: &'static str) -> Error {
    let what = "operands of stacks with other numbers of parts";
    Error::new(operation, ErrorKind::Unsupported { what })
}

/// The coefficients of a launch on `device`, for matrices of which there are `count`.
pub(super) fn coefficients(
    operation: &'static str,
    (device, count): (&Arc<Device>, usize),
    of: [Coefficient<'_, CudaScalar>; 4],
) -> Result<Evaluated> {
    for coefficient in &of {
        if let Some(other) = coefficient.scalar.and_then(|s| s.0.device()) {
            check_device(operation, device, other)?;
        }
        if coefficient.scalar.is_some_and(|s| ![1, count].contains(&s.0.count())) {
            return Err(of_other_stacks(operation));
        }
    }
    if let Some(coefficients) = program(&of) {
        return Ok(Evaluated { coefficients, _settled: Vec::new() });
    }
    // Too long together: each by itself is one step.
    let mut settled = Vec::with_capacity(of.len());
    for coefficient in &of {
        settled.push(coefficient.scalar.map(CudaScalar::settled).transpose()?);
    }
    let mut short = of.map(|coefficient| Coefficient::from(coefficient.factor));
    for (short, scalar) in short.iter_mut().zip(&settled) {
        short.scalar = scalar.as_ref();
    }
    let coefficients = program(&short).ok_or_else(too_long)?;
    Ok(Evaluated { coefficients, _settled: settled })
}

fn program(of: &[Coefficient<'_, CudaScalar>; 4]) -> Option<Coefficients> {
    let mut program = Program::new();
    let (mut factor, mut out) = ([1.0; 4], [-1; 4]);
    for (i, coefficient) in of.iter().enumerate() {
        factor[i] = coefficient.factor;
        match coefficient.scalar.map(|s| &s.0) {
            None => {}
            Some(Expression::Constant(value)) => factor[i] *= value,
            Some(expression) => out[i] = i32::from(program.add(expression)?),
        }
    }
    let mut coefficients = program.coefficients(factor);
    coefficients.out = out;
    Some(coefficients)
}
