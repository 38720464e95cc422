//! Whatever may go wrong around a tracker, done to a real one: disks, descriptors, memory, clocks, networks,
//! CPUs, signals and files. `docs/faults.md` is the table of it.

mod api;
mod failures;
mod http;
mod in_process;
mod support;
mod tls;
