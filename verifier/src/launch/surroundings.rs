//! What of a process decides where its program may write, and the variables that tell it.

use std::ffi::OsString;

use camino::{Utf8Path, Utf8PathBuf};
use sha256::Sha256Hash;

use super::home;
use super::links::{self, Shipped};
use crate::cacheprog;
use crate::go::command::GoCommand;
use crate::private_folder;

/// More names than anybody plants in time.
const ATTEMPTS: u32 = 9;

/// What of the process decides on the places.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    home: Option<Utf8PathBuf>,
    /// Whether there is a home of which no more is known: it is relative, or no UTF-8. It stays.
    has_other_home: bool,
    has_pulumi_home: bool,
    tofu_plugins: Option<Utf8PathBuf>,
    gocache: Option<Utf8PathBuf>,
    cacheprog: Option<String>,
    cache_home: Option<Utf8PathBuf>,
    has_user: bool,
    /// Where the image is, and its verifier, which this process runs.
    root: Utf8PathBuf,
    own: Option<Utf8PathBuf>,
    /// Where folders for a user can be made, in the order in which they are tried.
    temporary: Vec<Utf8PathBuf>,
    uid: u32,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let home = private_folder::named("HOME");
        let tmpdir = private_folder::temporary();
        Self {
            has_other_home: home.is_none() && is_set("HOME"),
            home,
            has_pulumi_home: is_set("PULUMI_HOME"),
            tofu_plugins: private_folder::named("TF_PLUGIN_CACHE_DIR"),
            gocache: private_folder::named("GOCACHE"),
            cacheprog: std::env::var("GOCACHEPROG")
                .ok()
                .filter(|it| !it.is_empty()),
            cache_home: private_folder::named("XDG_CACHE_HOME"),
            has_user: is_set("USER"),
            root: "/".into(),
            own: std::env::current_exe()
                .ok()
                .and_then(|own| own.try_into().ok()),
            temporary: vec![tmpdir, "/dev/shm".into()],
            uid: rustix::process::geteuid().as_raw(),
        }
    }

    /// Variables for the program, which is `go` or another one, that are not those of this process.
    pub(super) fn changes(&self, go: Option<&GoCommand>) -> Vec<(&'static str, OsString)> {
        let mut changes = Vec::new();
        let mut home = self.home.clone();
        let is_unwritable = |folder: &Utf8Path| !private_folder::is_writable(folder);
        if !self.has_other_home
            && self.home.as_deref().is_none_or(is_unwritable)
            && let Some(stand_in) = self.stand_in(&stand_in_name(self.home.as_deref()))
        {
            if let Some(home) = &self.home {
                home::link(home, &stand_in, self.uid);
            }
            changes.push(("HOME", stand_in.as_os_str().to_owned()));
            home = Some(stand_in);
        }
        // Pulumi does not look at HOME, but at /etc/passwd.
        if let Some(home) = home.as_ref().filter(|_| !self.has_pulumi_home) {
            changes.push(("PULUMI_HOME", home.join(".pulumi").into_os_string()));
        }
        // Programs ask for the user's name, and the random user ID of a cluster has none.
        if !self.has_user && self.uid != 0 {
            changes.push(("USER", self.uid.to_string().into()));
        }
        if self
            .tofu_plugins
            .as_deref()
            .is_some_and(|it| !private_folder::is_writable(it))
        {
            let folder = self.stand_in("tofu-plugins");
            changes.extend(folder.map(|it| ("TF_PLUGIN_CACHE_DIR", it.into_os_string())));
        }
        changes.extend(self.build_cache(go, home.as_deref()));
        changes
    }

    /// What has the go command find the shipped entries and keep new ones, whether GOCACHE can be written to or not.
    ///
    /// A GOCACHEPROG that the user set stays, and so does a GOCACHE. Commands that use no build cache, which is how
    /// settings are asked for, see what is set.
    fn build_cache(
        &self,
        go: Option<&GoCommand>,
        home: Option<&Utf8Path>,
    ) -> Vec<(&'static str, OsString)> {
        let (Some(gocache), Some(own)) = (&self.gocache, &self.own) else {
            return Vec::new();
        };
        let served = cacheprog::command(own.as_str(), &[gocache]);
        let is_users = self.cacheprog.as_ref().is_some_and(|it| *it != served);
        if is_users || !gocache.is_dir() {
            return Vec::new();
        }
        let unserved = ("GOCACHEPROG", OsString::new());
        let is_served = self.cacheprog.is_some();
        // An empty one has none of its folders yet.
        let first = gocache.join("00");
        let can_be_written = private_folder::is_writable(gocache)
            && (!first.exists() || private_folder::is_writable(&first));
        match go {
            Some(_) if can_be_written && is_served => vec![unserved],
            _ if can_be_written => Vec::new(),
            Some(go) if let Some(linked) = self.linked(go, gocache, home) => {
                vec![("GOCACHE", linked.into()), unserved]
            }
            _ if is_served => Vec::new(),
            _ => vec![("GOCACHEPROG", served.into())],
        }
    }

    /// A GOCACHE of links to the image's `gocache`, in the first place of this user's own where that can be made.
    fn linked(
        &self,
        go: &GoCommand,
        gocache: &Utf8Path,
        home: Option<&Utf8Path>,
    ) -> Option<Utf8PathBuf> {
        let shipped = Shipped::of_image(&self.root, gocache)?;
        let program = go.folder();
        let of_home = self
            .cache_home
            .clone()
            .or_else(|| Some(home?.join(".cache")));
        let of_home = of_home.map(|folder| folder.join("iac-runner"));
        let of_home = of_home.filter(|place| {
            links::has_room(place) && private_folder::make(place, self.uid).is_ok()
        });
        let in_temporary = self.temporary.iter().filter_map(|temporary| {
            let has_room = links::has_room(temporary);
            has_room.then(|| self.private_in(temporary)).flatten()
        });
        of_home
            .into_iter()
            .chain(in_temporary)
            .find_map(|place| shipped.linked_in(&place, self.uid, program.as_deref()).ok())
    }

    /// A folder that is this user's alone; none where no place can be written to.
    fn stand_in(&self, name: &str) -> Option<Utf8PathBuf> {
        let mut places = self.temporary.iter();
        let place = places.find_map(|temporary| self.private_in(temporary))?;
        let folder = place.join(name);
        private_folder::make(&folder, self.uid)
            .ok()
            .map(|()| folder)
    }

    /// This user's own folder in `temporary`; none where that cannot be written to.
    fn private_in(&self, temporary: &Utf8Path) -> Option<Utf8PathBuf> {
        let shared = private_folder::shared(temporary, self.uid);
        let others = (1..=ATTEMPTS).map(|attempt| format!("{shared}-{attempt}").into());
        for folder in std::iter::once(shared.clone()).chain(others) {
            match private_folder::make(&folder, self.uid) {
                Ok(()) => return Some(folder),
                // Somebody else's, or no folder: the next name may be free.
                Err(_) if folder.symlink_metadata().is_ok() => {}
                Err(_) => return None,
            }
        }
        None
    }
}

/// Each home has a stand-in of its own, with what is linked into it.
fn stand_in_name(home: Option<&Utf8Path>) -> String {
    home.map_or("home".to_owned(), |home| {
        let digest = Sha256Hash::of(home.as_str().as_bytes()).to_string();
        format!("home-{}", &digest[..12])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_folder::tests::Folder;
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    fn surroundings_in(folder: &Folder) -> Surroundings {
        fs_err::create_dir_all(folder.path("home")).unwrap();
        Surroundings {
            home: Some(folder.path("home")),
            has_pulumi_home: true,
            has_user: true,
            temporary: vec![folder.path("tmp"), folder.path("shm")],
            uid: rustix::process::geteuid().as_raw(),
            ..Surroundings::default()
        }
    }

    fn change(surroundings: &Surroundings, name: &str) -> Option<String> {
        let mut changes = surroundings.changes(None).into_iter();
        let (_, value) = changes.find(|(changed, _)| *changed == name)?;
        Some(value.into_string().unwrap())
    }

    #[test]
    fn what_can_be_written_to_stays_and_nothing_is_made() {
        let folder = Folder::new();
        let surroundings = Surroundings {
            tofu_plugins: Some(folder.path("home")),
            gocache: Some(folder.path("home")),
            ..surroundings_in(&folder)
        };
        assert_eq!(surroundings.changes(None), []);
        assert!(!folder.path("tmp").exists());
    }

    #[test]
    fn what_cannot_be_written_to_is_replaced_by_a_folder_of_this_user_alone() {
        let folder = Folder::new();
        for home in [Some(folder.unwritable()), None] {
            let surroundings = Surroundings {
                home,
                tofu_plugins: Some(folder.unwritable()),
                ..surroundings_in(&folder)
            };
            let mine = private_folder::shared(&folder.path("tmp"), surroundings.uid);
            for (variable, name) in [
                ("HOME", stand_in_name(surroundings.home.as_deref()).as_str()),
                ("TF_PLUGIN_CACHE_DIR", "tofu-plugins"),
            ] {
                let value = change(&surroundings, variable).unwrap();
                assert_eq!(value, mine.join(name));
                let mode = fs_err::metadata(value).unwrap().mode();
                assert_eq!(mode & 0o777, 0o700);
            }
        }
    }

    #[test]
    fn pulumi_is_told_of_the_home_unless_it_was_told_of_another() {
        let folder = Folder::new();
        let mut surroundings = surroundings_in(&folder);
        assert_eq!(change(&surroundings, "PULUMI_HOME"), None);
        surroundings.has_pulumi_home = false;
        let told = change(&surroundings, "PULUMI_HOME").unwrap();
        assert_eq!(told, folder.path("home/.pulumi"));
        surroundings.home = Some(folder.unwritable());
        let home = change(&surroundings, "HOME").unwrap();
        assert_eq!(
            change(&surroundings, "PULUMI_HOME").unwrap(),
            home + "/.pulumi"
        );
    }

    #[test]
    fn a_planted_name_is_passed_over_and_without_any_place_nothing_changes() {
        let plants: [fn(&Utf8Path); 3] = [
            |at| fs_err::write(at, "").unwrap(),
            |at| symlink("/", at).unwrap(),
            |at| {
                fs_err::create_dir(at).unwrap();
                fs_err::set_permissions(at, Permissions::from_mode(0o777)).unwrap();
            },
        ];
        for plant in plants {
            let folder = Folder::new();
            let surroundings = Surroundings {
                home: None,
                ..surroundings_in(&folder)
            };
            fs_err::create_dir(folder.path("tmp")).unwrap();
            let planted = private_folder::shared(&folder.path("tmp"), surroundings.uid);
            plant(&planted);
            let home = change(&surroundings, "HOME").unwrap();
            assert_eq!(home, format!("{planted}-1/home"));
        }
        let folder = Folder::new();
        let surroundings = Surroundings {
            home: None,
            temporary: vec![folder.unwritable()],
            ..surroundings_in(&folder)
        };
        assert_eq!(surroundings.changes(None), []);
    }

    #[test]
    fn each_home_has_a_stand_in_of_its_own() {
        let folder = Folder::new();
        let home_of = |name: &str| {
            let home = folder.unwritable().join(name);
            let surroundings = Surroundings {
                home: Some(home),
                ..surroundings_in(&folder)
            };
            change(&surroundings, "HOME").unwrap()
        };
        assert_ne!(home_of("one"), home_of("two"));
        assert_eq!(home_of("one"), home_of("one"));
    }

    /// An image in `folder` whose GOCACHE has one entry, and a home with a place for links.
    fn with_image(folder: &Folder) -> Surroundings {
        let gocache = folder.path("go-build");
        let store = gocache::Store::create(&gocache).unwrap();
        let action = Sha256Hash::of(b"a");
        store.put_reader(&action, None, 1, &b"x"[..], 1).unwrap();
        let env = include_str!("../../../crates/gocache/tests/fixtures/go-env.json");
        let env = serde_json::from_str(env).unwrap();
        let mut identity = gocache::Identity::from_go_env(&env).unwrap();
        identity.gocache = gocache.as_str().into();
        let image = serde_json::json!({"schema": 1, "identity": identity, "versions": {}});
        let file = crate::info::in_root(&folder.path(""), gocache::image_info::IMAGE_INFO_PATH);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, image.to_string()).unwrap();
        Surroundings {
            gocache: Some(gocache),
            own: Some("/usr/local/bin/verifier".into()),
            root: folder.path(""),
            ..surroundings_in(folder)
        }
    }

    fn go(line: &str) -> Option<GoCommand> {
        Some(GoCommand::of_line(line, "")).filter(GoCommand::uses_the_build_cache)
    }

    fn served(surroundings: &Surroundings) -> String {
        let gocache = surroundings.gocache.as_deref().unwrap();
        cacheprog::command("/usr/local/bin/verifier", &[gocache])
    }

    #[test]
    fn a_build_in_a_cache_that_can_be_written_to_asks_nobody_else() {
        let folder = Folder::new();
        let mut surroundings = with_image(&folder);
        let build = go("build .");
        assert_eq!(surroundings.changes(build.as_ref()), []);
        surroundings.cacheprog = Some(served(&surroundings));
        let unserved = [("GOCACHEPROG", OsString::new())];
        assert_eq!(surroundings.changes(build.as_ref()), unserved);
        assert_eq!(surroundings.changes(go("env GOCACHEPROG").as_ref()), []);
        assert_eq!(surroundings.changes(None), [], "another program");
        let users = format!("{} --log /tmp/log", served(&surroundings));
        surroundings.cacheprog = Some(users);
        assert_eq!(surroundings.changes(build.as_ref()), []);
    }

    #[test]
    fn an_empty_cache_of_the_users_own_is_used_as_it_is() {
        let folder = Folder::new();
        let gocache = folder.path("empty");
        fs_err::create_dir(&gocache).unwrap();
        let surroundings = Surroundings {
            gocache: Some(gocache),
            ..with_image(&folder)
        };
        assert_eq!(surroundings.changes(go("build .").as_ref()), []);
    }

    #[test]
    fn links_lie_in_the_first_place_of_this_users_own() {
        let folder = Folder::new();
        let surroundings = with_image(&folder);
        let gocache = surroundings.gocache.clone().unwrap();
        let build = go("build .").unwrap();
        let store_of = |surroundings: &Surroundings| {
            surroundings.linked(&build, &gocache, surroundings.home.as_deref())
        };
        let action = Sha256Hash::of(b"a");
        for (surroundings, place) in [
            (with_image(&folder), "home/.cache/iac-runner"),
            (
                Surroundings {
                    cache_home: Some(folder.path("xdg")),
                    ..with_image(&folder)
                },
                "xdg/iac-runner",
            ),
            (
                Surroundings {
                    home: None,
                    ..with_image(&folder)
                },
                "tmp/iac-runner-",
            ),
            (
                Surroundings {
                    cache_home: Some(folder.unwritable()),
                    temporary: vec![folder.unwritable(), folder.path("shm")],
                    ..with_image(&folder)
                },
                "shm/iac-runner-",
            ),
        ] {
            let linked = store_of(&surroundings).unwrap();
            let place = folder.path(place);
            assert!(linked.as_str().starts_with(place.as_str()), "{linked}");
            let entry = gocache::Store::at(&linked).get(&action).unwrap();
            assert!(entry.is_some());
        }
        let nowhere = Surroundings {
            home: None,
            temporary: vec![folder.unwritable()],
            ..with_image(&folder)
        };
        assert_eq!(store_of(&nowhere), None);
    }

    #[test]
    fn a_cache_that_is_not_the_images_is_never_linked() {
        let folder = Folder::new();
        let surroundings = with_image(&folder);
        let other = folder.path("other");
        gocache::Store::create(&other).unwrap();
        let build = go("build .").unwrap();
        assert_eq!(surroundings.linked(&build, &other, None), None);
        let elsewhere = Surroundings {
            root: folder.path("no-image"),
            ..with_image(&folder)
        };
        let gocache = elsewhere.gocache.clone().unwrap();
        assert_eq!(elsewhere.linked(&build, &gocache, None), None);
    }
}
