//! Look-ups of Go's package index, and how many of them GOCACHE as shipped answers.
//!
//! The action graph has none of them. `go build -n` loads the same packages as a build, and with
//! `GODEBUG=gocachehash=1` it prints the ID of each look-up; an entry under that ID is the answer. (`go list -deps`
//! asks for more: it loads what tests import as well.)

use std::collections::BTreeSet;

use camino::Utf8Path;
use gocache::{HashLog, Ratio, Store};
use sha256::Sha256Hash;

use crate::go;
use crate::process::Environment;

/// IDs of the look-ups for all packages of the module in `folder`. What the go command had to make for them stays in
/// GOCACHE.
pub fn look_ups(
    folder: &Utf8Path,
    environment: &Environment,
) -> anyhow::Result<BTreeSet<Sha256Hash>> {
    let mut environment = environment.clone();
    environment.push(go::hash_log());
    let planned = go::run(&["build", "-n", "-o", "program", "."], folder, &environment)?;
    Ok(HashLog::scan(&planned.stderr[..])?.index_ids)
}

/// How many of them GOCACHE answers. A damaged entry answers nothing.
pub fn answered(ids: &BTreeSet<Sha256Hash>, gocache: &Utf8Path) -> anyhow::Result<Ratio> {
    let store = Store::at(gocache);
    let mut ratio = Ratio::default();
    for id in ids {
        ratio.total += 1;
        match store.get(id) {
            Ok(entry) => ratio.hits += u64::from(entry.is_some()),
            Err(error) if error.kind() == Some(failure::Kind::Corrupt) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ratio)
}
