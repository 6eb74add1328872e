//! How often something is tried again, and how long to wait before: longer each time, never all at the same moment,
//! and as long as the registry asks for.

use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::{Error, Result};
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How often in a row something is tried again.
const RETRIES: u32 = 5;
/// The longest wait before the first of them; tests that provoke dozens do not wait for long.
const FIRST: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 250 });
/// The longest wait that a registry may ask for.
const LONGEST: Duration = Duration::from_secs(300);

/// Why a request got no answer, where another try may help.
#[derive(Debug)]
pub struct Cut {
    pub why: Error,
    /// How long the registry asks to be left alone.
    pub wait: Option<Duration>,
}

impl Cut {
    pub fn new(why: Error) -> Self {
        Self { why, wait: None }
    }
}

/// What is left of it.
#[derive(Debug, Default)]
pub struct Patience {
    tried: u32,
}

impl Patience {
    /// Waits until it is time for another try; the error of `cut` when there were enough.
    pub fn wait(&mut self, cut: Cut) -> Result<()> {
        if self.tried == RETRIES {
            return Err(cut.why.context(format!(
                "gave up after {} tries; run the same command again to go on from there",
                RETRIES + 1
            )));
        }
        let asked = cut.wait.unwrap_or_default();
        if asked > LONGEST {
            return Err(cut.why.context(format!(
                "the registry asks to come back in {} s; run the same command again then",
                asked.as_secs()
            )));
        }
        sleep(asked.max(delay(self.tried, rand::random())));
        self.tried += 1;
        Ok(())
    }

    /// Something came through: what follows has all the patience again.
    pub fn renew(&mut self) {
        self.tried = 0;
    }
}

/// The wait before the retry after `tried` others; `chance` is of 0 to 1.
fn delay(tried: u32, chance: f64) -> Duration {
    (FIRST * 2u32.pow(tried)).mul_f64(0.5 + chance / 2.0)
}

/// How long the answer with `headers` asks to wait, at `now`: seconds, or a date.
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
        for tried in 0..RETRIES {
            assert_eq!(delay(tried, 1.0), FIRST * 2u32.pow(tried));
            assert_eq!(delay(tried, 0.0) * 2, delay(tried, 1.0));
            assert!(delay(tried + 1, 0.0) >= delay(tried, 1.0));
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
        let cut = Cut {
            why: anyhow::anyhow!("too many requests"),
            wait: Some(Duration::from_secs(3600)),
        };
        let said = format!("{:#}", Patience::default().wait(cut).unwrap_err());
        assert!(said.contains("3600 s") && said.contains("too many requests"));
        let cut = Cut::new(anyhow::anyhow!("no route"));
        let said = Patience { tried: RETRIES }.wait(cut).unwrap_err();
        assert_eq!(
            format!("{said:#}"),
            "gave up after 6 tries; run the same command again to go on from there: no route"
        );
    }
}
