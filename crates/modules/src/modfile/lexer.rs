//! The words of a line of a go.mod. No token reaches over the end of a line, so each line stands alone.

/// A line, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Empty if it is blank or a comment.
    pub tokens: Vec<Token<'a>>,
    /// The comment behind the tokens, its `//` taken off.
    pub comment: Option<&'a str>,
}

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// One of `( ) [ ] { } ,`.
    Punctuation(&'a str),
    /// Characters up to white space, punctuation or a comment.
    Word(&'a str),
    /// With its quotes, which are `"` or a backtick.
    Quoted(&'a str),
}

impl Token<'_> {
    /// The string that it stands for, if it stands for one.
    pub fn string(&self) -> Option<String> {
        match self {
            Self::Punctuation(_) => None,
            Self::Word(word) => (!word.contains(['"', '\'', '`'])).then(|| (*word).to_owned()),
            Self::Quoted(quoted) => {
                let inner = &quoted[1..quoted.len() - 1];
                if quoted.starts_with('`') {
                    Some(inner.to_owned())
                } else {
                    unescaped(inner)
                }
            }
        }
    }
}

/// Takes a line apart, or says why the go command refuses it.
pub fn line(text: &str) -> Result<Line<'_>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r']);
        let Some(first) = rest.chars().next() else {
            return Ok(Line {
                tokens,
                comment: None,
            });
        };
        if let Some(comment) = rest.strip_prefix("//") {
            let comment = (!tokens.is_empty()).then_some(comment);
            return Ok(Line { tokens, comment });
        }
        if is_punctuation(first) {
            let (token, after) = rest.split_at(first.len_utf8());
            tokens.push(Token::Punctuation(token));
            rest = after;
        } else if first == '"' || first == '`' {
            let (token, after) = rest.split_at(quoted_len(rest, first)?);
            tokens.push(Token::Quoted(token));
            rest = after;
        } else {
            let (token, after) = rest.split_at(word_len(rest)?);
            tokens.push(Token::Word(token));
            rest = after;
        }
    }
}

fn is_punctuation(character: char) -> bool {
    "()[]{},".contains(character)
}

/// Bytes of the string at the beginning of `text`, quotes included.
fn quoted_len(text: &str, quote: char) -> Result<usize, &'static str> {
    let mut escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        if character == quote && !escaped {
            return Ok(index + 1);
        }
        escaped = character == '\\' && quote == '"' && !escaped;
    }
    Err("the string is not closed")
}

/// Bytes of the word at the beginning of `text`.
fn word_len(text: &str) -> Result<usize, &'static str> {
    for (index, character) in text.char_indices() {
        let rest = &text[index..];
        if rest.starts_with("/*") {
            return Err("comments begin with `//`");
        }
        if [' ', '\t', '\r'].contains(&character)
            || is_punctuation(character)
            || rest.starts_with("//")
        {
            return Ok(index);
        }
        if character.is_control() || character.is_whitespace() {
            return Err("it holds a character that no word can have");
        }
    }
    Ok(text.len())
}

/// What a string with Go's escapes stands for; none if one of them is no escape of Go.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend(before.bytes());
        let kind = escape.chars().next()?;
        let digits = |from: usize, count: usize, radix: u32| {
            let digits = escape.get(from..from + count)?;
            let all_digits = digits.chars().all(|digit| digit.is_digit(radix));
            all_digits
                .then(|| u32::from_str_radix(digits, radix).ok())
                .flatten()
        };
        let character = |code: u32| Some(char::from_u32(code)?.to_string().into_bytes());
        let byte = |code: u32| Some(vec![u8::try_from(code).ok()?]);
        let (value, len) = match kind {
            'a' => (vec![7], 1),
            'b' => (vec![8], 1),
            'f' => (vec![12], 1),
            'n' => (vec![b'\n'], 1),
            'r' => (vec![b'\r'], 1),
            't' => (vec![b'\t'], 1),
            'v' => (vec![11], 1),
            '\\' | '"' => (vec![u8::try_from(kind).ok()?], 1),
            'x' => (byte(digits(1, 2, 16)?)?, 3),
            'u' => (character(digits(1, 4, 16)?)?, 5),
            'U' => (character(digits(1, 8, 16)?)?, 9),
            _ => (byte(digits(0, 3, 8)?)?, 3),
        };
        bytes.extend(value);
        rest = &escape[len..];
    }
    bytes.extend(rest.bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_end_where_the_go_command_ends_them() {
        use Token::{Punctuation, Quoted, Word};
        for (text, tokens, comment) in [
            ("", vec![], None),
            (" \t\r", vec![], None),
            ("// x", vec![], None),
            ("a\tb=>c", vec![Word("a"), Word("b=>c")], None),
            (
                "a(b,c)",
                vec![
                    Word("a"),
                    Punctuation("("),
                    Word("b"),
                    Punctuation(","),
                    Word("c"),
                    Punctuation(")"),
                ],
                None,
            ),
            ("a//b c", vec![Word("a")], Some("b c")),
            (
                "a / b/c// ",
                vec![Word("a"), Word("/"), Word("b/c")],
                Some(" "),
            ),
            (
                r#"a "b // \" c"d"#,
                vec![Word("a"), Quoted(r#""b // \" c""#), Word("d")],
                None,
            ),
            (
                r#"`a\`"b\\"//"#,
                vec![Quoted(r"`a\`"), Quoted(r#""b\\""#)],
                Some(""),
            ),
            (r#"a"b""#, vec![Word(r#"a"b""#)], None),
        ] {
            assert_eq!(line(text), Ok(Line { tokens, comment }), "{text:?}");
        }
        for text in ["/* x", "a/*", "\"a", r#""a\""#, "`a", "a\u{b}", "\u{a0}"] {
            assert!(line(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn strings_are_those_of_go() {
        let string = |text| Token::Quoted(text).string();
        assert_eq!(
            string(r#""a\tb\\\"\x41\101\u00e9\U0001F600\xc3\xa9""#).as_deref(),
            Some("a\tb\\\"AA\u{e9}\u{1f600}\u{e9}")
        );
        assert_eq!(string(r"`\t`").as_deref(), Some(r"\t"));
        for text in [
            r#""\q""#,
            r#""\x4""#,
            r#""\x+4""#,
            r#""\777""#,
            r#""\ud800""#,
            r#""\'""#,
            r#""\xff""#,
            r#""\é""#,
        ] {
            assert_eq!(string(text), None, "{text}");
        }
        assert_eq!(Token::Word("a'b").string(), None);
    }

    proptest! {
        #[test]
        fn any_line_is_taken_apart_or_refused(text in r#"([a/*"`\\ (),é]|//|\\x|\\u0041){0,20}"#) {
            if let Ok(line) = line(&text) {
                line.tokens.iter().for_each(|token| drop(token.string()));
            }
        }
    }
}
