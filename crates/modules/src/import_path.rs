//! Which folder names can be part of a Go import path: the rule of `module.CheckImportPath` in golang.org/x/mod,
//! by which the go command refuses to load a package.
//!
//! It is applied to the whole path below the source, not only to what lies below the go.mod, and no segment may
//! start with a dash: the same path ends up in command lines and reports.

use std::path::Path;

/// File names that Windows reserves; Go refuses them everywhere.
const WINDOWS_NAMES: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8",
    "com9", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Why Go would refuse this path; none if it would not.
pub fn refusal(path: &Path) -> Option<String> {
    path.iter().find_map(|segment| match segment.to_str() {
        Some(segment) => segment_refusal(segment),
        None => Some("bytes that are not UTF-8".into()),
    })
}

fn segment_refusal(segment: &str) -> Option<String> {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "-._~+".contains(*c);
    if let Some(character) = segment.chars().find(|c| !allowed(c)) {
        return Some(format!("the character {character:?}"));
    }
    if segment.starts_with('-') {
        return Some(format!("{segment:?} starts with a dash"));
    }
    if segment.ends_with('.') {
        return Some(format!("{segment:?} ends with a dot"));
    }
    let stem = segment.split('.').next().unwrap_or_default();
    if WINDOWS_NAMES.contains(&stem.to_ascii_lowercase().as_str()) {
        return Some(format!("{segment:?} is a name that Windows reserves"));
    }
    let (_, after_tilde) = stem.rsplit_once('~')?;
    (!after_tilde.is_empty() && after_tilde.bytes().all(|b| b.is_ascii_digit()))
        .then(|| format!("{segment:?} looks like a short name of Windows"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for path in [
            "apis/provider/aws/lambda/v1/iac/pulumi",
            "a_b/c-d/e.f/g+h/~/x~y1/console/com0",
            "A/9",
        ] {
            assert_eq!(refusal(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn each_rule_refuses() {
        for path in [
            "a b",
            "a\"b",
            "a'b",
            "a\nb",
            "a\tb",
            "a\\b",
            "ä",
            "日本",
            "a:b",
            "a@b",
            "a*b",
            "a,b",
            "a=b",
            "-a",
            "x/-a",
            "a.",
            "...",
            "con",
            "CON.txt",
            "x/Lpt9",
            "abc~1",
            "abc~12.go",
        ] {
            assert!(refusal(Path::new(path)).is_some(), "{path:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_refuse() {
        use std::os::unix::ffi::OsStrExt as _;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"a/b\xff"));
        assert_eq!(refusal(path).unwrap(), "bytes that are not UTF-8");
    }
}
