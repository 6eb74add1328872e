//! Work that runs side by side and fails as one.
//!
//! Each job has a thread. When one fails, the commands that the others are running are ended, they can start no others,
//! and its error is the one that is told: what the others say then is a consequence. Who starts a process or container
//! registers how it is ended, and holds a [`Guard`] for as long as that is needed; outside of such jobs that does
//! nothing. Ctrl-C is no failure: it ends what is registered for that.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Result, bail};

use crate::progress::{self, Figures, Kind, Progress, Step};

thread_local! {
    /// Those to which the job of this thread belongs.
    static OURS: RefCell<Option<Arc<Jobs>>> = const { RefCell::new(None) };
}

/// What is done beside others.
pub type Job<'a> = Box<dyn FnOnce() -> Result<()> + Send + 'a>;

/// A job that is shown as a step: its name, and what it does.
pub type Part<'a> = (String, Box<dyn FnOnce(&mut Step) -> Result<()> + Send + 'a>);

/// Ends a command.
type End = Box<dyn FnOnce() -> Result<()> + Send>;

#[derive(Default)]
struct Jobs(Mutex<State>);

#[derive(Default)]
struct State {
    failure: Option<anyhow::Error>,
    is_stopped: bool,
    last: u64,
    running: BTreeMap<u64, End>,
}

/// For as long as it lives, the failure of a job beside this one ends the command.
#[must_use]
pub struct Guard(Option<(Arc<Jobs>, u64)>);

/// Runs all `jobs` to their end; the first failure ends those that are not done, and is returned.
pub fn run(jobs: Vec<Job<'_>>) -> Result<()> {
    let all = Arc::new(Jobs::default());
    let inner = Arc::clone(&all);
    let _outer = on_failure(move || {
        inner.stop(None);
        Ok(())
    })?;
    thread::scope(|scope| {
        for job in jobs {
            let all = Arc::clone(&all);
            scope.spawn(move || {
                OURS.set(Some(Arc::clone(&all)));
                if let Err(error) = job() {
                    all.stop(Some(error));
                }
            });
        }
    });
    let failure = all.lock().failure.take();
    failure.map_or(Ok(()), Err)
}

/// Runs `parts` as [`run`] does, each shown as a step, and enters them into the account as the one step `name`: whose
/// CPU time it was nobody can tell.
pub fn steps(progress: &mut Progress, name: &str, kind: Kind, parts: Vec<Part<'_>>) -> Result<()> {
    progress.account(name.to_owned(), kind, |_| {
        let figures = Mutex::new(Figures::default());
        let jobs = parts.into_iter().map(|(name, work)| {
            let figures = &figures;
            let job: Job<'_> = Box::new(move || {
                let (result, part) = progress::shown(&name, work);
                let mut all = figures.lock().unwrap_or_else(PoisonError::into_inner);
                all.go_ms = all.go_ms.max(part.go_ms);
                all.written_bytes += part.written_bytes;
                result
            });
            job
        });
        let result = run(jobs.collect());
        let figures = figures.into_inner();
        (result, figures.unwrap_or_else(PoisonError::into_inner))
    })
}

/// Makes the failure of a job beside that of this thread run `end`. Fails where one has failed already: nothing is
/// started any more.
pub fn on_failure(end: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Guard> {
    let Some(jobs) = OURS.with_borrow(Clone::clone) else {
        return Ok(Guard(None));
    };
    let number = {
        let mut state = jobs.lock();
        if state.is_stopped {
            bail!("not started, as what was to run beside it failed");
        }
        state.last += 1;
        let number = state.last;
        state.running.insert(number, Box::new(end));
        number
    };
    Ok(Guard(Some((jobs, number))))
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self, failure: Option<anyhow::Error>) {
        let mut state = self.lock();
        if state.is_stopped {
            return;
        }
        state.is_stopped = true;
        state.failure = failure;
        let running = std::mem::take(&mut state.running);
        // Those that end take their guards back.
        drop(state);
        for end in running.into_values() {
            if let Err(error) = end() {
                progress::warning(format!("{error:#}"));
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((jobs, number)) = &self.0 {
            jobs.lock().running.remove(number);
        }
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = self.0.as_ref().map(|(_, number)| number);
        f.debug_tuple("Guard").field(&number).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_one_step_and_all_of_them_are_in_it() {
        let mut progress = Progress::default();
        let part = |name: &str, go_ms: u64| -> Part<'_> {
            let work = move |step: &mut Step| {
                (step.go_ms, step.written_bytes) = (go_ms, 1);
                Ok(())
            };
            (name.to_owned(), Box::new(work))
        };
        let parts = vec![part("one", 5), part("two", 3)];
        steps(&mut progress, "both", Kind::Local, parts).unwrap();
        let [stage] = progress.stages() else {
            panic!("{:?}", progress.stages())
        };
        assert_eq!(
            (&*stage.name, stage.go_ms, stage.written_bytes),
            ("both", 5, 2)
        );
    }

    #[test]
    fn the_first_failure_is_told_and_stops_what_runs_beside_it_and_inside_of_that() {
        let (sender, ended) = std::sync::mpsc::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let error = run(vec![
            Box::new(move || {
                run(vec![Box::new(move || {
                    let _guard = on_failure(move || Ok(sender.send(())?))?;
                    tell.send(())?;
                    // As a command that is ended.
                    ended.recv()?;
                    let next = on_failure(|| Ok(()));
                    assert!(next.is_err(), "nothing is started any more");
                    bail!("ended")
                })])
            }),
            Box::new(move || {
                told.recv()?;
                bail!("no network")
            }),
        ]);
        assert_eq!(error.unwrap_err().to_string(), "no network");
    }

    #[test]
    fn all_run_to_their_end_where_none_fails_and_nothing_is_registered_outside() {
        let (mut one, mut two) = (0, 0);
        run(vec![
            Box::new(|| {
                one = 1;
                Ok(())
            }),
            Box::new(|| {
                two = 2;
                Ok(())
            }),
        ])
        .unwrap();
        assert_eq!((one, two), (1, 2));
        let guard = on_failure(|| bail!("never")).unwrap();
        assert_eq!(format!("{guard:?}"), "Guard(None)");
    }
}
