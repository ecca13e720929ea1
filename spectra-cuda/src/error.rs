//! What goes wrong below the algorithms: libraries, device, memory, compiler.

use cudarc::cublas::result::CublasError;
use cudarc::driver::{DriverError, sys::CUresult};
use spectra_core::backend::{Error, ErrorKind};
use spectra_core::distributed::Lost;
use std::fmt;

/// An error of CUDA or of the buffers given; [`spectra_core::backend::Error`] carries it with the operation's name.
#[derive(Debug)]
#[non_exhaustive]
pub enum CudaError {
    /// A library of NVIDIA's that is not on this machine.
    Library {
        /// `"libcuda"` (the driver), `"libnvrtc"`, `"libcublas"`, or `"libnccl"` for several GPUs.
        name: &'static str,
    },
    /// There is no such device.
    NoDevice {
        /// The number asked for.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// The device has no memory left.
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// The driver refused.
    Driver(DriverError),
    /// cuBLAS refused.
    Blas(CublasError),
    /// NCCL refused, or failed.
    Nccl {
        /// Its name for the error.
        name: &'static str,
        /// Its words, which may be none.
        text: String,
    },
    /// Other ranks of a group do not take part in what is queued. An [`Error`] has it as [`ErrorKind::Lost`].
    Lost(Lost),
    /// NVRTC did not compile the kernels.
    Compile {
        /// Its log.
        log: String,
    },
    /// A buffer that does not hold the matrix.
    BufferTooSmall {
        /// Elements needed.
        needed: usize,
        /// Elements given.
        found: usize,
    },
    /// A leading dimension below the number of columns.
    LeadingDimension {
        /// The leading dimension given.
        ld: usize,
        /// The number of columns.
        cols: usize,
    },
    /// A buffer of another device or context than the backend's.
    ForeignContext,
    /// A buffer of another stream, while cudarc's tracking of events, which would order the two, is off.
    ForeignStream,
    /// Operands of backends on different streams.
    ForeignMatrix,
    /// Something that a graph cannot repeat, while the stream is being captured.
    Captured {
        /// What.
        what: &'static str,
    },
    /// A matrix that no memory can hold.
    MatrixTooLarge {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
    },
    /// A size beyond what cuBLAS or a kernel can address.
    TooLarge {
        /// What.
        what: &'static str,
        /// The size.
        size: usize,
    },
}

impl fmt::Display for CudaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library { name: name @ "libnccl" } => write!(
                f,
                "{name} was not found on this machine: looked for are {name}.so, {name}.so.1 and the like, not {name}.so.2, under which \
                 NVIDIA's Python package has it: make a link to that of the name {name}.so, in a folder of LD_LIBRARY_PATH"
            ),
            Self::Library { name } => write!(f, "{name} was not found on this machine"),
            Self::NoDevice { ordinal, count } => {
                write!(f, "there is no CUDA device {ordinal}; devices found: {count}")
            }
            Self::OutOfMemory { bytes } => write!(f, "the device has no memory left for {bytes} bytes"),
            Self::Driver(error) => write!(f, "CUDA driver: {error}"),
            Self::Blas(error) => write!(f, "cuBLAS: {error}"),
            Self::Nccl { name, text } if text.is_empty() => write!(f, "NCCL: {name}"),
            Self::Nccl { name, text } => write!(f, "NCCL: {name}: {text}"),
            Self::Lost(lost) => write!(f, "{lost}"),
            Self::Compile { log } => write!(f, "NVRTC did not compile the kernels: {log}"),
            Self::BufferTooSmall { needed, found } => {
                write!(f, "the buffer holds {found} elements, the matrix needs {needed}")
            }
            Self::LeadingDimension { ld, cols } => {
                write!(f, "the leading dimension {ld} is less than the number of columns {cols}")
            }
            Self::ForeignContext => f.write_str("the buffer belongs to another device or context"),
            Self::ForeignStream => f.write_str(
                "the buffer belongs to another stream, and event tracking, which would order the two, is off",
            ),
            Self::ForeignMatrix => f.write_str("the operands belong to backends on different streams"),
            Self::Captured { what } => {
                write!(f, "{what} is not possible while the stream is being captured in a graph")
            }
            Self::MatrixTooLarge { rows, cols } => {
                write!(f, "a matrix of {rows} x {cols} is too large for any memory")
            }
            Self::TooLarge { what, size } => write!(f, "{what} of {size} is too large"),
        }
    }
}

impl std::error::Error for CudaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Driver(error) => Some(error),
            Self::Blas(error) => Some(error),
            _ => None,
        }
    }
}

impl From<DriverError> for CudaError {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

impl From<CublasError> for CudaError {
    fn from(error: CublasError) -> Self {
        Self::Blas(error)
    }
}

impl CudaError {
    /// The error of an allocation of `bytes`.
    pub(crate) fn of_allocation(error: DriverError, bytes: usize) -> Self {
        if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY { Self::OutOfMemory { bytes } } else { error.into() }
    }

    /// With the operation's name.
    pub(crate) fn at(self, operation: &'static str) -> Error {
        match self {
            Self::Lost(lost) => Error::new(operation, ErrorKind::Lost(lost)),
            other => Error::device(operation, other),
        }
    }
}

/// Names the operation.
pub(crate) trait At<T> {
    fn at(self, operation: &'static str) -> Result<T, Error>;
}

impl<T, E: Into<CudaError>> At<T> for Result<T, E> {
    fn at(self, operation: &'static str) -> Result<T, Error> {
        self.map_err(|error| error.into().at(operation))
    }
}
