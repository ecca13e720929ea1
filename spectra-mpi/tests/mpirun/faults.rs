//! What becomes of three ranks when the second does not do as the others do.

use crate::rank::{say, wait_for};
use spectra_core::backend::ErrorKind;
use spectra_core::distributed::{Communicator, Lost, Reduction};
use spectra_mpi::Mpi;
use std::process::Output;
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Panics,
    PanicsAndAborts,
    PanicsAndIsCaught,
    Exits,
    Aborts,
    Leaves,
    ComesLate,
    ComesLateToSplit,
    GivesMore,
    SumsInstead,
    SumsFastInstead,
    SplitsInstead,
    /// Calls another group of the same ranks.
    MistakesTheGroup,
}

/// What is to be seen.
enum Outcome {
    /// The job ends; with this code if it is known.
    Ends(Option<i32>),
    /// The others are told this.
    Told(Lost),
}

impl Fault {
    pub(crate) const ALL: [Self; 13] = [
        Self::Panics,
        Self::PanicsAndAborts,
        Self::PanicsAndIsCaught,
        Self::Exits,
        Self::Aborts,
        Self::Leaves,
        Self::ComesLate,
        Self::ComesLateToSplit,
        Self::GivesMore,
        Self::SumsInstead,
        Self::SumsFastInstead,
        Self::SplitsInstead,
        Self::MistakesTheGroup,
    ];

    fn outcome(self) -> Outcome {
        match self {
            Self::Panics => Outcome::Ends(None),
            Self::PanicsAndAborts => Outcome::Ends(Some(101)),
            Self::Exits => Outcome::Ends(Some(3)),
            Self::Aborts => Outcome::Ends(Some(7)),
            Self::PanicsAndIsCaught | Self::ComesLate | Self::ComesLateToSplit | Self::MistakesTheGroup => {
                Outcome::Told(Lost::DEADLINE)
            }
            Self::Leaves => Outcome::Told(Lost::left(1)),
            Self::GivesMore | Self::SumsInstead | Self::SumsFastInstead | Self::SplitsInstead => {
                Outcome::Told(Lost::other_call(1))
            }
        }
    }

    /// Where the deadline is not what the others are to meet, it is longer than the limit of the test; where it is, long enough for a loaded machine
    /// to start three processes, which must meet in time as well.
    fn deadline(self) -> Duration {
        match self.outcome() {
            Outcome::Told(Lost::DEADLINE) => Duration::from_secs(4),
            _ => Duration::from_secs(600),
        }
    }

    /// The second rank's part.
    fn happen(self, group: Communicator<Mpi>) {
        let mut group = group;
        match self {
            Self::Panics => panic!("on purpose"),
            Self::PanicsAndAborts => {
                group.transport().abort_on_panic();
                panic!("on purpose")
            }
            Self::PanicsAndIsCaught => {
                let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                    let _group = group;
                    panic!("on purpose")
                }));
                assert!(caught.is_err());
                wait_for(&[0, 2]);
            }
            Self::Exits => std::process::exit(3),
            Self::Aborts => group.transport().abort(7),
            Self::Leaves => {
                drop(group);
                wait_for(&[0, 2]);
            }
            Self::ComesLate | Self::ComesLateToSplit => {
                wait_for(&[0, 2]);
                // The late one is no better off.
                let lost = meet(self, &mut group).expect_err("the others are gone");
                say(1, &lost.to_string());
            }
            Self::GivesMore => drop(group.gather_words(&[2, 2])),
            Self::SumsInstead => drop(group.sum::<f64>(&mut [], &mut [2.0])),
            Self::SumsFastInstead => drop(group.reduction(Reduction::Fast).sum::<f64>(&mut [], &mut [2.0])),
            Self::SplitsInstead => drop(group.split(2)),
            Self::MistakesTheGroup => drop(meet(self, &mut group)),
        }
    }

    pub(crate) fn run(self) {
        let mut world = Communicator::new(Mpi::init(self.deadline()).unwrap());
        assert_eq!(world.gather_words(&[1]).unwrap(), [1; 3]);
        let rank = world.rank();
        let mut groups = vec![world];
        if self == Self::MistakesTheGroup {
            groups = (0..2).map(|_| groups[0].split(0).unwrap()).collect();
        }
        let mut group = groups.swap_remove(if rank == 1 { groups.len() - 1 } else { 0 });
        if rank == 1 {
            self.happen(group);
            wait_for(&[0, 2]);
            return;
        }
        let begun = Instant::now();
        let lost = meet(self, &mut group).expect_err("the second does something else");
        println!("{self:?}: rank {rank} is told after {:?}", begun.elapsed());
        // There is no way back.
        assert_eq!(meet(self, &mut group), Err(lost));
        assert_eq!(reason(group.split(0)).map(drop), Err(lost));
        say(rank, &lost.to_string());
        wait_for(&[0, 2]);
        if matches!(self, Self::ComesLate | Self::ComesLateToSplit) {
            wait_for(&[1]);
        }
    }

    pub(crate) fn is_met(self, done: &Output, said: &[String]) -> Result<(), String> {
        let code = done.status.code().unwrap_or(-1);
        print!("{}", String::from_utf8_lossy(&done.stdout));
        let right = match self.outcome() {
            Outcome::Ends(wanted) => code != 0 && wanted.is_none_or(|wanted| wanted == code),
            // A sum in order and a gather of equal length are the same to MPI, which ends well: the communicator finds out. Otherwise mpirun
            // says that not all was well.
            Outcome::Told(lost) => {
                (code == 0) == (self == Self::SumsInstead)
                    && said[0] == lost.to_string()
                    && said[2] == said[0]
            }
        };
        let late = matches!(self, Self::ComesLate | Self::ComesLateToSplit);
        match right && (!late || said[1] == Lost::DEADLINE.to_string()) {
            true => Ok(()),
            false => Err(format!("code {code}")),
        }
    }
}

/// The call that the others make.
fn meet(fault: Fault, group: &mut Communicator<Mpi>) -> Result<(), Lost> {
    match fault {
        Fault::ComesLateToSplit => reason(group.split(0)).map(drop),
        _ => reason(group.gather_words(&[2])).map(drop),
    }
}

fn reason<R>(done: spectra_core::backend::Result<R>) -> Result<R, Lost> {
    done.map_err(|error| match error.kind() {
        ErrorKind::Lost(lost) => *lost,
        other => panic!("{other:?}"),
    })
}
