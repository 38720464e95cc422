//! Whether a password belongs to a name. That takes memory and time on purpose, so only few are looked at
//! together, and a crowd is turned away.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use log::warn;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{Secret, Secrets};
use crate::control::state::State;

/// Passwords that are looked at together, each with the memory that its hash asks for.
const AT_ONCE: usize = 2;

/// Those that may wait for it.
const WAITING_MAX: usize = 16;

/// Most bytes of a password, as many as `shoal user hash` takes.
const PASSWORD_LEN_MAX: usize = 1024;

/// Looks at passwords.
pub(super) struct Passwords {
    gate: Gate,
    /// Chooses whose hash stands in for the one of a name that nobody has.
    stand_in: RandomState,
}

/// Too many others wait.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Busy;

impl Passwords {
    pub(super) fn new() -> Self {
        Self {
            gate: Gate::new(),
            stand_in: RandomState::new(),
        }
    }

    /// The hash of the user whose password this is. A name that nobody has takes as long as one that
    /// somebody has: the hash of another user is worked through, always the same for the same name.
    pub(super) async fn check(
        &self,
        state: &State,
        users: Arc<Secrets>,
        name: &str,
        password: String,
    ) -> Result<Option<Secret>, Busy> {
        if password.is_empty() || password.len() > PASSWORD_LEN_MAX {
            return Ok(None);
        }
        let own = users.get(name);
        let hash = own.or_else(|| {
            let at = self.stand_in.hash_one(name) % users.len().max(1) as u64;
            users.values().nth(at as usize)
        });
        let Some(hash) = hash.cloned() else {
            return Ok(None);
        };
        let is_known = own.is_some();
        let pass = self.gate.enter().await.ok_or(Busy)?;
        let is_right = state.on_disk(move |_| {
            // Until it is done, whether anybody still waits for it or not.
            let _pass = pass;
            verify(&hash, &password).then_some(hash)
        });
        Ok(is_right.await.filter(|_| is_known))
    }
}

fn verify(hash: &Secret, password: &str) -> bool {
    match PasswordHash::new(hash.expose()) {
        Ok(hash) => Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok(),
        Err(error) => {
            warn!("a hash in [control.users] cannot be read, so nobody can log in by it: {error}");
            false
        }
    }
}

/// Lets two in at once, has sixteen wait, and turns away the rest.
struct Gate {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// A turn; it is over when this is dropped.
struct Pass {
    _turn: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Gate {
    fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING_MAX)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    async fn enter(&self) -> Option<Pass> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        Some(Pass {
            _turn: turn,
            _place: place,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$";

    #[test]
    fn two_are_looked_at_sixteen_wait_and_the_next_is_turned_away() {
        let gate = Gate::new();
        let mut context = Context::from_waker(Waker::noop());
        let mut entering: Vec<_> = (0..AT_ONCE + WAITING_MAX)
            .map(|_| Box::pin(gate.enter()))
            .collect();
        let mut passes = Vec::new();
        for enter in &mut entering {
            if let Poll::Ready(pass) = enter.as_mut().poll(&mut context) {
                passes.push(pass.expect("a place"));
            }
        }
        assert_eq!(passes.len(), AT_ONCE);
        let refused = pin!(gate.enter()).poll(&mut context);
        assert!(matches!(refused, Poll::Ready(None)));
        // One leaves, and the first of those who wait takes the turn.
        passes.pop();
        let next = entering[AT_ONCE].as_mut().poll(&mut context);
        assert!(matches!(next, Poll::Ready(Some(_))));
        // Whoever waits no longer takes no place.
        drop(entering);
        assert_eq!(gate.places.available_permits(), WAITING_MAX);
    }

    #[test]
    fn a_password_is_right_to_the_last_byte() {
        use argon2::password_hash::PasswordHasher as _;
        let params = argon2::Params::new(8, 1, 1, None).unwrap();
        let cheap = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let hash = cheap.hash_password(b"correct horse").unwrap().to_string();
        let hash = Secret::new(&hash);
        assert!(verify(&hash, "correct horse"));
        for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert!(!verify(&hash, wrong), "{wrong}");
        }
        assert!(!verify(&Secret::new(HASH), "correct horse"));
    }
}
