//! The checksum of version 1: FNV-1a over a text of the header and the numbers' bytes. To read, never to write.

use super::{SavedBuffer, Snapshot};
use crate::backend::Element;
use crate::optimizer::{SavedParameter, StateHeader};
use core::fmt::{self, Write};

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text.as_bytes());
        Ok(())
    }
}

/// The header as the derived `Debug` of that time printed it.
struct Text<'a>(&'a StateHeader);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StateHeader { version, element, steps, lr, parameters, .. } = self.0;
        write!(f, "StateHeader {{ version: {version}, element: {element:?}, steps: {steps}, lr: {lr:?}, ")?;
        f.write_str("parameters: [")?;
        for (i, SavedParameter { name, rows, cols, rule, steps, .. }) in parameters.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}SavedParameter {{ name: {name:?}, rows: {rows}, cols: {cols}, ")?;
            write!(f, "rule: {rule:?}, steps: {steps} }}")?;
        }
        f.write_str("] }")
    }
}

impl<E: Element> Snapshot<E> {
    pub(super) fn sum_in_version_1(&self) -> u64 {
        let mut sum = Fnv(0xcbf2_9ce4_8422_2325);
        // Writing to a checksum cannot fail.
        let _: fmt::Result = write!(sum, "{}", Text(&self.header));
        for SavedBuffer { parameter, slot, values } in &self.buffers {
            sum.add(parameter.as_bytes());
            sum.add(slot.as_bytes());
            for x in values {
                sum.add(&x.widen().to_bits().to_le_bytes());
            }
        }
        sum.0
    }
}
