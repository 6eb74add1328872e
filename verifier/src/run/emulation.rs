//! Whether this process runs on a processor of its own kind, or an emulator runs it.
//!
//! The kernel takes the emulator for the program. It says so where emulators do not look: they answer for
//! `/proc/self/exe` themselves, and not for the same file by the name of the thread. What is there is an ELF file, and
//! for another machine where it is not this program.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// The program that the kernel started.
const STARTED: &str = "/proc/thread-self/exe";

/// Where an ELF file says for which machine it is.
const MACHINE: std::ops::Range<usize> = 18..20;

/// What it says there of programs like this one.
const OWN_MACHINE: Option<u16> = if cfg!(target_arch = "x86_64") {
    Some(62)
} else if cfg!(target_arch = "aarch64") {
    Some(183)
} else {
    None
};

/// Whether an emulator runs this process; `false` where that cannot be known.
pub fn is_emulated() -> bool {
    let started = machine(Path::new(STARTED));
    started.is_some() && OWN_MACHINE.is_some() && started != OWN_MACHINE
}

/// For which machine an ELF file of this byte order is.
fn machine(file: &Path) -> Option<u16> {
    let mut head = [0; MACHINE.end];
    File::open(file).ok()?.read_exact(&mut head).ok()?;
    let bytes = head[MACHINE].try_into().ok()?;
    head.starts_with(b"\x7fELF")
        .then(|| u16::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_the_processor_runs_is_of_its_machine() {
        assert_eq!(machine(Path::new(STARTED)), OWN_MACHINE);
        assert!(!is_emulated());
        assert_eq!(machine(Path::new("/proc/thread-self/comm")), None);
    }
}
