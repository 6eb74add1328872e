//! What a file has to hold beyond its shape, looked at once when it is read, so that whatever is made of it later need
//! not ask again: sums fit, misses are not below zero, times are times, and a name is a name on one line in any format.
//!
//! What is true of any value ([`values`]) is looked for in the file's JSON, by the names of its fields: a field that is
//! added later is looked at as well, without anybody thinking of it. Rules about several fields are spelt out.
//!
//! A fault names its field by its path in the JSON.

use std::collections::BTreeMap;
use std::fmt::Display;

use failure::is_hidden;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::{PhaseName, Report};

/// The largest count or size. JSON tells whole numbers apart up to here, and a thousand of them have a sum.
const LARGEST_COUNT: u64 = 1 << 53;
/// The shortest time in milliseconds: the verifier rounds to this, so less was not measured.
const SHORTEST_MS: f64 = 0.001;
/// The longest time in milliseconds, a week: no machine of a CI waits so long for a command.
const LONGEST_MS: f64 = 7.0 * 24.0 * 3_600.0 * 1_000.0;
/// Fields whose text may have several lines and is no name; the formats quote it.
const PROSE: [&str; 2] = ["message", "reason"];

/// A field that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub struct Fault {
    /// Its path in the JSON, as `modules[3].phases.first.wall_ms[0]`.
    pub field: String,
    /// What is wrong, as the rest of the sentence.
    pub reason: String,
}

impl Fault {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The same, seen from the object around it.
    pub(crate) fn within(mut self, parent: impl Display) -> Self {
        let is_joined = self.field.is_empty() || self.field.starts_with('[');
        let joint = if is_joined { "" } else { "." };
        self.field = format!("{parent}{joint}{}", self.field);
        self
    }
}

impl Report {
    /// Whether everything that can be made of a report can be made of this one.
    pub fn check(&self) -> Result<(), Fault> {
        values(self)?;
        if self.modules.is_empty() && self.failures.is_empty() {
            let reason = "is empty, and nothing failed: nothing was measured";
            return Err(Fault::new("modules", reason));
        }
        each_once("modules", "path", self.modules.iter().map(|it| &it.path))?;
        each_once("packs", "name", self.packs.iter().map(|it| &it.name))?;
        for (number, pack) in self.packs.iter().enumerate() {
            let total = pack.total_bytes();
            if total > LARGEST_COUNT {
                let reason = format!(
                    "has go_mod_bytes, go_build_bytes and executables_bytes of {total} together, not \
                     up to {LARGEST_COUNT}"
                );
                return Err(Fault::new(format!("packs[{number}]"), reason));
            }
        }
        for (number, module) in self.modules.iter().enumerate() {
            let fault = |field: String, reason: String| {
                Err(Fault::new(field, reason).within(format!("modules[{number}]")))
            };
            for (name, phase) in &module.phases {
                if phase.wall_ms.is_empty() {
                    let field = format!("phases.{name}.wall_ms");
                    return fault(field, "is empty: a phase has a run".to_owned());
                }
            }
            let runs = module.first().map_or(0, |first| first.wall_ms.len());
            for (field, yardstick) in [("list_ms", &module.list_ms), ("probe_ms", &module.probe_ms)]
            {
                if !yardstick.is_empty() && yardstick.len() != runs {
                    let (count, first) = (yardstick.len(), PhaseName::First);
                    let reason = format!(
                        "has {count} values, and phases.{first}.wall_ms {runs}: one for each"
                    );
                    return fault(field.to_owned(), reason);
                }
            }
        }
        Ok(())
    }
}

/// Whether no two elements of a list have the same key: only one of them would be compared.
pub(crate) fn each_once<K: Ord>(
    list: &str,
    key_name: &str,
    keys: impl Iterator<Item = K>,
) -> Result<(), Fault> {
    let mut known = BTreeMap::new();
    for (number, key) in keys.enumerate() {
        if let Some(other) = known.insert(key, number) {
            let field = format!("{list}[{number}].{key_name}");
            return Err(Fault::new(
                field,
                format!("is that of {list}[{other}], too"),
            ));
        }
    }
    Ok(())
}

/// What a number is.
#[derive(Debug, Clone, Copy)]
enum Unit {
    /// Things or bytes.
    Count,
    Milliseconds,
    /// A time divided by another one.
    Times,
}

impl Unit {
    /// Of a field's numbers, where its name tells; all else is of its parent's.
    fn of(field: &str) -> Option<Self> {
        match field {
            "wall_ms" | "list_ms" | "probe_ms" | "first_ms" => Some(Self::Milliseconds),
            "per_list" | "per_probe" | "first_to_list" => Some(Self::Times),
            _ => None,
        }
    }
}

/// Whether every value by itself can be right.
pub(crate) fn values(of: &impl Serialize) -> Result<(), Fault> {
    let json = serde_json::to_value(of);
    value(&json.expect("its keys are strings"), "", Unit::Count)
}

fn value(json: &Value, field: &str, unit: Unit) -> Result<(), Fault> {
    match json {
        Value::Object(fields) => {
            hits(fields)?;
            for (name, json) in fields {
                one_line(name)
                    .and_then(|()| value(json, name, Unit::of(name).unwrap_or(unit)))
                    .map_err(|fault| fault.within(name.escape_debug()))?;
            }
            Ok(())
        }
        Value::Array(elements) => elements.iter().enumerate().try_for_each(|(number, json)| {
            value(json, field, unit).map_err(|fault| fault.within(format!("[{number}]")))
        }),
        Value::String(text) if !PROSE.contains(&field) => one_line(text),
        Value::Number(number) => {
            let is_right = match unit {
                Unit::Count => number.as_u64().is_some_and(|count| count <= LARGEST_COUNT),
                Unit::Milliseconds => is_within(number, SHORTEST_MS, LONGEST_MS),
                Unit::Times => {
                    is_within(number, SHORTEST_MS / LONGEST_MS, LONGEST_MS / SHORTEST_MS)
                }
            };
            let expected = match unit {
                Unit::Count => format!("a whole number up to {LARGEST_COUNT}"),
                Unit::Milliseconds => format!("a time from {SHORTEST_MS} to {LONGEST_MS} ms"),
                Unit::Times => "the ratio of two times".to_owned(),
            };
            if is_right {
                Ok(())
            } else {
                Err(Fault::new("", format!("is {number}, not {expected}")))
            }
        }
        // What is not finite has no other form in JSON.
        Value::Null if field != "first_ms" => Err(Fault::new("", "is no number")),
        Value::String(_) | Value::Null | Value::Bool(_) => Ok(()),
    }
}

fn is_within(number: &serde_json::Number, least: f64, most: f64) -> bool {
    number
        .as_f64()
        .is_some_and(|number| (least..=most).contains(&number))
}

/// Whether an object, if it is a ratio, has not more hits than there were chances.
fn hits(fields: &Map<String, Value>) -> Result<(), Fault> {
    let count = |name| fields.get(name).and_then(Value::as_u64);
    match (count("hits"), count("total")) {
        (Some(hits), Some(total)) if hits > total => Err(Fault::new(
            "hits",
            format!("is {hits}, more than total, {total}"),
        )),
        _ => Ok(()),
    }
}

/// Whether a name can stand in a line of text, and looks like what it is.
fn one_line(text: &str) -> Result<(), Fault> {
    text.chars().find(|c| is_hidden(*c)).map_or(Ok(()), |c| {
        let reason = format!("has the character {c:?} in it, which no name has");
        Err(Fault::new("", reason))
    })
}

#[cfg(test)]
mod tests;
