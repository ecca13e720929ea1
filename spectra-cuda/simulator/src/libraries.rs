//! Builds, keeps and loads the stand-in libraries.

use crate::Error;
use crate::functions::{Functions, c_string};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY, RTLD_NOW};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

macro_rules! sources {
    ($($name:literal),*) => { &[$(($name, include_str!(concat!("../native/", $name)))),*] };
}

const SOURCES: &[(&str, &str)] = sources![
    "abi.hpp",
    "device.hpp",
    "simulator.hpp",
    "execution.hpp",
    "driver.hpp",
    "numbers.hpp",
    "nccl.hpp",
    "memory.cpp",
    "execution.cpp",
    "faults.cpp",
    "races.cpp",
    "stream.cpp",
    "process.cpp",
    "control.cpp",
    "driver_context.cpp",
    "driver_memory.cpp",
    "driver_launch.cpp",
    "driver_stream.cpp",
    "graph.cpp",
    "nvrtc.cpp",
    "rewrite.cpp",
    "cublas.cpp",
    "nccl.cpp",
    "nccl_data.cpp"
];

const SHARED: &str = "libspectra_simulated_device.so";

/// The libraries in the order of loading: file and SONAME, sources.
const LIBRARIES: &[(&str, &[&str])] = &[
    (
        SHARED,
        &[
            "memory.cpp",
            "execution.cpp",
            "faults.cpp",
            "races.cpp",
            "stream.cpp",
            "process.cpp",
            "control.cpp",
        ],
    ),
    (
        "libcuda.so",
        &["driver_context.cpp", "driver_memory.cpp", "driver_launch.cpp", "driver_stream.cpp", "graph.cpp"],
    ),
    ("libnvrtc.so", &["nvrtc.cpp", "rewrite.cpp"]),
    ("libcublas.so", &["cublas.cpp"]),
    ("libnccl.so", &["nccl.cpp", "nccl_data.cpp"]),
];

/// Loads all, and returns the functions of the shared library, which holds the accounts.
pub(crate) fn install() -> Result<Functions, Error> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Error::Platform);
    }
    for (name, _) in &LIBRARIES[1..] {
        // RTLD_NOLOAD (4 on Linux): succeeds only if the library is there already.
        // SAFETY: nothing is loaded, so no initializer runs.
        if unsafe { Library::open(Some(*name), RTLD_LAZY | 4) }.is_ok() {
            return Err(Error::AlreadyLoaded { library: (*name).into() });
        }
    }
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".into());
    let version = compiler_version(&compiler)?;
    let folder = build(&compiler, &version)?;

    let mut loaded = Vec::new();
    for (name, _) in LIBRARIES {
        let failed =
            |reason: libloading::Error| Error::Load { library: (*name).into(), reason: Error::text(&reason) };
        // SAFETY: the libraries are ours; their initializers only construct empty containers.
        let library = unsafe { Library::open(Some(folder.join(name)), RTLD_NOW | RTLD_GLOBAL) };
        let library = library.map_err(failed)?.into_raw();
        // SAFETY: as above; by SONAME this finds the library just loaded.
        let by_name = unsafe { Library::open(Some(*name), RTLD_NOW) }.map_err(failed)?;
        if by_name.into_raw() != library {
            return Err(Error::Load {
                library: (*name).into(),
                reason: "its name finds another library".into(),
            });
        }
        // SAFETY: the handle is the one opened above, and not closed.
        loaded.push(unsafe { Library::from_raw(library) });
    }
    let shared = loaded.remove(0);
    // Never unloaded: cudarc keeps pointers into them.
    loaded.into_iter().for_each(std::mem::forget);
    // SAFETY: this library is the one built of control.cpp.
    let functions = unsafe { Functions::load(shared, SHARED) }?;
    functions.configure(&c_string(&compiler)?, &c_string(&version)?, &c_string(&folder.to_string_lossy())?);
    Ok(functions)
}

fn compiler_version(compiler: &str) -> Result<String, Error> {
    let failed = |reason: String| Error::Compiler { command: compiler.into(), reason };
    let output = Command::new(compiler).arg("--version").output().map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().into())
}

fn file_error(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |e| Error::File { path: path.display().to_string(), reason: e.to_string() }
}

/// A folder beside the test programs, so that `cargo clean` takes it along. Its name tells the sources and the compiler.
fn folder(compiler: &str, version: &str) -> Result<PathBuf, Error> {
    let mut hasher = DefaultHasher::new();
    (SOURCES, compiler, version).hash(&mut hasher);
    let program = std::env::current_exe().map_err(file_error(Path::new("the program's folder")))?;
    let mut parent = program.parent().unwrap_or(Path::new(".")).to_path_buf();
    if parent.ends_with("deps") || parent.ends_with("examples") {
        parent.pop();
    }
    Ok(parent.join("spectra-cuda-simulator").join(format!("{:016x}", hasher.finish())))
}

fn build(compiler: &str, version: &str) -> Result<PathBuf, Error> {
    let folder = folder(compiler, version)?;
    if folder.join("complete").exists() {
        return Ok(folder);
    }
    // Built aside and moved in one step, so that no other process sees half a folder.
    let aside = folder.with_extension(std::process::id().to_string());
    std::fs::create_dir_all(&aside).map_err(file_error(&aside))?;
    for (name, text) in SOURCES {
        let path = aside.join(name);
        std::fs::write(&path, text).map_err(file_error(&path))?;
    }
    for (name, sources) in LIBRARIES {
        let mut command = Command::new(compiler);
        command.current_dir(&aside).args([
            "-std=c++17",
            "-O2",
            "-g1",
            "-fPIC",
            "-shared",
            "-Wall",
            "-pthread",
        ]);
        if *name == "libcublas.so" {
            command.args(["-O3", "-ffp-contract=off"]);
        }
        command.arg(format!("-Wl,-soname,{name}")).args(["-o", name]).args(*sources);
        if *name != SHARED {
            command.args([SHARED, "-Wl,-rpath,$ORIGIN"]);
        }
        let output = command.arg("-ldl").output();
        let output =
            output.map_err(|e| Error::Compiler { command: compiler.into(), reason: e.to_string() })?;
        if !output.status.success() {
            return Err(Error::Build { log: String::from_utf8_lossy(&output.stderr).into() });
        }
    }
    let complete = aside.join("complete");
    std::fs::write(&complete, version).map_err(file_error(&complete))?;
    if let Err(e) = std::fs::rename(&aside, &folder) {
        if !folder.join("complete").exists() {
            return Err(file_error(&folder)(e));
        }
        // Another process was faster.
        std::fs::remove_dir_all(&aside).map_err(file_error(&aside))?;
    }
    Ok(folder)
}
