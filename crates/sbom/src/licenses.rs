//! Debian's names of licences as expressions of SPDX.
//!
//! Only what a `copyright` file in Debian's machine-readable form says in its `License` fields is taken, and only names
//! that mean the same licence in both worlds are translated. Everything else keeps its name, as a licence that the
//! document itself defines (`LicenseRef-…`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::inventory::debian::fields;

/// Names that differ; the families of the GNU licences have a rule of their own.
const SAME: [(&str, &str); 8] = [
    ("Expat", "MIT"),
    ("BSD-2-clause", "BSD-2-Clause"),
    ("BSD-3-clause", "BSD-3-Clause"),
    ("BSD-4-clause", "BSD-4-Clause"),
    ("zlib", "Zlib"),
    ("ZLIB", "Zlib"),
    ("PSF-2", "PSF-2.0"),
    ("CC0", "CC0-1.0"),
];
/// Licences of which Debian writes `-2+` or `-2` for what SPDX calls `-2.0-or-later` or `-2.0-only`.
const FAMILIES: [&str; 4] = ["GPL", "LGPL", "AGPL", "GFDL"];

/// What a `copyright` file names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licenses {
    /// As one expression of SPDX.
    pub expression: String,
    /// Licences in it that SPDX has no name for, by the name that they have there (`LicenseRef-…`), with Debian's.
    pub others: BTreeMap<String, String>,
}

/// All licences that `copyright` names; none where it is not in the machine-readable form.
pub fn of(copyright: &str) -> Option<Licenses> {
    let mut others = BTreeMap::new();
    let mut paragraphs = copyright
        .split("\n\n")
        .map(|text| fields(text.trim_start_matches('\n')));
    if !paragraphs.next()?.contains_key("Format") {
        return None;
    }
    let mut all = BTreeSet::new();
    for paragraph in paragraphs {
        if let Some(names) = paragraph.get("License").filter(|names| !names.is_empty()) {
            let expression = expression(names, &mut others);
            if expression.contains(" OR ") {
                all.insert(expression);
            } else {
                all.extend(expression.split(" AND ").map(str::to_owned));
            }
        }
    }
    let several = all.len() > 1;
    let all = all.into_iter().map(|expression| {
        if several && expression.contains(" OR ") {
            format!("({expression})")
        } else {
            expression
        }
    });
    let all: Vec<String> = all.collect();
    (!all.is_empty()).then(|| Licenses {
        expression: all.join(" AND "),
        others,
    })
}

/// `GPL-2+ or Artistic, and Expat` as SPDX has it; as one licence of its own where that would not be an expression.
fn expression(names: &str, others: &mut BTreeMap<String, String>) -> String {
    let mut found = BTreeMap::new();
    // Debian's comma binds less than its `and`, which SPDX can say with parentheses only; it is rare enough.
    if names.contains(',') {
        return reference(names, others);
    }
    let words: Vec<String> = names
        .split_whitespace()
        .map(|word| match word {
            "or" => "OR".to_owned(),
            "and" => "AND".to_owned(),
            name => license(name, &mut found),
        })
        .collect();
    let expression = words.join(" ");
    if spdx::Expression::parse(&expression).is_ok() {
        others.append(&mut found);
        return expression;
    }
    reference(names, others)
}

fn license(name: &str, others: &mut BTreeMap<String, String>) -> String {
    let same = SAME.iter().find(|(debian, _)| *debian == name);
    let translated = match same {
        Some((_, spdx)) => (*spdx).to_owned(),
        None => gnu(name).unwrap_or_else(|| name.to_owned()),
    };
    if spdx::license_id(&translated).is_some_and(|id| id.name == translated) {
        translated
    } else {
        reference(name, others)
    }
}

/// `GPL-2+` as `GPL-2.0-or-later`.
fn gnu(name: &str) -> Option<String> {
    let (family, version) = name.split_once('-')?;
    if !FAMILIES.contains(&family) {
        return None;
    }
    let (version, which) = match version.strip_suffix('+') {
        Some(version) => (version, "or-later"),
        None => (version, "only"),
    };
    let version = if version.contains('.') {
        version.to_owned()
    } else {
        format!("{version}.0")
    };
    Some(format!("{family}-{version}-{which}"))
}

fn reference(name: &str, others: &mut BTreeMap<String, String>) -> String {
    let word = |character: char| {
        if character.is_ascii_alphanumeric() || ".-".contains(character) {
            character
        } else {
            '-'
        }
    };
    let reference = format!(
        "LicenseRef-debian-{}",
        name.chars().map(word).collect::<String>()
    );
    others.insert(reference.clone(), name.to_owned());
    reference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_the_same_are_translated_and_others_stay() {
        for (debian, spdx) in [
            ("GPL-2+", "GPL-2.0-or-later"),
            ("LGPL-2.1", "LGPL-2.1-only"),
            ("Expat", "MIT"),
            ("BSD-3-clause", "BSD-3-Clause"),
            ("ISC", "ISC"),
            ("public-domain", "LicenseRef-debian-public-domain"),
            ("GPL-2+ or Expat", "GPL-2.0-or-later OR MIT"),
            (
                "GPL-2+ with OpenSSL exception",
                "LicenseRef-debian-GPL-2--with-OpenSSL-exception",
            ),
            (
                "GPL-1+ or Artistic, and Expat",
                "LicenseRef-debian-GPL-1--or-Artistic--and-Expat",
            ),
        ] {
            let mut others = BTreeMap::new();
            assert_eq!(expression(debian, &mut others), spdx, "{debian}");
            assert_eq!(
                others.contains_key(spdx),
                spdx.starts_with("LicenseRef"),
                "{debian}"
            );
        }
    }

    #[test]
    fn a_package_has_all_licences_that_its_copyright_names() {
        let copyright = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nLicense: Expat\n\n\
                         Files: *\nCopyright: somebody\nLicense: GPL-2+ or Expat\n text: of it\n\n\
                         Files: a\nLicense: ISC\n\nLicense: ISC\n text\n";
        let found = of(copyright).unwrap();
        assert_eq!(found.expression, "(GPL-2.0-or-later OR MIT) AND ISC");
        assert_eq!(of("This is GPL.\n\nLicense: Expat\n"), None);
    }
}
