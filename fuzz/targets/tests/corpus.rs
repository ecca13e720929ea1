//! Every target over its corpus and a bounded number of mutations: `SPECTRA_FUZZ_RUNS`, 500 unless set.

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

use candle_core::Device;
use spectra_fuzz_targets::mutation::mutate;
use spectra_fuzz_targets::{
    DESCRIPTION, TARGETS, candle_state_seed, config_seeds, repaired, restore_seed, snapshot_checksum,
    snapshot_seed,
};

/// The system's allocator, which remembers the largest request.
struct Watching;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.realloc(pointer, layout, size) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// What an input may make a parser ask for at once: a fixed amount, and a multiple of its own length.
fn most_bytes(input: &[u8]) -> usize {
    (1 << 20) + 64 * input.len()
}

fn corpus_folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target)
}

/// The seeds of a target by name, in a fixed order.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for file in fs::read_dir(corpus_folder(target)).expect("the corpus is committed") {
        let path = file.expect("a readable folder").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        seeds.push((name, fs::read(&path).expect("a readable seed")));
    }
    seeds.sort();
    seeds
}

/// What was made of the mutations.
#[derive(Default)]
struct Counts {
    accepted: u64,
    refused: u64,
}

/// All in one test: the largest request is one number for the whole process.
#[test]
fn no_input_panics_or_asks_for_much() {
    let runs: u64 = env::var("SPECTRA_FUZZ_RUNS").map_or(500, |runs| runs.parse().expect("a number of runs"));
    checksums_are_the_librarys();
    for (name, target) in TARGETS {
        let seeds = corpus(name);
        assert!(!seeds.is_empty(), "{name} has a corpus");
        let guarded = |what: &str, input: &[u8]| {
            LARGEST.store(0, Ordering::Relaxed);
            let accepted = catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|panic| {
                eprintln!("{name}, {what}:\n{}", String::from_utf8_lossy(input));
                resume_unwind(panic)
            });
            let (largest, most) = (LARGEST.load(Ordering::Relaxed), most_bytes(input));
            assert!(largest <= most, "{name}, {what}: {largest} bytes at once, {most} are enough");
            accepted
        };
        for (seed, bytes) in &seeds {
            // Threads, tables and the like that are made once.
            target(bytes);
            let accepted = guarded(seed, bytes);
            assert_eq!(accepted, !seed.starts_with("refused"), "{name}/{seed}");
        }
        let bytes: Vec<Vec<u8>> = seeds.into_iter().map(|(_, bytes)| bytes).collect();
        let mut counts = Counts::default();
        for index in 0..runs {
            let input = mutate(&bytes, index);
            match guarded(&format!("mutation {index}"), &input) {
                true => counts.accepted += 1,
                false => counts.refused += 1,
            }
        }
        println!("{name}: {} accepted, {} refused", counts.accepted, counts.refused);
        // Mutations that only ever fail the same early check would show nothing.
        assert!(counts.accepted > 0 && counts.refused > 0, "{name}: one kind of answer only");
    }
}

/// Writes the seeds that the library makes, when their format has changed: `cargo test --release --test corpus -- --ignored`.
#[test]
#[ignore = "writes files"]
fn write_the_corpus() {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = corpus_folder(target);
        fs::create_dir_all(&folder).expect("a writable corpus");
        fs::write(folder.join(name), bytes).expect("a writable corpus");
    };
    write("snapshot", "trained.json", snapshot_seed().as_bytes());
    write("restore", "trained.json", restore_seed().as_bytes());
    write("candle_state", "trained.safetensors", &candle_state_seed());
    for (name, text) in config_seeds() {
        write("config", &format!("{name}.json"), text.as_bytes());
    }
}

/// What the targets set right is what the library would have written.
fn checksums_are_the_librarys() {
    let tensors = candle_core::safetensors::load_buffer(&candle_state_seed(), &Device::Cpu).unwrap();
    let bytes = |tensor: &candle_core::Tensor| tensor.to_vec1::<u8>().unwrap();
    let description = &tensors[DESCRIPTION];
    assert_eq!(bytes(&repaired(description).unwrap()), bytes(description));

    let seed = snapshot_seed();
    let value: serde_json::Value = serde_json::from_str(&seed).unwrap();
    assert_eq!(value["checksum"].as_u64(), Some(snapshot_checksum(&seed).unwrap()));
}
