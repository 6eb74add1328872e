//! Empties the page cache, as on a node that has just pulled the image. Only root may, and not in every container.

use rustix::fs::sync;

const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Drops page cache, dentries and inodes; `proc_sys_vm(5)`.
pub fn drop_caches() -> std::io::Result<()> {
    // Only what is on the disk can be dropped.
    sync();
    fs_err::write(DROP_CACHES, "3")
}
