//! Info-hashes that somebody chose so that they would meet, against the keys of a tracker that he does not know.

use shoal::net::steering::Steering;
use shoal::wire::InfoHash;

const CORES: usize = 7;

/// How many of these each core gets.
fn dealt_out(steering: &Steering, info_hashes: &[InfoHash]) -> [usize; CORES] {
    let mut counts = [0; CORES];
    for info_hash in info_hashes {
        counts[steering.core_of(info_hash)] += 1;
    }
    counts
}

#[test]
fn info_hashes_that_all_meet_on_a_core_of_one_tracker_are_dealt_out_by_the_next() {
    const CHOSEN: usize = 10_000;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let known = Steering::new(random.u64(..), CORES);
    let any = std::iter::repeat_with(|| {
        let mut info_hash = InfoHash([0; 20]);
        random.fill(&mut info_hash.0);
        info_hash
    });
    let chosen: Vec<InfoHash> = any
        .filter(|info_hash| known.core_of(info_hash) == 0)
        .take(CHOSEN)
        .collect();
    assert_eq!(dealt_out(&known, &chosen)[0], CHOSEN);

    let mut largest: Vec<usize> = std::iter::repeat_with(|| {
        let other = Steering::new(random.u64(..), CORES);
        dealt_out(&other, &chosen).into_iter().max().unwrap_or(0)
    })
    .take(1000)
    .collect();
    largest.sort_unstable();
    let [median, of_99, worst] = [500, 990, 999].map(|at| largest[at]);
    println!(
        "of {CHOSEN} on one core of {CORES} other trackers give one core, at most: half of them {median}, \
         99 in 100 {of_99}, all of 1000 {worst}"
    );
    assert!(of_99 < 1700 && worst < 2000, "{of_99}, {worst}");
}
