//! The memory that there is for what runs here, as the system tells: that of the machine, or less where control groups
//! limit this process, which containers and runners do.
//!
//! A group is limited by all groups above it, too. Version 2 of control groups and version 1 keep their numbers in
//! other files; a machine may have both.

use camino::{Utf8Path, Utf8PathBuf};

/// Memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All that this process and what it starts could ever have.
    pub limit_bytes: u64,
    /// What of it is free, or would be if it were asked for.
    pub available_bytes: u64,
}

/// The names of the files that one version of control groups has.
struct Files {
    /// In which line of `/proc/self/cgroup` the group is: the controller in its second field.
    controller: &'static str,
    /// The type of its file system in `/proc/self/mountinfo`.
    file_system: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// In `memory.stat`: what is used and would be given up.
    reclaimable: &'static str,
    /// Where the number of processes is that were killed.
    kills: &'static str,
}

const VERSIONS: [Files; 2] = [
    Files {
        controller: "",
        file_system: "cgroup2",
        limit: "memory.max",
        usage: "memory.current",
        reclaimable: "inactive_file",
        kills: "memory.events",
    },
    Files {
        controller: "memory",
        file_system: "cgroup",
        limit: "memory.limit_in_bytes",
        usage: "memory.usage_in_bytes",
        reclaimable: "total_inactive_file",
        kills: "memory.oom_control",
    },
];

/// The memory that there is; none where the system does not tell.
pub fn memory() -> Option<Memory> {
    memory_of("/".into())
}

/// How many processes of this one's control groups the system has killed because they ran out of memory.
pub fn killed() -> u64 {
    killed_of("/".into())
}

/// [`memory`] by the files below `root`.
fn memory_of(root: &Utf8Path) -> Option<Memory> {
    let meminfo = fs_err::read_to_string(root.join("proc/meminfo")).ok()?;
    let kilobytes = |name: &str| value(&meminfo, name).map(|number| number * 1024);
    let machine = Memory {
        limit_bytes: kilobytes("MemTotal:")?,
        available_bytes: kilobytes("MemAvailable:").or_else(|| kilobytes("MemFree:"))?,
    };
    let least = |one: Memory, other: Memory| Memory {
        limit_bytes: one.limit_bytes.min(other.limit_bytes),
        available_bytes: one.available_bytes.min(other.available_bytes),
    };
    Some(
        groups(root)
            .iter()
            .filter_map(|(files, folder)| of_group(files, folder))
            .fold(machine, least),
    )
}

/// None where the group has no limit.
fn of_group(files: &Files, folder: &Utf8Path) -> Option<Memory> {
    let number = |file: &str| -> Option<u64> {
        let text = fs_err::read_to_string(folder.join(file)).ok()?;
        text.trim().parse().ok()
    };
    let limit_bytes = number(files.limit)?;
    let stat = fs_err::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let reclaimable = value(&stat, files.reclaimable).unwrap_or(0);
    let used = number(files.usage).unwrap_or(0).saturating_sub(reclaimable);
    Some(Memory {
        limit_bytes,
        available_bytes: limit_bytes.saturating_sub(used),
    })
}

/// [`killed`] by the files below `root`.
fn killed_of(root: &Utf8Path) -> u64 {
    let of_group = |(files, folder): &(&Files, Utf8PathBuf)| {
        let text = fs_err::read_to_string(folder.join(files.kills)).ok()?;
        value(&text, "oom_kill")
    };
    let groups = groups(root);
    // Those of version 2 count what was killed below them.
    groups.iter().filter_map(of_group).max().unwrap_or(0)
}

/// The folders of the control groups that this process is in, and of all above them.
fn groups(root: &Utf8Path) -> Vec<(&'static Files, Utf8PathBuf)> {
    let read = |file: &str| fs_err::read_to_string(root.join(file)).unwrap_or_default();
    let (groups, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
    let mut folders = Vec::new();
    for files in &VERSIONS {
        let group = groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let mut controllers = fields.next()?.split(',');
            let path = fields.next()?;
            controllers.any(|it| it == files.controller).then_some(path)
        });
        let mount = mounts.lines().find_map(|line| mount(line, files));
        let (Some(group), Some((mounted, place))) = (group, mount) else {
            continue;
        };
        // A container that is not in a name space of its own is told its group's name on the machine, of which it sees
        // no more than the group itself.
        let below = Utf8Path::new(group).strip_prefix(mounted);
        let below = below.unwrap_or(Utf8Path::new(""));
        let place = root.join(place.trim_start_matches('/'));
        let all = below.ancestors().map(|folder| (files, place.join(folder)));
        folders.extend(all);
    }
    folders
}

/// What is mounted and where, if a line of `mountinfo` is that of these control groups.
fn mount<'a>(line: &'a str, files: &Files) -> Option<(&'a str, &'a str)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (mounted, place) = (fields.next()?, fields.next()?);
    let mut fields = file_system.split(' ');
    let is_of_type = fields.next()? == files.file_system;
    let mut options = fields.next_back()?.split(',');
    let is_controller = files.controller.is_empty() || options.any(|it| it == files.controller);
    (is_of_type && is_controller).then_some((mounted, place))
}

/// The number after `name` in a file of such lines.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: [(&str, &str); 1] = [(
        "proc/meminfo",
        "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\n",
    )];
    const MACHINE_MEMORY: Memory = Memory {
        limit_bytes: 16_384_000_000,
        available_bytes: 8_192_000_000,
    };
    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

    /// What is told by these files, beside those of the machine.
    fn told(files: &[(&str, &str)]) -> (Memory, u64) {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        for (path, content) in MACHINE.iter().chain(files) {
            let file = root.join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, content).unwrap();
        }
        (memory_of(root).unwrap(), killed_of(root))
    }

    fn is(files: &[(&str, &str)], limit_bytes: u64, available_bytes: u64) {
        let expected = Memory {
            limit_bytes,
            available_bytes,
        };
        assert_eq!(told(files).0, expected);
    }

    #[test]
    fn a_machine_without_limits_has_what_it_has() {
        assert_eq!(told(&[]), (MACHINE_MEMORY, 0));
        let unlimited = [
            ("proc/self/cgroup", "0::/a\n"),
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/a/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.current", "5\n"),
        ];
        assert_eq!(told(&unlimited), (MACHINE_MEMORY, 0));
        let unlimited = [
            ("proc/self/cgroup", "4:memory:/\n"),
            ("proc/self/mountinfo", V1),
            (
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
        ];
        assert_eq!(told(&unlimited), (MACHINE_MEMORY, 0));
        assert_eq!(memory_of("/absent".into()), None);
    }

    #[test]
    fn the_least_of_a_group_and_those_above_it_counts() {
        let files = [
            ("proc/self/cgroup", "0::/a/b/c\n"),
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/a/memory.max", "4000000000\n"),
            ("sys/fs/cgroup/a/memory.current", "3000000000\n"),
            (
                "sys/fs/cgroup/a/memory.stat",
                "anon 5\ninactive_file 2000000000\n",
            ),
            (
                "sys/fs/cgroup/a/memory.events",
                "max 9\noom 8\noom_kill 7\noom_group_kill 1\n",
            ),
            ("sys/fs/cgroup/a/b/memory.max", "5000000000\n"),
            ("sys/fs/cgroup/a/b/c/memory.max", "max\n"),
        ];
        is(&files, 4_000_000_000, 3_000_000_000);
        assert_eq!(told(&files).1, 7);
    }

    #[test]
    fn a_container_sees_its_own_group_alone() {
        let mounted = V2.replace(" / /sys", " /docker/1 /sys");
        for group in ["0::/docker/1\n", "0::/\n"] {
            let files = [
                ("proc/self/cgroup", group),
                ("proc/self/mountinfo", &*mounted),
                ("sys/fs/cgroup/memory.max", "2000000000"),
            ];
            is(&files, 2_000_000_000, 2_000_000_000);
        }
    }

    #[test]
    fn version_1_is_read_where_it_has_the_memory_controller() {
        let files = [
            (
                "proc/self/cgroup",
                "5:cpu:/x\n4:hugetlb,memory:/a/b\n0::/\n",
            ),
            ("proc/self/mountinfo", V1),
            (
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "3000000000\n",
            ),
            (
                "sys/fs/cgroup/memory/a/memory.usage_in_bytes",
                "1000000000\n",
            ),
            (
                "sys/fs/cgroup/memory/a/memory.stat",
                "inactive_file 1\ntotal_inactive_file 400000000\n",
            ),
            (
                "sys/fs/cgroup/memory/a/memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
            ),
        ];
        is(&files, 3_000_000_000, 2_400_000_000);
        assert_eq!(told(&files).1, 3);
    }

    #[test]
    fn this_machine_has_some() {
        let memory = memory().unwrap();
        assert!(memory.available_bytes > 0, "{memory:?}");
        assert!(memory.available_bytes <= memory.limit_bytes, "{memory:?}");
    }
}
