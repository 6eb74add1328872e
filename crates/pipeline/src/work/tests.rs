//! One run after the other, several at once, and runs that died.

use std::io::{BufRead as _, BufReader};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;

/// Says to the test program which folder it is to work in until it is killed.
const CHILD: &str = "IAC_RUNNER_TEST_WORK";

fn work() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(folder.path().join("iac-runner")).unwrap();
    (folder, root)
}

fn key(inputs: &str) -> Key {
    Key::of(&inputs).unwrap()
}

/// Makes a result that holds `content`.
fn make(content: &str) -> impl FnOnce(&Utf8Path) -> Result<()> {
    move |folder| Ok(fs_err::write(folder.join("content"), content)?)
}

fn content(folder: &Utf8Path) -> String {
    fs_err::read_to_string(folder.join("content")).unwrap()
}

fn is_empty(folder: &Utf8Path) -> bool {
    fs_err::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn nobody_else_looks_into_kept_work() {
    let (_folder, root) = work();
    let mode = || fs_err::metadata(&root).unwrap().permissions().mode() & 0o7777;
    drop(Work::open_at(&root).unwrap());
    assert_eq!(mode(), 0o700);
    // As an earlier version left it.
    fs_err::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
    let work = Work::open_at(&root).unwrap();
    assert_eq!(mode(), 0o700);
    // A sandbox has it for its root, whoever runs there.
    let scratch = work.scratch("image").unwrap();
    let scratch = fs_err::metadata(scratch.path()).unwrap().permissions();
    assert_eq!(scratch.mode() & 0o7777, 0o755);
}

#[test]
fn a_result_is_made_once_and_a_failure_leaves_nothing() {
    let (_folder, root) = work();
    let work = Work::open_at(&root).unwrap();
    let failed = work.keep("step", &key("inputs"), |folder| {
        fs_err::write(folder.join("half"), "x")?;
        anyhow::bail!("stopped half-way")
    });
    assert!(failed.is_err());
    assert!(work.kept("step", &key("inputs")).unwrap().is_none());
    assert!(is_empty(&work.run.path) && is_empty(&root.join(LOCKS)));

    let made = work.keep("step", &key("inputs"), make("whole")).unwrap();
    let again = work.keep("step", &key("inputs"), |_| unreachable!("already made"));
    assert_eq!(made, again.unwrap());
    assert_eq!(content(&made), "whole");
    drop(work);
    assert!(is_empty(&root.join(PARTIAL)) && is_empty(&root.join(LOCKS)));
}

#[test]
fn of_two_runs_that_want_the_same_result_one_makes_it() {
    let (_folder, root) = work();
    let (one, other) = (Work::open_at(&root).unwrap(), Work::open_at(&root).unwrap());
    let (begins, begun) = mpsc::channel();
    let (finish, may_finish) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let made = one.keep("step", &key("inputs"), move |folder| {
                begins.send(()).unwrap();
                may_finish.recv().unwrap();
                make("one")(folder)
            });
            made.unwrap();
        });
        begun.recv().unwrap();
        // It is being made, so this run cannot get the lock of its name.
        let name = root.join(LOCKS).join(format!("step-{}", key("inputs")));
        assert!(matches!(
            lock::try_lock(&name, Mode::Exclusive).unwrap(),
            Tried::Busy
        ));
        let waiter = scope.spawn(|| {
            other.keep("step", &key("inputs"), |_| {
                unreachable!("the other run makes it")
            })
        });
        finish.send(()).unwrap();
        assert_eq!(content(&waiter.join().unwrap().unwrap()), "one");
    });
}

#[test]
fn runs_that_make_different_results_do_not_wait() {
    let (_folder, root) = work();
    let (one, other) = (Work::open_at(&root).unwrap(), Work::open_at(&root).unwrap());
    let (done, is_done) = mpsc::channel();
    thread::scope(|scope| {
        let (begins, begun) = mpsc::channel();
        let other = &other;
        scope.spawn(move || {
            begun.recv().unwrap();
            other.keep("step", &key("other"), make("other")).unwrap();
            done.send(()).unwrap();
        });
        // The first ends only when the second has, which began after it.
        let made = one.keep("step", &key("one"), |folder| {
            begins.send(()).unwrap();
            is_done.recv_timeout(Duration::from_secs(60))?;
            make("one")(folder)
        });
        made.unwrap();
    });
}

#[test]
fn a_retired_result_is_replaced_but_not_while_another_run_uses_it() {
    let (_folder, root) = work();
    let (one, other) = (Work::open_at(&root).unwrap(), Work::open_at(&root).unwrap());
    let old = one.keep("step", &key("inputs"), make("old")).unwrap();
    other.kept("step", &key("inputs")).unwrap().unwrap();
    retire(&old).unwrap();
    let own = one.keep("step", &key("inputs"), make("new")).unwrap();
    let again = one.keep("step", &key("inputs"), |_| unreachable!("made by this run"));
    assert_eq!((content(&own), again.unwrap()), ("new".to_owned(), own));
    assert_eq!(content(&old), "old");

    drop(other);
    drop(one);
    let next = Work::open_at(&root).unwrap();
    let new = next.keep("step", &key("inputs"), make("newer")).unwrap();
    assert_eq!((&new, content(&new)), (&old, "newer".to_owned()));
    assert!(next.kept("step", &key("inputs")).unwrap().is_some());
}

#[test]
fn a_shared_folder_is_not_changed_while_another_run_uses_it() {
    let (_folder, root) = work();
    let (one, other) = (Work::open_at(&root).unwrap(), Work::open_at(&root).unwrap());
    let folder = one.shared("shared").unwrap();
    assert_eq!(other.shared("shared").unwrap(), folder);
    assert!(one.change(&folder, || Ok(())).unwrap().is_none());
    drop(other);
    assert!(one.change(&folder, || Ok(())).unwrap().is_some());
    let third = Work::open_at(&root).unwrap();
    third.shared("shared").unwrap();
    assert!(
        third.change(&folder, || Ok(())).unwrap().is_none(),
        "one still uses it"
    );
}

/// Where this program is the child: opens the folder, begins something, and goes on until it is killed.
fn die_half_way() {
    let Ok(root) = std::env::var(CHILD) else {
        return;
    };
    let work = Work::open_at(Utf8Path::new(&root)).unwrap();
    let unfinished = work.keep("step", &key("inputs"), |folder| {
        fs_err::write(folder.join("half"), "x")?;
        println!("\nbegun");
        loop {
            thread::park();
        }
    });
    unreachable!("{unfinished:?}");
}

#[test]
fn what_a_dead_run_left_goes_and_a_living_ones_stays() {
    die_half_way();
    let (_folder, root) = work();
    let this = std::env::current_exe().unwrap();
    let name = "work::tests::what_a_dead_run_left_goes_and_a_living_ones_stays";
    let child = duct::cmd!(this, "--exact", "--nocapture", name)
        .env(CHILD, &root)
        .reader()
        .unwrap();
    let said = BufReader::new(&child).lines();
    assert!(said.map_while(Result::ok).any(|line| line == "begun"));
    let runs = || fs_err::read_dir(root.join(PARTIAL)).unwrap().count();

    let living = Work::open_at(&root).unwrap();
    assert_eq!(runs(), 2);
    drop(living);
    child.kill().unwrap();
    // Its locks go when it has ended, not when it is told to.
    while matches!(child.try_wait(), Ok(None)) {
        thread::yield_now();
    }
    fs_err::create_dir_all(root.join(PARTIAL).join("of an older version/ro")).unwrap();
    assert_eq!(runs(), 2);
    let next = Work::open_at(&root).unwrap();
    assert_eq!(runs(), 1);
    // Neither does its lock stay.
    let made = next.keep("step", &key("inputs"), make("whole")).unwrap();
    assert_eq!(content(&made), "whole");
}

#[test]
fn scratch_folders_are_apart_and_go() {
    let (_folder, root) = work();
    let work = Work::open_at(&root).unwrap();
    let one = work.scratch("same").unwrap();
    let other = work.scratch("same").unwrap();
    fs_err::write(one.path().join("file"), "x").unwrap();
    assert!(is_empty(other.path()));
    let path = one.path().to_owned();
    drop(one);
    assert!(!path.exists() && other.path().is_dir());
}

#[test]
fn keys_differ_with_their_inputs() {
    assert_eq!(Key::of(&("a", 1)).unwrap(), Key::of(&("a", 1)).unwrap());
    assert_ne!(Key::of(&("a", 1)).unwrap(), Key::of(&("a", 2)).unwrap());
}

#[test]
fn a_key_is_a_whole_sha256() {
    let whole = key("one").to_string();
    let json = serde_json::to_vec(&(FORMAT, "one")).unwrap();
    assert_eq!(whole, sha256::Sha256Hash::of(&json).to_string());
    assert!(Key::try_from(whole.clone()).is_ok());
    let capitals = whole.replace(|it: char| it.is_ascii_digit(), "A");
    for wrong in [&whole[..24], &whole[1..], &format!("{whole}0"), &capitals] {
        assert!(Key::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
}

mod cleaning {
    //! What is removed, and what stays.

    use std::time::SystemTime;

    use super::super::stock::{Cleaned, clean, list};
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn cleaned(root: &Utf8Path, days: u32, dry_run: bool) -> BTreeMap<String, Cleaned> {
        clean(root, days * DAY, dry_run).unwrap()
    }

    /// A result that was last used these days ago.
    fn aged(root: &Utf8Path, inputs: &str, days: u32) -> Utf8PathBuf {
        let work = Work::open_at(root).unwrap();
        let folder = work.keep("step", &key(inputs), make(inputs)).unwrap();
        let opened = std::fs::File::open(&folder).unwrap();
        opened.set_modified(SystemTime::now() - days * DAY).unwrap();
        folder
    }

    #[test]
    fn what_was_not_used_lately_goes_and_a_use_counts() {
        let (_folder, root) = work();
        let [old, new, used] = [("old", 40), ("new", 20), ("used", 40)]
            .map(|(inputs, days)| aged(&root, inputs, days));
        let work = Work::open_at(&root).unwrap();
        work.kept("step", &key("used")).unwrap().unwrap();
        drop(work);
        let dry = cleaned(&root, 30, true);
        assert!(old.exists());
        assert_eq!((dry["step"].removed, dry["step"].left), (1, 2));
        assert!(dry["step"].freed_bytes > 0);
        assert_eq!(cleaned(&root, 30, false), dry);
        assert!(!old.exists() && new.exists() && used.exists());
        assert!(is_empty(&root.join(PARTIAL)));
        assert_eq!(cleaned(&root, 30, false)["step"].removed, 0);
    }

    #[test]
    fn what_is_in_use_stays_and_what_is_not_ours_too() {
        let (_folder, root) = work();
        for inputs in ["free", "in use"] {
            aged(&root, inputs, 1);
        }
        let work = Work::open_at(&root).unwrap();
        let in_use = work.kept("step", &key("in use")).unwrap().unwrap();
        let scratch = work.scratch("scratch").unwrap();
        fs_err::write(work.shared("blobs").unwrap().join("blob"), "x").unwrap();
        fs_err::create_dir_all(root.join("photographs/summer")).unwrap();
        let done = cleaned(&root, 0, false);
        assert_eq!((done["step"].removed, done["step"].in_use), (1, 1));
        assert_eq!((done["blobs"].in_use, done[PARTIAL].in_use), (1, 1));
        assert!(in_use.exists() && scratch.path().exists());
        drop(scratch);
        drop(work);
        let done = cleaned(&root, 0, false);
        assert_eq!((done["step"].removed, done["blobs"].removed), (1, 1));
        assert!(root.join("photographs/summer").exists());
    }

    #[test]
    fn a_retired_result_goes_although_it_is_new() {
        let (_folder, root) = work();
        retire(&aged(&root, "inputs", 0)).unwrap();
        assert_eq!(cleaned(&root, 30, false)["step"].removed, 1);
    }

    #[test]
    fn a_result_of_an_earlier_version_goes() {
        let (_folder, root) = work();
        let old = root.join("step/0123456789abcdef01234567");
        let other = root.join("step/0123456789abcdef0123456z");
        for folder in [&old, &other] {
            fs_err::create_dir_all(folder).unwrap();
        }
        cleaned(&root, 0, false);
        assert!(!old.exists() && other.exists());
    }

    #[test]
    fn read_only_folders_go_and_a_link_leaves_what_it_leads_to() {
        let (folder, root) = work();
        let module = root.join("go-mod/module@v1");
        fs_err::create_dir_all(&module).unwrap();
        fs_err::write(module.join("go.mod"), "x").unwrap();
        fs_err::set_permissions(&module, Permissions::from_mode(0o555)).unwrap();
        let elsewhere = Utf8Path::from_path(folder.path())
            .unwrap()
            .join("elsewhere");
        fs_err::create_dir_all(&elsewhere).unwrap();
        fs_err::create_dir_all(root.join("step")).unwrap();
        let link = root.join("step").join(key("inputs").to_string());
        fs_err::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        cleaned(&root, 0, false);
        assert!(!root.join("go-mod").exists());
        assert!(!link.is_symlink() && elsewhere.is_dir());
    }

    #[test]
    fn a_file_is_counted_once_and_freed_with_its_last_link() {
        let (_folder, root) = work();
        let one = aged(&root, "one", 40);
        let work = Work::open_at(&root).unwrap();
        let other = work.keep("later-step", &key("two"), |folder| {
            Ok(fs_err::hard_link(
                one.join("content"),
                folder.join("content"),
            )?)
        });
        other.unwrap();
        drop(work);
        let blocks = |path: &Utf8Path| {
            std::os::unix::fs::MetadataExt::blocks(&fs_err::metadata(path).unwrap()) * 512
        };
        let stock = list(&root).unwrap();
        let (folder, file) = (blocks(&one), blocks(&one.join("content")));
        assert!(file > 0);
        assert_eq!(stock["later-step"].size_bytes, folder + file);
        assert_eq!(stock["step"].size_bytes, folder);
        assert_eq!(cleaned(&root, 30, true)["step"].freed_bytes, folder);
        let all = cleaned(&root, 0, true);
        let freed = all["step"].freed_bytes + all["later-step"].freed_bytes;
        assert_eq!(freed, 2 * folder + file);
    }
}
