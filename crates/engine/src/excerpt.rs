//! What an error shows of the output of a command: programs say at the beginning what went wrong first, and at the end
//! what they gave up for; of a long text, the middle is left out.

/// Lines kept at either end.
const LINES: usize = 12;

/// `text` without its middle, if it is long, and without what the go command says of its downloads.
pub fn excerpt(text: &str) -> String {
    let lines: Vec<&str> = text
        .trim()
        .lines()
        .filter(|line| !line.starts_with("go: downloading "))
        .collect();
    if lines.len() <= 2 * LINES {
        return lines.join("\n");
    }
    let (first, rest) = lines.split_at(LINES);
    let (middle, last) = rest.split_at(rest.len() - LINES);
    let left_out = format!("[{} lines left out]", middle.len());
    [first, &[left_out.as_str()], last].concat().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_both_ends_and_a_short_one_everything() {
        let text = |lines: usize| -> String {
            let lines = (1..=lines).map(|line| format!("{line}\n"));
            format!("go: downloading x\n{}\n", lines.collect::<String>())
        };
        assert_eq!(excerpt(&text(3)), "1\n2\n3");
        assert_eq!(excerpt(&text(24)).lines().count(), 24);
        let long: Vec<String> = excerpt(&text(30)).lines().map(str::to_owned).collect();
        assert_eq!(long[..2], ["1", "2"]);
        assert_eq!(long[12], "[6 lines left out]");
        assert_eq!(long[13], "19");
        assert_eq!(long.last().unwrap(), "30");
        assert_eq!(excerpt(""), "");
    }
}
