//! How often a request is tried again, and how long to wait before: longer each time, never all at the same moment, and
//! as long as the registry asks for.

use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::{Error, Result};
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::pace::WORTH_A_REQUEST;

/// How often in a row a request is tried again.
const RETRIES: u32 = 5;
/// The longest wait before the first retry; tests that provoke dozens do not wait for long.
const FIRST_DELAY: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 250 });
/// The longest wait that a registry may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// The longest time that is spent waiting, whatever came through in between.
const MAX_WAITING: Duration = Duration::from_secs(1800);

/// An error after which another try may help.
#[derive(Debug)]
pub struct Transient {
    pub error: Error,
    /// How long the registry asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl From<Error> for Transient {
    fn from(error: Error) -> Self {
        Self {
            error,
            retry_after: None,
        }
    }
}

/// Decides on the tries of one request, or of requests that go on from each other.
#[derive(Debug, Default)]
pub struct RetryPolicy {
    retries: u32,
    /// Bytes that came through since the tries were last counted anew.
    progress: u64,
    waited: Duration,
}

impl RetryPolicy {
    /// Waits until it is time for another try; the error of `transient` when there were enough.
    pub fn wait(&mut self, transient: Transient) -> Result<()> {
        let Transient { error, retry_after } = transient;
        if self.retries == RETRIES {
            return Err(error.context(format!(
                "gave up after {} tries; run the same command again to go on from there",
                RETRIES + 1
            )));
        }
        let asked = retry_after.unwrap_or_default();
        if asked > MAX_RETRY_AFTER {
            return Err(error.context(format!(
                "the registry asks to come back in {} s; run the same command again then",
                asked.as_secs()
            )));
        }
        let wait = asked.max(delay(self.retries, rand::random()));
        self.waited += wait;
        if self.waited > MAX_WAITING {
            return Err(error.context(format!(
                "gave up: the registry would be waited for longer than {} s; run the same command again to go on \
                 from there",
                MAX_WAITING.as_secs()
            )));
        }
        sleep(wait);
        self.retries += 1;
        Ok(())
    }

    /// `bytes` came through: when they are enough to be worth a request, what follows has all its retries again.
    pub fn progressed(&mut self, bytes: u64) {
        self.progress += bytes;
        if self.progress >= WORTH_A_REQUEST {
            self.progress = 0;
            self.retries = 0;
        }
    }
}

/// The wait before the retry after `retries` others; `chance` is of 0 to 1.
fn delay(retries: u32, chance: f64) -> Duration {
    (FIRST_DELAY * 2u32.pow(retries)).mul_f64(0.5 + chance / 2.0)
}

/// How long the response with `headers` asks to wait, at `now`: seconds, or a date.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let then = SystemTime::from(date.timestamp());
    Some(then.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_longer_and_none_is_like_another() {
        for retries in 0..RETRIES {
            assert_eq!(delay(retries, 1.0), FIRST_DELAY * 2u32.pow(retries));
            assert_eq!(delay(retries, 0.0) * 2, delay(retries, 1.0));
            assert!(delay(retries + 1, 0.0) >= delay(retries, 1.0));
        }
    }

    #[test]
    fn the_registry_says_in_seconds_or_by_date_when_to_come_back() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480 - 7);
        for (text, wait) in [
            ("3", Some(3)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(7)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            assert_eq!(
                retry_after(&headers, now),
                wait.map(Duration::from_secs),
                "{text}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn who_asks_for_too_long_is_not_waited_for() {
        let transient = Transient {
            error: anyhow::anyhow!("too many requests"),
            retry_after: Some(Duration::from_secs(3600)),
        };
        let said = format!("{:#}", RetryPolicy::default().wait(transient).unwrap_err());
        assert!(said.contains("3600 s") && said.contains("too many requests"));
        let transient = Transient::from(anyhow::anyhow!("no route"));
        let mut policy = RetryPolicy {
            retries: RETRIES,
            ..RetryPolicy::default()
        };
        policy.progressed(WORTH_A_REQUEST - 1);
        let said = policy.wait(transient).unwrap_err();
        assert_eq!(
            format!("{said:#}"),
            "gave up after 6 tries; run the same command again to go on from there: no route"
        );
        policy.progressed(1);
        assert_eq!(policy.retries, 0);
        policy.waited = MAX_WAITING;
        let transient = Transient::from(anyhow::anyhow!("no route"));
        let said = policy.wait(transient).unwrap_err().to_string();
        assert!(said.contains("longer than 1800 s"), "{said}");
    }
}
