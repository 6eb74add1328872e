//! `verifier cacheprog`: serves a shipped build cache where it cannot be written.
//!
//! `go build` fails when GOCACHE cannot be written, even if every package hits, because it writes the index of the
//! checkout's own packages. With `GOCACHEPROG="verifier cacheprog --shipped DIR"` the go command asks this program
//! instead (the protocol is in [`protocol`]), which answers from the shipped cache and keeps what is new in the
//! first place that can be written (see [`caches`]).
//!
//! It never fails a build that would work without it: an entry that cannot be used is a miss, a place that cannot
//! be written is passed over, and a log that cannot be written is not written.
//!
//! One thread reads requests. A `get` that comes alone it answers itself, since the go command is waiting for just
//! that, and handing it over would cost as much again; of those that come together, all but the last go to a few
//! workers, as do small puts. So answers may be out of order, which the protocol allows.

mod caches;
#[cfg(test)]
mod fuzz;
mod place;
mod protocol;
mod tidy;

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::ActionEntry;
use sha256::Sha256Hash;

use self::caches::{LayeredCaches, Surroundings};
use self::protocol::{Command, Reader, Response};

/// Enough to keep a cold disk busy.
const WORKERS: usize = 4;

/// Bodies up to this size are held in memory, so that the next place can be tried when one turns out to be full.
const HELD_BODY_BYTES: u64 = 1 << 20;

/// Serve a shipped build cache to the go command, as its GOCACHEPROG
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The cache that comes with the image; read, and written only if it is $GOCACHE and can be. Of several, the first
    /// that has an entry answers
    #[arg(long, value_name = "DIR", required = true)]
    shipped: Vec<Utf8PathBuf>,
    /// Append a line for each request: `hit|miss|put <action ID> <output ID>` (`-` for a miss)
    #[arg(long, value_name = "FILE")]
    log: Option<Utf8PathBuf>,
}

/// The value of GOCACHEPROG that has the program `own` serve `shipped`.
pub fn command(own: &str, shipped: &[&Utf8Path]) -> String {
    // The go command splits at spaces, unless a whole word is quoted.
    let quoted = |word: &str| {
        let is_plain = !word.contains([' ', '\t', '"', '\'']);
        if is_plain {
            word.to_owned()
        } else {
            format!("\"{word}\"")
        }
    };
    let shipped = shipped
        .iter()
        .map(|folder| format!(" --shipped {}", quoted(folder.as_str())));
    format!("{} cacheprog{}", quoted(own), shipped.collect::<String>())
}

/// Answers requests on standard input until the go command closes it.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let answers = Answers(Mutex::new(io::stdout()));
    let caches = LayeredCaches::new(&args.shipped, &Surroundings::of_process());
    caches.remove_orphans();
    answers.send(&Response::hello(caches.can_keep()))?;
    let server = Server {
        caches,
        log: Log::open(args.log.as_ref()),
        answers,
    };
    server.serve(BufReader::with_capacity(256 << 10, io::stdin().lock()))?;
    Ok(ExitCode::SUCCESS)
}

struct Server<W> {
    caches: LayeredCaches,
    log: Log,
    answers: Answers<W>,
}

enum Job {
    Get {
        id: i64,
        action: Sha256Hash,
    },
    Put {
        id: i64,
        action: Sha256Hash,
        output: Sha256Hash,
        body: Vec<u8>,
    },
}

impl<W: Write + Send> Server<W> {
    fn serve(&self, input: BufReader<impl Read>) -> anyhow::Result<()> {
        let (sender, receiver) = sync_channel(4 * WORKERS);
        let receiver = Mutex::new(receiver);
        let close = thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| self.work(&receiver));
            }
            // Dropping the sender ends the workers, and leaving the scope waits for them.
            let sender = sender;
            self.read(Reader::new(input), |job| {
                sender.send(job).context("all workers have ended")
            })
        })?;
        if let Some(id) = close {
            // The go command may kill this process once it has the answer.
            self.caches.close();
            self.answers.send(&Response::done(id))?;
        }
        Ok(())
    }

    /// Reads requests to the end; returns the ID of the closing one, if there was one.
    fn read(
        &self,
        mut requests: Reader<impl Read>,
        hand_over: impl Fn(Job) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<i64>> {
        while let Some(request) = requests.next()? {
            let id = request.id;
            match request.command {
                Command::Get { action } if requests.has_more() => {
                    hand_over(Job::Get { id, action })?;
                }
                Command::Get { action } => self.answer_get(id, &action)?,
                Command::Put {
                    action,
                    output,
                    size_bytes,
                } if size_bytes <= HELD_BODY_BYTES => {
                    let body = requests.body(size_bytes)?.read_to_memory()?;
                    hand_over(Job::Put {
                        id,
                        action,
                        output,
                        body,
                    })?;
                }
                Command::Put {
                    action,
                    output,
                    size_bytes,
                } => {
                    let mut body = requests.body(size_bytes)?;
                    let put = self
                        .caches
                        .put_stream(&action, &output, size_bytes, &mut body);
                    body.skip_rest()?;
                    self.answer_put(id, put)?;
                }
                Command::Close => return Ok(Some(id)),
                Command::Unknown(reason) => self.answers.send(&Response::failed(id, &reason))?,
            }
        }
        Ok(None)
    }

    fn work(&self, jobs: &Mutex<Receiver<Job>>) {
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            // Where nobody reads the answer, the go command is gone. The queue is emptied all the same, so that the
            // reader comes to the end of its input instead of waiting for a place in it.
            let _ = match job {
                Job::Get { id, action } => self.answer_get(id, &action),
                Job::Put {
                    id,
                    action,
                    output,
                    body,
                } => self.answer_put(id, self.caches.put_bytes(&action, &output, &body)),
            };
        }
    }

    fn answer_get(&self, id: i64, action: &Sha256Hash) -> io::Result<()> {
        if let Some((entry, path)) = self.caches.get(action) {
            self.log.write("hit", action, Some(&entry.output));
            self.answers.send(&Response::hit(id, &entry, &path))
        } else {
            self.log.write("miss", action, None);
            self.answers.send(&Response::miss(id))
        }
    }

    fn answer_put(
        &self,
        id: i64,
        put: anyhow::Result<(ActionEntry, Utf8PathBuf)>,
    ) -> io::Result<()> {
        match put {
            Ok((entry, path)) => {
                self.log.write("put", &entry.action, Some(&entry.output));
                self.answers.send(&Response::stored(id, &path))
            }
            Err(error) => self
                .answers
                .send(&Response::failed(id, &format!("{error:#}"))),
        }
    }
}

/// Standard output, one answer at a time.
struct Answers<W>(Mutex<W>);

impl<W: Write> Answers<W> {
    fn send(&self, response: &Response) -> io::Result<()> {
        let line = response.to_line();
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        output.write_all(&line)?;
        output.flush()
    }
}

/// The log, if it is wanted and can be written.
struct Log(Option<File>);

impl Log {
    fn open(path: Option<&Utf8PathBuf>) -> Self {
        Self(path.and_then(|path| {
            let file = fs_err::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path);
            match file {
                Ok(file) => Some(file.into_parts().0),
                Err(error) => {
                    eprintln!("verifier cacheprog: no log is written: {error}");
                    None
                }
            }
        }))
    }

    /// A line is one write in append mode, so that lines of concurrent builds do not mix.
    fn write(&self, what: &str, action: &Sha256Hash, output: Option<&Sha256Hash>) {
        if let Some(mut file) = self.0.as_ref() {
            let output = output.map_or("-".to_owned(), Sha256Hash::to_string);
            let _ = file.write_all(format!("{what} {action} {output}\n").as_bytes());
        }
    }
}
