//! `cargo bench -p shoal-bench`: what each operation takes on this machine. Timings shift from machine to
//! machine and from hour to hour; `scripts/instructions.sh` counts the same operations in instructions.

use divan::Bencher;
use shoal_bench::operations::{self, Operation};

fn main() {
    divan::main();
}

#[divan::bench(args = operations::all())]
fn operation(bencher: Bencher, operation: &Operation) {
    let mut work = (operation.prepare)();
    bencher.bench_local(&mut work);
}
