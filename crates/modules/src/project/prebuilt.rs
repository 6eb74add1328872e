//! The project file of a program that is built already: what it takes to run it, and nothing that leads into its
//! source.

use std::path::Path;

use serde_yaml_ng::{Mapping, Value};

use super::{MAX_BYTES, NAMES, value};
use crate::Error;
use crate::source_file;

/// What a project says beside what runs it that counts where there is no source: `main`, `template`, `stackConfigDir`
/// and the like lead to its folders.
const KEPT: [&str; 6] = [
    "description",
    "config",
    "options",
    "backend",
    "packages",
    "plugins",
];

/// As many characters, and these, may a project's name have.
const MAX_NAME: usize = 100;

/// The project file of the program in `folder`, relative to `source`, whose executable is `binary` beside it. Where the
/// program's own says no name, it is `name`.
///
/// # Errors
/// Those of reading the program's own.
pub fn text(source: &Path, folder: &Path, name: &str, binary: &str) -> Result<String, Error> {
    let mut own = Value::Null;
    for file in NAMES {
        if let Some(bytes) = source_file::read(source, &folder.join(file), MAX_BYTES)? {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
            own = value(bytes).unwrap_or_default();
            break;
        }
    }
    let written = written(&own, name, binary);
    // What does not fit is more than it says: names of parts of it, again and again.
    let fits = written.filter(|text| text.len() as u64 <= MAX_BYTES);
    let least = || self::written(&Value::Null, name, binary);
    Ok(fits.or_else(least).unwrap_or_default())
}

fn written(own: &Value, name: &str, binary: &str) -> Option<String> {
    let mut project = Mapping::new();
    let own_name = own.get("name").and_then(Value::as_str);
    let own_name = own_name.filter(|name| is_a_name(name));
    project.insert("name".into(), own_name.unwrap_or(name).into());
    let mut options = Mapping::new();
    options.insert("binary".into(), format!("./{binary}").into());
    let mut runtime = Mapping::new();
    runtime.insert("name".into(), "go".into());
    runtime.insert("options".into(), options.into());
    project.insert("runtime".into(), runtime.into());
    for key in KEPT {
        // As text, `config` is the folder of stacks' files.
        let there = own.get(key).filter(|it| key != "config" || it.is_mapping());
        let there = match key {
            "plugins" => there.and_then(at_absolute_paths),
            _ => there.cloned(),
        };
        project.extend(there.map(|it| (Value::from(key), it)));
    }
    serde_yaml_ng::to_string(&project).ok()
}

/// Of `plugins`, those that are not in the source.
fn at_absolute_paths(plugins: &Value) -> Option<Value> {
    let mut kept = Mapping::new();
    for (kind, all) in plugins.as_mapping()? {
        let is_absolute = |it: &&Value| {
            let path = it.get("path").and_then(Value::as_str);
            path.is_some_and(|path| path.starts_with('/'))
        };
        let of_kind: Vec<Value> = all
            .as_sequence()?
            .iter()
            .filter(is_absolute)
            .cloned()
            .collect();
        if !of_kind.is_empty() {
            kept.insert(kind.clone(), of_kind.into());
        }
    }
    (!kept.is_empty()).then(|| kept.into())
}

fn is_a_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Project;

    fn of(own: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("m")).unwrap();
        fs_err::write(folder.path().join("m/Pulumi.yml"), own).unwrap();
        text(folder.path(), "m".as_ref(), "civo-volume", "volume").unwrap()
    }

    #[test]
    fn what_a_run_needs_stays_and_what_leads_into_the_source_goes() {
        let own = "name: \"mine\"\nruntime:\n  name: go\n  options: {buildTarget: out}\nmain: cmd/app\n\
                   description: 'yes: it is'\nauthor: me\nstackConfigDir: ../stacks\n\
                   config:\n  aws:region: {default: \"0123\"}\n  n:size: 5\n\
                   packages: {thing: https://example.com/thing@v1}\n\
                   plugins:\n  providers:\n  - {name: a, path: ../bin}\n  - {name: b, path: /opt/b}\n  analyzers: []\n";
        insta::assert_snapshot!(of(own));
    }

    #[test]
    fn whatever_the_program_says_its_executable_is_run_under_some_name() {
        let many = (0..17).fold("a0: &a0 [x, x]\n".to_owned(), |text, number| {
            let next = number + 1;
            format!("{text}a{next}: &a{next} [*a{number}, *a{number}]\n")
        });
        for own in [
            "",
            "a text",
            "- a list\n",
            "name: [",
            "name: with space\n",
            "name: 5\nruntime: nodejs\nmain: elsewhere\n",
            "config: ../stacks\n",
            "plugins: text\n",
            &format!("{many}config: {{x: *a17}}\n"),
        ] {
            let text = of(own);
            assert!(text.len() < 400_000, "{}", text.len());
            let project = Project::parse("Pulumi.yaml", text.as_bytes());
            assert!(project.is_go(), "{text}");
            assert_eq!(project.main, None);
            let binary = project.runtime_options().binary;
            assert_eq!(binary.as_deref(), Some("./volume"));
            assert!(text.starts_with("name: civo-volume\n"), "{text}");
        }
        let nowhere = text("/".as_ref(), "proc/none".as_ref(), "name", "b").unwrap();
        assert!(nowhere.starts_with("name: name\n"), "{nowhere}");
    }
}
