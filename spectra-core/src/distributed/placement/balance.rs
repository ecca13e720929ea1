//! Loads of several ranks made as equal as may be.

/// Gives each job to a rank, the longest first, always to the rank with the least load so far (LPT; Graham 1969: from equal loads the
/// largest is at most `4/3 - 1/(3N)` of the best). Ties go to the job and to the rank that come first. `jobs`: costs; `loads`: what the
/// ranks have to do in any case, to which the jobs are added.
pub(super) fn owners(jobs: &[f64], loads: &mut [f64]) -> alloc::vec::Vec<usize> {
    let mut order: alloc::vec::Vec<usize> = (0..jobs.len()).collect();
    order.sort_by(|a, b| jobs[*b].total_cmp(&jobs[*a]));
    let mut owners = alloc::vec![0; jobs.len()];
    for job in order {
        let mut least = 0;
        for rank in 1..loads.len() {
            if loads[rank] < loads[least] {
                least = rank;
            }
        }
        loads[least] += jobs[job];
        owners[job] = least;
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::uniform;
    use alloc::{vec, vec::Vec};

    fn largest(loads: &[f64]) -> f64 {
        loads.iter().copied().fold(0.0, f64::max)
    }

    /// The largest load of the best of all N^n ways.
    fn best(jobs: &[f64], ranks: usize) -> f64 {
        let ways = ranks.pow(jobs.len() as u32);
        let of_way = |mut way: usize| {
            let mut loads = vec![0.0; ranks];
            for job in jobs {
                loads[way % ranks] += job;
                way /= ranks;
            }
            largest(&loads)
        };
        (0..ways).map(of_way).fold(f64::INFINITY, f64::min)
    }

    /// Against all ways. Sums of at most eight integers are exact.
    #[test]
    fn no_load_is_above_grahams_bound_of_the_best() {
        for (ranks, most) in [(1, 8), (2, 8), (3, 7), (4, 6)] {
            for case in 0..40 {
                let count = 1 + case % most;
                let jobs: Vec<f64> =
                    (0..count).map(|i| libm::floor(500.0 * (1.0 + uniform(case as u64, i, ranks)))).collect();
                let mut loads = vec![0.0; ranks];
                let owners = owners(&jobs, &mut loads);
                let mut again = vec![0.0; ranks];
                owners.iter().zip(&jobs).for_each(|(owner, job)| again[*owner] += job);
                assert_eq!(again, loads);
                let bound = 4.0 / 3.0 - 1.0 / (3 * ranks) as f64;
                assert!(largest(&loads) <= bound * best(&jobs, ranks) * (1.0 + 1e-15), "{ranks} {jobs:?}");
            }
        }
    }

    /// Graham's own example reaches it: 2N + 1 jobs of 2N - 1, 2N - 1, .., N + 1, N + 1, N, N, N.
    #[test]
    fn the_bound_is_reached() {
        for ranks in [2, 3, 4] {
            let pairs = (ranks + 1..2 * ranks).rev().flat_map(|job| [job as f64; 2]);
            let jobs: Vec<f64> = pairs.chain([ranks as f64; 3]).collect();
            let mut loads = vec![0.0; ranks];
            owners(&jobs, &mut loads);
            // The best is 3N on each.
            assert_eq!(largest(&loads), (4 * ranks - 1) as f64);
            assert_eq!(jobs.iter().sum::<f64>(), (3 * ranks * ranks) as f64);
        }
    }

    #[test]
    fn what_ranks_have_in_any_case_counts_and_ties_go_to_the_first() {
        let mut loads = [5.0, 0.0, 0.0];
        assert_eq!(owners(&[1.0, 1.0, 3.0, 1.0], &mut loads), [2, 2, 1, 2]);
        assert_eq!(loads, [5.0, 3.0, 3.0]);
        assert_eq!(owners(&[2.0; 5], &mut [0.0; 3]), [0, 1, 2, 0, 1]);
        assert!(owners(&[], &mut [0.0; 3]).is_empty());
    }
}
