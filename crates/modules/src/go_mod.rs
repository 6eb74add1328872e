//! The one thing needed of a go.mod: what its Go module is called.

/// The module path in the text of a go.mod, or what is wrong with it.
pub fn module_path(text: &str) -> Result<String, &'static str> {
    let mut lines = text
        .lines()
        .map(without_comment)
        .filter(|line| !line.is_empty());
    let argument = lines
        .find_map(|line| {
            let rest = line.strip_prefix("module")?;
            rest.starts_with([' ', '\t', '"', '`', '('])
                .then(|| rest.trim_start())
        })
        .ok_or("it is missing")?;
    let path = if argument == "(" {
        lines.next().unwrap_or(")")
    } else {
        argument
    };
    unquoted(path)
        .filter(|path| is_plausible(path))
        .map(str::to_owned)
        .ok_or("what follows `module` is no path")
}

fn without_comment(line: &str) -> &str {
    line.split_once("//")
        .map_or(line, |(before, _)| before)
        .trim()
}

fn unquoted(path: &str) -> Option<&str> {
    ['"', '`']
        .iter()
        .find_map(|&quote| path.strip_prefix(quote)?.strip_suffix(quote))
        .or(Some(path))
}

fn is_plausible(path: &str) -> bool {
    !path.is_empty() && !path.contains(|c: char| c.is_whitespace() || "\"`()\\".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling() {
        for text in [
            "module example.com/m",
            "module example.com/m\n",
            "\u{20}\tmodule\t example.com/m \r\n\ngo 1.24\n",
            "// Deprecated: no\n\nmodule example.com/m // the name\n",
            "go 1.24\nmodule \"example.com/m\"\n",
            "module `example.com/m`",
            "module \"example.com/m\" // x",
            "module(\n\texample.com/m\n)\n",
            "module (\n\t// name\n\texample.com/m // x\n)\n",
        ] {
            assert_eq!(
                module_path(text).as_deref(),
                Ok("example.com/m"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "go 1.24\n",
            "// module x\n",
            "modules x",
            "module",
            "module\n",
            "module \"x",
            "module ()",
            "module (\n)",
            "module a b",
        ] {
            assert!(module_path(text).is_err(), "{text:?}");
        }
    }
}
