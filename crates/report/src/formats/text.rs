//! Figures and values as text, alike in every format.

use gocache::Ratio;

/// Rounded down, so that only all of them are 100 %.
pub fn percent(ratio: Ratio) -> String {
    format!("{:.1} %", (ratio.rate() * 1_000.0).floor() / 10.0)
}

/// In decimal units, as registries and disks count.
pub fn size(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", value / 1e6),
        _ => format!("{:.2} GB", value / 1e9),
    }
}

/// Indented, for people read it, too.
pub fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("its keys are strings");
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_that_fits() {
        let sizes = [0, 999, 4_096, 999_900, 1_434_000_000].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "4.1 kB", "999.9 kB", "1.43 GB"]);
    }

    #[test]
    fn only_everything_is_a_hundred_per_cent() {
        let percent = |hits, total| percent(Ratio { hits, total });
        assert_eq!(percent(99_999, 100_000), "99.9 %");
        assert_eq!(percent(3, 3), "100.0 %");
    }
}
