//! The check of transports: threads pass, and what is wrong in one way or another does not.

use spectra_conformance::ranks::{Wrong, check_transport};
use spectra_core::distributed::{Communicator, Lost, Threads, Transport};
use std::time::Duration;

fn check<T: Transport + Send>(size: usize, make: impl Fn(Threads) -> T) -> Vec<Result<(), Wrong>> {
    let group: Vec<T> = Threads::group(size, Duration::from_secs(60)).into_iter().map(make).collect();
    std::thread::scope(|scope| {
        let ranks: Vec<_> = group
            .into_iter()
            .map(|rank| scope.spawn(|| check_transport(&mut Communicator::new(rank))))
            .collect();
        ranks.into_iter().map(|rank| rank.join().expect("an error, no panic")).collect()
    })
}

#[test]
fn threads_pass() {
    for size in [1, 2, 3, 4] {
        check(size, |threads| threads).into_iter().for_each(|found| found.unwrap());
    }
}

/// What is wrong with a transport.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The last byte of what rank 1 sends is another.
    Flips,
    /// What the first two ranks send is exchanged.
    Swaps,
    /// The sum of its own leaves out the last rank.
    Forgets,
    /// The sum of its own has other bits on rank 1.
    Differs,
    /// A part has all ranks.
    SplitsNothing,
    /// Every message of more than 64 KiB ends in zeros.
    Cuts,
}

#[derive(Debug)]
struct Faulty(Threads, Fault);

impl Transport for Faulty {
    fn rank(&self) -> usize {
        self.0.rank()
    }
    fn size(&self) -> usize {
        self.0.size()
    }
    fn exchange(&mut self, out: &[&[u8]], into: &mut [&mut [u8]]) -> Result<(), Lost> {
        self.0.exchange(out, into)?;
        match (self.1, into) {
            (Fault::Flips, [_, second, ..]) => second.last_mut().into_iter().for_each(|byte| *byte ^= 1),
            (Fault::Swaps, [first, second, ..]) if first.len() == second.len() => {
                first.swap_with_slice(second)
            }
            (Fault::Cuts, into) => into
                .iter_mut()
                .filter(|message| message.len() > 1 << 16)
                .for_each(|message| message[1 << 16..].fill(0)),
            _ => {}
        }
        Ok(())
    }
    fn has_sum(&self) -> bool {
        matches!(self.1, Fault::Forgets | Fault::Differs)
    }
    fn sum(&mut self, singles: &mut [f32], doubles: &mut [f64]) -> Option<Result<(), Lost>> {
        let fault = self.1;
        if matches!(fault, Fault::Forgets) && self.rank() + 1 == self.size() {
            singles.fill(0.0);
            doubles.fill(0.0);
        }
        let bytes: Vec<u8> = singles
            .iter()
            .flat_map(|x| f64::from(*x).to_le_bytes())
            .chain(doubles.iter().flat_map(|x| x.to_le_bytes()))
            .collect();
        let mut from: Vec<Vec<u8>> = vec![vec![0; bytes.len()]; self.size()];
        let out = vec![bytes.as_slice(); self.size()];
        let mut into: Vec<&mut [u8]> = from.iter_mut().map(Vec::as_mut_slice).collect();
        if let Err(lost) = self.0.exchange(&out, &mut into) {
            return Some(Err(lost));
        }
        let number =
            |message: &Vec<u8>, i: usize| f64::from_le_bytes(message[8 * i..8 * i + 8].try_into().unwrap());
        let sum = |i: usize| from.iter().map(|message| number(message, i)).sum::<f64>();
        let len = singles.len();
        singles.iter_mut().enumerate().for_each(|(i, x)| *x = sum(i) as f32);
        doubles.iter_mut().enumerate().for_each(|(i, x)| *x = sum(len + i));
        if matches!(fault, Fault::Differs) && self.rank() == 1 {
            singles.iter_mut().for_each(|x| *x = f32::from_bits(x.to_bits() ^ 1));
            doubles.iter_mut().take(1).for_each(|x| *x = f64::from_bits(x.to_bits() ^ 1));
        }
        Some(Ok(()))
    }
    fn split(&mut self, color: u64) -> Result<Self, Lost> {
        let color = if matches!(self.1, Fault::SplitsNothing) { 0 } else { color };
        Ok(Self(self.0.split(color)?, self.1))
    }
}

#[test]
fn broken_transports_are_refused() {
    for fault in
        [Fault::Flips, Fault::Swaps, Fault::Forgets, Fault::Differs, Fault::SplitsNothing, Fault::Cuts]
    {
        let found = check(3, |threads| Faulty(threads, fault));
        assert!(found.iter().any(Result::is_err), "{fault:?} passes");
    }
}
