//! The base system: the time of its snapshot, and the lock of its packages.

use anyhow::Result;
use failure::usage;
use oci::platform::Platform;
use pipeline::foundation::base;
use pipeline::foundation::base::lock::{LOCK, Lock};
use pipeline::image_toml::{ImageToml, is_snapshot};

use super::go::replaced;
use super::{Change, Pinned};

pub fn raise(pinned: &mut Pinned, wanted: Option<&str>) -> Result<Vec<Change>> {
    let today = || {
        jiff::Timestamp::now()
            .strftime("%Y%m%dT000000Z")
            .to_string()
    };
    raise_with(pinned, wanted, &today(), base::packages)
}

/// With what makes a base system and tells its packages.
pub fn raise_with(
    pinned: &mut Pinned,
    wanted: Option<&str>,
    today: &str,
    packages: impl Fn(&ImageToml, &Platform) -> Result<Vec<base::Package>>,
) -> Result<Vec<Change>> {
    if let Some(wanted) = wanted.filter(|it| !is_snapshot(it)) {
        return Err(usage(
            format!("{wanted:?} is no time of a snapshot"),
            "write one as base=20260101T000000Z",
        ));
    }
    let file = pinned.image_file.with_file_name(LOCK);
    let lock = Lock::read(&file)?;
    let old = pinned.parsed()?.base.snapshot;
    let name = "base".to_owned();
    let none = "without a snapshot".to_owned();
    if wanted.is_none() && old.is_none() && lock.is_none() {
        return Ok(vec![Change {
            name,
            old: none.clone(),
            new: none,
        }]);
    }
    let new = match (wanted, &old) {
        (Some(wanted), _) => Some(wanted.to_owned()),
        // Times written so are sorted as texts.
        (None, Some(old)) => Some(old.clone().max(today.to_owned())),
        (None, None) => None,
    };
    let mut image = pinned.image.clone();
    if let Some(new) = &new {
        let old = image["base"].get("snapshot").cloned().unwrap_or_default();
        image["base"]["snapshot"] = replaced(&old, new);
    }
    let parsed = ImageToml::parse(&image.to_string())?;
    let mut lock = lock.unwrap_or_default();
    let mut renewed = Vec::new();
    // One snapshot is all platforms'.
    let platforms = lock.platforms();
    for platform in &platforms {
        let changes = lock.renew(platform, &packages(&parsed, platform)?);
        let of = if platforms.len() > 1 {
            format!("base, {platform}")
        } else {
            "base".to_owned()
        };
        renewed.extend(changes.into_iter().map(|it| (of.clone(), it)));
    }
    let mut changes = vec![Change {
        name,
        old: old.unwrap_or_else(|| none.clone()),
        new: new.unwrap_or(none),
    }];
    changes.extend(renewed.into_iter().map(|(of, it)| Change {
        name: format!("{of}: {}", it.name),
        old: it.old.unwrap_or_else(|| "none".to_owned()),
        new: it.new.unwrap_or_else(|| "none".to_owned()),
    }));
    pinned.image = image;
    pinned.files.insert(file, lock.to_string());
    Ok(changes)
}
