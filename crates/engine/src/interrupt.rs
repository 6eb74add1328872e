//! What Ctrl-C and termination clean up: processes, containers and folders that are not complete.
//!
//! Whatever would outlive this process registers how it is ended, and holds a [`Guard`] for as long as that is needed.
//! An interrupt runs what is registered then, the latest first, and exits. Until then it holds the registry, so that
//! nothing is started any more, and a thread whose process was ended by the interrupt waits for the exit at the end
//! of its guard instead of reporting a failure. Hence a clean-up itself may not touch the registry.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};

use crate::progress;

/// What shells say of a program that Ctrl-C ended.
const EXIT_CODE: i32 = 130;

/// Ends or removes one thing.
type CleanUp = Box<dyn FnOnce() -> Result<()> + Send>;

static REGISTRY: Registry = Registry::new();

/// Clean-ups by the number of their guard, which only rises.
struct Registry(Mutex<(u64, BTreeMap<u64, CleanUp>)>);

/// For as long as it lives, an interrupt runs the clean-up.
#[must_use]
pub struct Guard {
    registry: &'static Registry,
    number: u64,
}

/// Makes interrupts clean up. The kept work needs no such care: the next run removes what this one did not finish.
pub fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        let mut registry = REGISTRY.lock();
        progress::close();
        for error in clean_up(&mut registry.1) {
            progress::warning(format!("{error:#}"));
        }
        progress::note("interrupted; run the same command again to go on from the finished steps");
        std::process::exit(EXIT_CODE);
    })
    .context("failed to set up what happens on Ctrl-C")
}

/// Makes an interrupt run `clean_up`, too.
pub fn register(clean_up: impl FnOnce() -> Result<()> + Send + 'static) -> Guard {
    REGISTRY.add(&mut REGISTRY.lock(), Box::new(clean_up))
}

/// Starts something, and makes an interrupt end it by the clean-up that `start` returns; none comes in between.
pub fn start<T, C>(start: impl FnOnce() -> Result<(T, C)>) -> Result<(T, Guard)>
where
    C: FnOnce() -> Result<()> + Send + 'static,
{
    let mut registry = REGISTRY.lock();
    let (started, clean_up) = start()?;
    Ok((started, REGISTRY.add(&mut registry, Box::new(clean_up))))
}

/// Runs all clean-ups, the latest first; returns what failed.
fn clean_up(registered: &mut BTreeMap<u64, CleanUp>) -> Vec<anyhow::Error> {
    let latest_first = std::mem::take(registered).into_values().rev();
    latest_first
        .filter_map(|clean_up| clean_up().err())
        .collect()
}

impl Registry {
    const fn new() -> Self {
        Self(Mutex::new((0, BTreeMap::new())))
    }

    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, CleanUp>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(
        &'static self,
        (last, registered): &mut (u64, BTreeMap<u64, CleanUp>),
        clean_up: CleanUp,
    ) -> Guard {
        *last += 1;
        registered.insert(*last, clean_up);
        Guard {
            registry: self,
            number: *last,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.registry.lock().1.remove(&self.number);
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Guard").field(&self.number).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use anyhow::bail;

    use super::*;

    #[test]
    fn what_is_still_guarded_is_cleaned_up_the_latest_first() {
        let registry: &Registry = Box::leak(Box::new(Registry::new()));
        let (sender, cleaned) = mpsc::channel();
        let add = |name: &'static str| {
            let sender = sender.clone();
            let clean_up = move || {
                sender.send(name)?;
                if name == "broken" {
                    bail!("{name}");
                }
                Ok(())
            };
            registry.add(&mut registry.lock(), Box::new(clean_up))
        };
        let _first = add("first");
        let done = add("done");
        let _broken = add("broken");
        let _last = add("last");
        drop(done);
        let failed = clean_up(&mut registry.lock().1);
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].to_string(), "broken");
        let order: Vec<_> = cleaned.try_iter().collect();
        assert_eq!(order, ["last", "broken", "first"]);
        assert!(registry.lock().1.is_empty());
    }
}
