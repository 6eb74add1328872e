//! Programs of another processor on this machine: whether the kernel starts them, and what to do where it does not.
//!
//! The kernel hands them to an emulator that was registered for their ELF files (`binfmt_misc`). It must have opened
//! the emulator when that was registered (flag `F`), for in an image's tree there is none.

use camino::Utf8Path;
use failure::usage;
use oci::platform::Platform;

/// Where the kernel tells of what is registered.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";

/// The Debian packages that have emulators, register them, and let mmdebstrap find out that they work.
const PACKAGES: &str = "qemu-user-static binfmt-support arch-test";

/// The program by which mmdebstrap finds that out, with its Debian package.
pub const PROBE: (&str, &str) = ("arch-test", "arch-test");

/// Where the machine stands in the first bytes of an ELF file, as hex digits.
const MACHINE: std::ops::Range<usize> = 36..40;

/// The processors that are known, with what an ELF file calls them.
const MACHINES: [(&str, &str); 2] = [("amd64", "3e00"), ("arm64", "b700")];

/// Whether programs for `platform` run here, on the processor or emulated.
pub fn runs(platform: &Platform) -> bool {
    !platform.is_foreign() || is_registered(REGISTERED.into(), &platform.arch)
}

/// Makes sure that programs for `platform` run here.
pub fn require(platform: &Platform) -> anyhow::Result<()> {
    if runs(platform) {
        return Ok(());
    }
    Err(usage(
        format!("programs for {platform} do not run on this machine"),
        how(&platform.arch),
    ))
}

/// What to do where they do not run.
pub fn how(arch: &str) -> String {
    format!(
        "install an emulator: apt-get install {PACKAGES}; where {REGISTERED} is empty, as in containers, first \
         mount -t binfmt_misc binfmt_misc {REGISTERED}, or let the machine around it do this: docker run --privileged \
         --rm tonistiigi/binfmt --install {arch}"
    )
}

/// Whether `folder` tells of an emulator for programs of `arch` that trees need not have.
fn is_registered(folder: &Utf8Path, arch: &str) -> bool {
    let Some((_, machine)) = MACHINES.iter().find(|(known, _)| *known == arch) else {
        return false;
    };
    let Ok(entries) = folder.read_dir_utf8() else {
        return false;
    };
    let mut told = entries.filter_map(|entry| fs_err::read_to_string(entry.ok()?.path()).ok());
    told.any(|told| {
        let of = |word: &str| told.lines().find_map(|line| line.strip_prefix(word));
        let magic = of("magic ").unwrap_or_default();
        let is_elf = magic.starts_with("7f454c46") && magic.get(MACHINE) == Some(machine);
        let is_opened = of("flags: ").is_some_and(|flags| flags.contains('F'));
        told.starts_with("enabled\n") && is_elf && is_opened
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_is_one_that_is_enabled_for_the_processor_and_opened_already() {
        let arm = "magic 7f454c460201010000000000000000000200b700\nmask ffff\n";
        for (told, expected) in [
            (format!("enabled\ninterpreter /q\nflags: PF\n{arm}"), true),
            (format!("disabled\ninterpreter /q\nflags: PF\n{arm}"), false),
            (format!("enabled\ninterpreter /q\nflags: P\n{arm}"), false),
            (
                format!("enabled\nflags: F\n{}", arm.replace("b700", "f300")),
                false,
            ),
            ("enabled\nflags: F\nextension .arm64\n".to_owned(), false),
            ("enabled\n".to_owned(), false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let folder = Utf8Path::from_path(folder.path()).unwrap();
            fs_err::write(folder.join("status"), "enabled\n").unwrap();
            fs_err::write(folder.join("qemu-aarch64"), &told).unwrap();
            assert_eq!(is_registered(folder, "arm64"), expected, "{told}");
            assert!(!is_registered(folder, "amd64"), "{told}");
            assert!(!is_registered(&folder.join("absent"), "arm64"));
        }
    }
}
