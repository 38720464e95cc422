//! How busy a thread is: the time that the kernel let it run, from `/proc`.

use std::fs;
use std::path::PathBuf;

/// Where the kernel tells how long a thread has run.
#[derive(Default)]
pub(super) struct Times {
    /// Threads that were found, by name.
    found: Vec<(String, PathBuf)>,
}

impl Times {
    /// Nanoseconds for which the thread of this name has run; nothing when there is none, or the kernel
    /// does not tell.
    pub(super) fn run_ns(&mut self, name: &str) -> Option<u64> {
        if !self.found.iter().any(|(known, _)| known == name) {
            self.found.push((name.to_owned(), find(name)?));
        }
        let (_, path) = self.found.iter().find(|(known, _)| known == name)?;
        // Time on a CPU, time waiting for one, number of times.
        fs::read_to_string(path)
            .ok()?
            .split(' ')
            .next()?
            .parse()
            .ok()
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let mut threads = fs::read_dir("/proc/self/task")
        .ok()?
        .flatten()
        .map(|thread| thread.path());
    let is_it = |folder: &PathBuf| {
        fs::read_to_string(folder.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    threads.find(is_it).map(|folder| folder.join("schedstat"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn a_thread_that_works_is_seen_to_run_and_one_that_is_not_there_is_not() {
        let mut times = Times::default();
        assert_eq!(times.run_ns("nobody-here"), None);
        let (go, wait) = channel::<()>();
        let (done, ready) = channel();
        let body = move || {
            let mut sum = 0_u64;
            for n in 0..3_000_000_u64 {
                sum = std::hint::black_box(sum ^ n);
            }
            done.send(sum).unwrap();
            let _ = wait.recv();
        };
        let worker = thread::Builder::new()
            .name("load-worker".to_owned())
            .spawn(body)
            .unwrap();
        ready.recv().unwrap();
        assert!(times.run_ns("load-worker").unwrap() > 100_000);
        drop(go);
        worker.join().unwrap();
        assert_eq!(times.run_ns("load-worker"), None, "its file is gone");
    }
}
