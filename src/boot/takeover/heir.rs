//! The new process: what it is given, and when it says how far it is.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{info, warn};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use super::words::{CreditWord, Hello, Label, Owed, Reply, Talk, Word};
use super::{Estate, Heirloom, VARIABLE};
use crate::clock::Clock;
use crate::net::passage::Passage;
use crate::store::{Reading, inherit};
use crate::swarm::{Restored, Swarms};
use crate::wire::InfoHash;

/// How long the old process may be silent: it may have to wait for a disk before it lends its store.
const PATIENCE: Duration = Duration::from_secs(60);

/// Words with torrents that may wait for a core.
const AHEAD: usize = 64;

/// The process that takes over.
pub(in crate::boot) struct Heir {
    hello: Hello,
    talk: Option<Talk>,
    reader: Option<JoinHandle<(Talk, Vec<Owed>)>>,
    unit_s: u32,
}

/// What one core is given.
pub(in crate::boot) struct Inheritance {
    frames: Receiver<Arc<[u8]>>,
    is_whole: Arc<AtomicBool>,
    unit_s: u32,
}

impl Heir {
    /// This process as one that takes over, with what it is given, if that is what it was started for. The
    /// error is a sentence.
    pub(in crate::boot) fn from_environment() -> Result<Option<(Self, Estate)>, String> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let passage = Passage::from_stdin().map_err(|error| {
            format!(
                "{VARIABLE} is set, but standard input is no passage from a tracker that hands over \
                 ({error}); unset it"
            )
        })?;
        let failed = |error: io::Error| format!("cannot hear the tracker that hands over: {error}");
        let mut talk = Talk::new(passage, PATIENCE, PATIENCE).map_err(failed)?;
        let hello: Hello = match talk.hear().map_err(failed)? {
            Reply::Word((Word::Hello, body, _)) => {
                serde_json::from_slice(body).map_err(|error| failed(error.into()))?
            }
            _ => return Err(failed(io::ErrorKind::InvalidData.into())),
        };
        hello.check()?;
        let mut inherited = Vec::new();
        while inherited.len() < hello.sockets {
            let Reply::Word((Word::Socket, body, Some(descriptor))) =
                talk.hear().map_err(failed)?
            else {
                return Err(failed(io::ErrorKind::InvalidData.into()));
            };
            let label: Label =
                serde_json::from_slice(body).map_err(|error| failed(error.into()))?;
            inherited.push(Heirloom {
                kind: label.kind,
                name: label.name,
                descriptor,
            });
        }
        info!("taking over from process {}", hello.pid);
        // Should there be nobody any more who could end it, as long as another one serves.
        if let Err(error) = prctl::set_pdeathsig(Signal::SIGKILL) {
            warn!("this process would outlive who has started it: {error}");
        }
        let unit_s = hello.unit_s;
        let heir = Self {
            hello,
            talk: Some(talk),
            reader: None,
            unit_s,
        };
        Ok(Some((heir, Estate::of(inherited))))
    }

    /// What the old process has said of itself.
    pub(in crate::boot) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Says that nothing is in the way, and waits until the store is ours.
    pub(in crate::boot) fn ask_for_state(&mut self) -> Result<(), String> {
        let gone = || "the tracker that hands over has changed its mind or ended".to_owned();
        let talk = self.talk.as_mut().ok_or_else(gone)?;
        talk.say(Word::ReadyForState, &[]).map_err(|_| gone())?;
        match talk.hear() {
            Ok(Reply::Word((Word::Go, ..))) => Ok(()),
            _ => Err(gone()),
        }
    }

    /// Begins to take over torrents, for so many cores.
    pub(in crate::boot) fn begin(&mut self, cores: usize) -> Result<Vec<Inheritance>, String> {
        let mut talk = self.talk.take().ok_or("the state is taken over once")?;
        let is_whole: Arc<AtomicBool> = Arc::default();
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..cores).map(|_| bounded(AHEAD)).unzip();
        let whole = Arc::clone(&is_whole);
        let reader = thread::Builder::new()
            .name("heir".to_owned())
            .spawn(move || {
                let mut credits = Vec::new();
                match read(&mut talk, &senders, &mut credits) {
                    Ok(()) => whole.store(true, Ordering::Release),
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                    Err(error) => warn!("the tracker that hands over falls silent: {error}"),
                }
                (talk, credits)
            });
        self.reader = Some(reader.map_err(|error| format!("cannot start a thread: {error}"))?);
        let unit_s = self.unit_s;
        let inheritance = |frames| Inheritance {
            frames,
            is_whole: Arc::clone(&is_whole),
            unit_s,
        };
        Ok(receivers.into_iter().map(inheritance).collect())
    }

    /// Says that every core has what it is given and reads its sockets. What comes back is to be credited to
    /// the holders of keys.
    pub(in crate::boot) fn tell_reading(&mut self) -> Vec<Owed> {
        let Some((talk, credits)) = self.reader.take().and_then(|reader| reader.join().ok()) else {
            return Vec::new();
        };
        // From here on it serves, whoever ends.
        let _ = prctl::set_pdeathsig(None);
        // Whoever is gone needs not know.
        let _ = talk.say(Word::Reading, &[]);
        self.talk = Some(talk);
        credits
    }

    /// Says that everything is answered here from now on, and waits until the old process has said so to
    /// whoever watches over both. If it is gone, there is nobody else to serve.
    pub(in crate::boot) fn serve(mut self) {
        if let Some(talk) = &mut self.talk
            && talk.say(Word::Serving, &[]).is_ok()
        {
            let _ = talk.hear();
        }
        info!("process {} has handed over", self.hello.pid);
    }
}

/// Hears everything up to the end, and gives every core all of it.
fn read(talk: &mut Talk, cores: &[Sender<Arc<[u8]>>], credits: &mut Vec<Owed>) -> io::Result<()> {
    loop {
        let is_told = match talk.hear()? {
            Reply::Word((Word::State, frames, _)) => {
                let frames: Arc<[u8]> = frames.into();
                for core in cores {
                    let sent = core.send(Arc::clone(&frames));
                    // A core that failed says why itself.
                    sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
                }
                false
            }
            Reply::Word((Word::Credit, body, _)) => {
                let sums: Vec<CreditWord> = serde_json::from_slice(body)?;
                credits.extend(sums.iter().map(CreditWord::owed));
                false
            }
            Reply::Word((Word::Told, ..)) => true,
            Reply::Word((Word::End, ..)) => return Ok(()),
            Reply::Word(_) => return Err(io::ErrorKind::InvalidData.into()),
            Reply::Nothing => return Err(io::ErrorKind::TimedOut.into()),
            Reply::Gone => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        if is_told {
            talk.say(Word::ReadyToServe, &[])?;
        }
    }
}

impl Inheritance {
    /// Takes over all torrents that `owns` is true for, with the peers that `admits` is true for, until the old process has no more to give. The error is a
    /// sentence.
    pub(in crate::boot) fn take(
        self,
        clock: &Clock,
        owns: impl Fn(&InfoHash) -> bool,
        admits: impl Fn(IpAddr) -> bool,
        swarms: &mut Swarms,
    ) -> Result<Restored, String> {
        let begun_s = clock.now().uptime_s;
        let mut restored = Restored::default();
        for frames in &self.frames {
            let now_s = clock.now().uptime_s;
            let reading = Reading {
                unit_s: self.unit_s,
                elapsed_s: now_s - begun_s,
                now_s,
            };
            inherit(&frames, reading, &owns, &admits, swarms, &mut restored)?;
        }
        if self.is_whole.load(Ordering::Acquire) {
            Ok(restored)
        } else {
            Err("the tracker that hands over ended before it had told everything".to_owned())
        }
    }
}
