//! The image's plugins of Pulumi, put where Pulumi looks for plugins: below whichever `PULUMI_HOME` is in force.
//!
//! A plugin is a folder there, and Pulumi passes over links to folders. So each is a folder of the user's own, with
//! links to the files of the image's; beside it Pulumi installs others, and notes when it used which. A plugin that is
//! there already stays, whoever put it there. One that was made here for another image, which had it, leads nowhere in
//! this one: it goes, or Pulumi would take it for installed.
//!
//! Nothing here fails: what cannot be linked is not there, and Pulumi says so.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, symlink};

use camino::{Utf8Path, Utf8PathBuf};

/// More entries than plugins and their folders have.
const ENTRIES: usize = 1000;

/// Puts links to the plugins in `shipped` below `pulumi_home`.
pub(super) fn link(shipped: &Utf8Path, pulumi_home: &Utf8Path) {
    let place = pulumi_home.join("plugins");
    for folder in entries(&place) {
        if leads_nowhere(&folder, shipped) {
            let _ = fs_err::remove_dir_all(folder);
        }
    }
    for plugin in entries(shipped).into_iter().filter(|it| it.is_dir()) {
        let name = plugin.file_name().unwrap_or_default();
        if place.join(name).symlink_metadata().is_ok() {
            continue;
        }
        let mut folders = DirBuilder::new();
        folders.recursive(true).mode(0o700);
        if folders.create(&place).is_err() {
            return;
        }
        // Processes of several containers may share a home and have the same number, so the name is a random one.
        // Pulumi takes a folder whose name starts with a dot for no plugin.
        let mut partial = tempfile::Builder::new();
        let Ok(partial) = partial.prefix(".iac-runner-").tempdir_in(&place) else {
            return;
        };
        let are_made = entries(&plugin).iter().all(|file| {
            let link = partial.path().join(file.file_name().unwrap_or_default());
            symlink(file, link).is_ok()
        });
        // Another process may have been faster, with the same links. What is not renamed goes.
        if are_made {
            let _ = fs_err::rename(partial.path(), place.join(name));
        }
    }
}

/// Whether `folder` is one that was made here, and a plugin of it is not in `shipped` any more.
fn leads_nowhere(folder: &Utf8Path, shipped: &Utf8Path) -> bool {
    let Some(name) = folder.file_name() else {
        return false;
    };
    let files = entries(folder);
    let is_ours = |file: &Utf8PathBuf| {
        let target = file.read_link_utf8();
        target.is_ok_and(|target| target.parent() == Some(&shipped.join(name)))
    };
    let is_folder = folder.symlink_metadata().is_ok_and(|it| it.is_dir());
    is_folder
        && !files.is_empty()
        && files.iter().all(is_ours)
        && !files.iter().all(|it| it.exists())
}

fn entries(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries = folder.read_dir_utf8().into_iter().flatten();
    let entries = entries.filter_map(Result::ok).take(ENTRIES);
    entries.map(camino::Utf8DirEntry::into_path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_folder::tests::Folder;

    const TOY: &str = "resource-toy-v1.0.0";
    const PROGRAM: &str = "resource-toy-v1.0.0/pulumi-resource-toy";

    fn with_plugins(names: &[&str]) -> Folder {
        let folder = Folder::new();
        for name in names {
            let plugin = folder.path("shipped").join(name);
            fs_err::create_dir_all(&plugin).unwrap();
            fs_err::write(plugin.join("pulumi-resource-toy"), *name).unwrap();
            fs_err::write(plugin.join("LICENSE"), "text").unwrap();
        }
        folder
    }

    fn names(folder: &Utf8Path) -> Vec<String> {
        let mut names: Vec<String> = entries(folder)
            .iter()
            .map(|path| path.file_name().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn each_plugin_is_a_folder_with_links() {
        let folder = with_plugins(&[TOY, "resource-toy-v2.0.0"]);
        let home = folder.path("home/.pulumi");
        for _ in 0..2 {
            link(&folder.path("shipped"), &home);
            let plugins = home.join("plugins");
            assert_eq!(names(&plugins), [TOY, "resource-toy-v2.0.0"]);
            assert!(plugins.join(TOY).symlink_metadata().unwrap().is_dir());
            assert_eq!(
                names(&plugins.join(TOY)),
                ["LICENSE", "pulumi-resource-toy"]
            );
            assert_eq!(fs_err::read_to_string(plugins.join(PROGRAM)).unwrap(), TOY);
        }
    }

    #[test]
    fn what_a_process_of_the_same_number_left_behind_is_in_nobodys_way() {
        let folder = with_plugins(&[TOY]);
        let plugins = folder.path("home/plugins");
        let left = format!("{TOY}.tmp{}", std::process::id());
        fs_err::create_dir_all(plugins.join(&left)).unwrap();
        symlink("/nowhere", plugins.join(&left).join("LICENSE")).unwrap();
        link(&folder.path("shipped"), &folder.path("home"));
        assert_eq!(names(&plugins), [TOY, &left]);
        assert_eq!(fs_err::read_to_string(plugins.join(PROGRAM)).unwrap(), TOY);
    }

    #[test]
    fn what_is_there_stays_and_what_leads_nowhere_goes() {
        let folder = with_plugins(&[TOY]);
        let (shipped, home) = (folder.path("shipped"), folder.path("home"));
        let own = home.join("plugins").join(PROGRAM);
        fs_err::create_dir_all(own.parent().unwrap()).unwrap();
        fs_err::write(&own, "own").unwrap();
        let others = home.join("plugins/resource-other-v1.0.0");
        fs_err::create_dir_all(&others).unwrap();
        symlink("/nowhere", others.join("pulumi-resource-other")).unwrap();
        link(&shipped, &home);
        assert_eq!(fs_err::read_to_string(&own).unwrap(), "own");
        assert!(others.exists());

        let gone = home.join("plugins/resource-gone-v1.0.0");
        fs_err::create_dir_all(&gone).unwrap();
        symlink(
            shipped.join("resource-gone-v1.0.0/pulumi-resource-gone"),
            gone.join("program"),
        )
        .unwrap();
        link(&shipped, &home);
        assert!(!gone.exists());
        assert_eq!(names(&home.join("plugins")), ["resource-other-v1.0.0", TOY]);
    }

    #[test]
    fn an_image_without_plugins_and_a_home_that_cannot_be_written_to_are_left_alone() {
        let folder = with_plugins(&[]);
        link(&folder.path("shipped"), &folder.path("home"));
        assert!(!folder.path("home").exists());
        let folder = with_plugins(&[TOY]);
        link(&folder.path("shipped"), &folder.unwritable());
    }
}
