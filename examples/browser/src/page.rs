//! What the page calls. Numbers and texts go through memory that it reads and writes; a call returns how many numbers it wrote, or a
//! negative number for an error, whose text is the message.

use crate::{Bench, Mapping, PRESETS, STEPS, Training};
use alloc::{format, string::String, string::ToString, vec::Vec};
use core::cell::RefCell;
use core::fmt::Write;
use dlmalloc::GlobalDlmalloc;

#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;

/// More numbers than any call takes or gives.
const NUMBERS: usize = 64;

struct Page {
    numbers: [f64; NUMBERS],
    message: String,
    bench: Bench,
    /// One for each preset.
    runs: [Option<Training>; PRESETS.len()],
}

struct Single(RefCell<Option<Page>>);

// SAFETY: the module has one thread, which is all that wasm32 without atomics knows.
unsafe impl Sync for Single {}

static PAGE: Single = Single(RefCell::new(None));

fn with<R>(f: impl FnOnce(&mut Page) -> R) -> R {
    let mut page = PAGE.0.borrow_mut();
    f(page.get_or_insert_with(|| Page {
        numbers: [0.0; NUMBERS],
        message: String::new(),
        bench: Bench::default(),
        runs: [const { None }; PRESETS.len()],
    }))
}

/// Writes the numbers that `f` makes of those that are there, or its error.
fn answer(f: impl FnOnce(&mut Page) -> Result<Vec<f64>, String>) -> i32 {
    with(|page| match f(page) {
        Ok(numbers) => {
            page.numbers.iter_mut().zip(&numbers).for_each(|(to, number)| *to = *number);
            numbers.len() as i32
        }
        Err(message) => {
            page.message = message;
            -1
        }
    })
}

/// Where the numbers are.
#[unsafe(no_mangle)]
pub extern "C" fn numbers() -> *const f64 {
    with(|page| page.numbers.as_ptr())
}

/// Where the message is.
#[unsafe(no_mangle)]
pub extern "C" fn message() -> *const u8 {
    with(|page| page.message.as_ptr())
}

/// Its bytes.
#[unsafe(no_mangle)]
pub extern "C" fn message_length() -> usize {
    with(|page| page.message.len())
}

/// Maps the first `count` numbers as singular values by tail shrink (0) of rank `setting`, soft (1) or hard clip (2) at `setting`, or Muon (3): as
/// many values, and the norm of what is on other directions.
#[unsafe(no_mangle)]
pub extern "C" fn map(mapping: u32, count: usize, setting: f64) -> i32 {
    answer(|page| {
        let mapping = match mapping {
            0 => Mapping::TailShrink(setting as usize),
            1 => Mapping::SoftClip(setting),
            2 => Mapping::HardClip(setting),
            3 => Mapping::Muon,
            _ => return Err(format!("mapping = {mapping} must be at most 3")),
        };
        let values =
            page.numbers.get(..count).ok_or_else(|| format!("count = {count} must be at most {NUMBERS}"))?;
        let image = page.bench.map(values, mapping).map_err(|error| error.to_string())?;
        Ok([image.values, [image.elsewhere].into()].concat())
    })
}

/// The name of a preset becomes the message; its learning rate, and the steps of a run.
#[unsafe(no_mangle)]
pub extern "C" fn preset(index: usize) -> i32 {
    answer(|page| {
        let preset = PRESETS.get(index).ok_or_else(|| format!("there is no preset {index}"))?;
        page.message = preset.name.into();
        Ok([preset.lr, STEPS as f64].into())
    })
}

/// Begins a run of a preset.
#[unsafe(no_mangle)]
pub extern "C" fn begin(index: usize, lr: f64, condition: f64) -> i32 {
    answer(|page| {
        let preset = PRESETS.get(index).ok_or_else(|| format!("there is no preset {index}"))?;
        let run = Training::new(preset.name, lr, condition).map_err(|error| error.to_string())?;
        page.runs[index] = Some(run);
        Ok(Vec::new())
    })
}

/// A step of the preset's run: the loss before it, and the singular values of the update.
#[unsafe(no_mangle)]
pub extern "C" fn step(index: usize) -> i32 {
    answer(|page| {
        let run = page.runs.get_mut(index).and_then(Option::as_mut);
        let run = run.ok_or_else(|| format!("run {index} has not begun"))?;
        let seen = run.step().map_err(|error| error.to_string())?;
        Ok([[seen.loss].into(), seen.update].concat())
    })
}

#[link(wasm_import_module = "page")]
unsafe extern "C" {
    /// Given by the page: throws an error with this text.
    fn panicked(text: *const u8, length: usize);
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let mut text = String::new();
    // A `String` takes every text.
    let _ = write!(text, "{info}");
    // SAFETY: the page reads these bytes during the call, and no more.
    unsafe { panicked(text.as_ptr(), text.len()) };
    core::arch::wasm32::unreachable()
}
