//! The part of a command's output that a message quotes.

/// Lines that a person reads.
const LINES: usize = 12;

/// The first lines of what a command said, which is where compilers begin.
pub fn first_lines(text: &str) -> String {
    text.trim()
        .lines()
        .take(LINES)
        .collect::<Vec<_>>()
        .join("\n")
}
