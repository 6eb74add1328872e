//! What the folders of programs are called: as their provider and component, in words that paths and tags can carry.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use gocache::Sha256Hash;
use modules::Module;

/// Longer words are cut off.
const MAX_CHARACTERS: usize = 64;

/// Begins what was no word.
const PREFIX: &str = "p-";

/// As much of a digest as keeps two words apart.
const DIGEST_CHARACTERS: usize = 8;

/// A folder for each of `modules`, `<provider>/<component>`, no two of them the same.
pub(super) fn folders(modules: &[&Module]) -> Vec<Utf8PathBuf> {
    let folder = |module: &&Module| Utf8Path::new(&module.provider).join(of(module));
    let folders: Vec<Utf8PathBuf> = modules.iter().map(folder).collect();
    let mut counts: BTreeMap<&Utf8Path, usize> = BTreeMap::new();
    for folder in &folders {
        *counts.entry(folder).or_default() += 1;
    }
    let alone = |(folder, module): (&Utf8PathBuf, &&Module)| match counts[folder.as_path()] {
        1 => folder.clone(),
        _ => format!("{folder}-{}", digest(module.path.as_str())).into(),
    };
    folders.iter().zip(modules).map(alone).collect()
}

/// The component, with its version where that is another than the first.
fn of(module: &Module) -> String {
    let last = module.component.rsplit('/').next().unwrap_or_default();
    let mut names = module.path.components().map(|part| part.as_str());
    let is_after = names.any(|name| name == last);
    let version = names.next().filter(|name| is_after && is_version(name));
    match version {
        Some(version) if version != "v1" => word(&format!("{}-{version}", module.component)),
        _ => word(&module.component),
    }
}

fn is_version(name: &str) -> bool {
    let number = name.strip_prefix('v').unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// `text` as one word, which no other text is, and which no project file is called.
fn word(text: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
    let is_word = begins && text.bytes().all(allowed) && text.len() <= MAX_CHARACTERS;
    if is_word && !text.starts_with("Pulumi") {
        return text.to_owned();
    }
    let kept = text.chars().map(|character| match character {
        '.' => '-',
        _ if character.is_ascii_alphanumeric() || character == '_' => character,
        _ => '-',
    });
    let kept: String = kept
        .take(MAX_CHARACTERS - PREFIX.len() - "-".len() - DIGEST_CHARACTERS)
        .collect();
    format!("{PREFIX}{kept}-{}", digest(text))
}

fn digest(text: &str) -> String {
    let mut digest = Sha256Hash::of(text.as_bytes()).to_string();
    digest.truncate(DIGEST_CHARACTERS);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(provider: &str, component: &str, path: &str) -> Module {
        Module {
            provider: provider.into(),
            component: component.into(),
            path: path.into(),
            import_path: "m".into(),
            go_mod: "go.mod".into(),
            main: None,
        }
    }

    fn named(modules: &[Module]) -> Vec<String> {
        let modules: Vec<&Module> = modules.iter().collect();
        let folders = folders(&modules);
        folders.into_iter().map(Utf8PathBuf::into_string).collect()
    }

    #[test]
    fn a_folder_is_called_as_the_component_where_a_path_can_carry_that() {
        let module = |component: &str| {
            let path = format!("apis/provider/aws/{component}/v1/iac/pulumi");
            module("aws", component, &path)
        };
        let long = "x".repeat(65);
        let names = [
            "s3",
            "my_b.c-2",
            "net/vpc",
            "net-vpc",
            "Pulumi.yaml",
            ".x",
            "a b",
            "ä",
            &long,
        ];
        let folders = named(&names.map(module));
        assert_eq!(folders[..2], ["aws/s3", "aws/my_b.c-2"]);
        assert_eq!(folders[3], "aws/net-vpc");
        assert!(folders[2].starts_with("aws/p-net-vpc-"), "{folders:?}");
        for folder in &folders {
            let word = folder.strip_prefix("aws/").unwrap();
            assert_eq!(super::word(word), word);
        }
        let all: std::collections::BTreeSet<_> = folders.iter().collect();
        assert_eq!(all.len(), names.len());
    }

    #[test]
    fn versions_of_a_component_and_components_of_one_name_are_apart() {
        let one = |version: &str| format!("apis/provider/aws/s3/{version}/iac/pulumi");
        let of = |path: &str| module("aws", "s3", path);
        let folders = named(&[of(&one("v1")), of(&one("v2"))]);
        assert_eq!(folders, ["aws/s3", "aws/s3-v2"]);
        let same = named(&[of("stacks/one/s3"), of("stacks/two/s3")]);
        assert_ne!(same[0], same[1]);
        assert!(same[0].starts_with("aws/s3-"), "{same:?}");
    }
}
