use std::fmt;

/// Why there is no simulated device.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The stand-ins are written for Linux on x86-64.
    Platform,
    /// The C++ compiler cannot be run.
    Compiler {
        /// The command tried: `$CXX`, or `g++`.
        command: String,
        /// Why it did not run.
        reason: String,
    },
    /// The stand-in libraries do not compile.
    Build {
        /// The compiler's messages.
        log: String,
    },
    /// A file could not be written.
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// A library could not be loaded.
    Load {
        /// Its name.
        library: String,
        /// Why.
        reason: String,
    },
    /// The process has loaded a library of this name before.
    AlreadyLoaded {
        /// The name.
        library: String,
    },
}

impl Error {
    /// Whether this machine cannot have the simulated device, rather than the device being broken.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Platform | Self::Compiler { .. })
    }

    /// An error of the loader with its cause, which its own text leaves out.
    pub(crate) fn text(error: &libloading::Error) -> String {
        match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => write!(f, "the simulated CUDA device needs Linux on x86-64"),
            Self::Compiler { command, reason } => {
                write!(
                    f,
                    "the simulated CUDA device needs a C++ compiler; `{command}` does not run: {reason}"
                )
            }
            Self::Build { log } => write!(f, "the simulated CUDA device does not compile:\n{log}"),
            Self::File { path, reason } => write!(f, "cannot write {path}: {reason}"),
            Self::Load { library, reason } => write!(f, "cannot load {library}: {reason}"),
            Self::AlreadyLoaded { library } => {
                write!(
                    f,
                    "{library} is loaded already; the simulated device must be installed before the first use of CUDA"
                )
            }
        }
    }
}

impl std::error::Error for Error {}
