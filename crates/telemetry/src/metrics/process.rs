//! What the kernel knows of this process, under the names that Prometheus clients share.

use super::Page;

/// Writes memory and descriptors where `/proc` tells them; elsewhere nothing. Names begin with `prefix`.
pub(crate) fn render(page: &mut Page, prefix: &str) {
    let name = |name: &str| format!("{prefix}process_{name}");
    if let Some(bytes) = status_kib("VmRSS:").map(|kib| kib * 1024) {
        let help = "Resident memory of the process.";
        page.single(&name("resident_memory_bytes"), "gauge", help, bytes);
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the listing itself.
        let open = entries.count().saturating_sub(1);
        page.single(&name("open_fds"), "gauge", "File descriptors open.", open);
    }
}

fn status_kib(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
