//! go.mod and go.work: what their directives say, by the grammar in <https://go.dev/ref/mod#go-mod-file> and as the go
//! command reads it (source: `golang.org/x/mod/modfile`).
//!
//! Of a file that the go command accepts, everything here is what `go mod edit -json` or `go work edit -json` prints
//! of it; only versions stand as they are written, for what `v1` or a branch comes to takes the network. A line that
//! the go command refuses is left out and kept among the errors: whether it matters is for the caller to say.
//! Directives that are not known here are passed over, for a newer Go may know them.

mod lexer;

use std::collections::BTreeSet;

use lexer::{Line, Token};

/// What a go.mod or a go.work says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModFile {
    /// The module path.
    pub module: Option<String>,
    /// The version of the language, without `go` in front.
    pub go: Option<String>,
    /// The name of the toolchain, for example `go1.25.0`.
    pub toolchain: Option<String>,
    /// In the order of the file, as all that follows.
    pub require: Vec<Requirement>,
    /// What is never used.
    pub exclude: Vec<ModuleVersion>,
    /// What stands for what.
    pub replace: Vec<Replacement>,
    /// Import paths of tools.
    pub tool: Vec<String>,
    /// The folders of a go.work.
    pub use_folders: Vec<String>,
    /// The lines that the go command refuses.
    pub errors: Vec<SyntaxError>,
}

/// A Go module, named in a directive.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModuleVersion {
    /// The module path, or the folder that replaces it.
    pub path: String,
    /// With `v` in front; empty where the directive names none.
    pub version: String,
}

/// A Go module that is required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Which, at which version at least.
    pub module: ModuleVersion,
    /// Whether it is marked `// indirect`: only what is required requires it.
    pub indirect: bool,
}

/// A Go module that another one or a folder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// What is replaced; without a version, all of them are.
    pub old: ModuleVersion,
    /// What stands for it; without a version, a folder.
    pub new: ModuleVersion,
}

/// A line that the go command refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct SyntaxError {
    /// Counted from 1.
    pub line: usize,
    /// A fragment.
    pub reason: &'static str,
}

impl ModFile {
    /// Reads the text of a go.mod or of a go.work.
    pub fn parse(text: &str) -> Self {
        let mut file = Self::default();
        let mut block = None;
        for (line, number) in text.split('\n').zip(1..) {
            let added = lexer::line(line).and_then(|line| file.add_line(&line, &mut block, number));
            file.errors.extend(added.err().map(|reason| SyntaxError {
                line: number,
                reason,
            }));
        }
        file.errors.extend(block.map(|block: Block| SyntaxError {
            line: block.line,
            reason: "the block is not closed",
        }));
        file.remove_repeated();
        file
    }

    /// The folders of the source that it names, relative to its own: those that replace Go modules, and those of a
    /// go.work.
    pub fn relative_folders(&self) -> impl Iterator<Item = &str> {
        let replacing = self.replace.iter().map(|replacement| &replacement.new);
        replacing
            .filter(|new| new.version.is_empty())
            .map(|new| new.path.as_str())
            .chain(self.use_folders.iter().map(String::as_str))
            .filter(|folder| !folder.starts_with('/'))
    }

    /// What is said twice counts once; of replacements of one and the same, the last counts.
    fn remove_repeated(&mut self) {
        keep_first(&mut self.exclude, Clone::clone);
        keep_first(&mut self.tool, Clone::clone);
        self.replace.reverse();
        keep_first(&mut self.replace, |replacement| replacement.old.clone());
        self.replace.reverse();
    }

    fn add_line(
        &mut self,
        line: &Line<'_>,
        block: &mut Option<Block>,
        number: usize,
    ) -> Result<(), &'static str> {
        let tokens = line.tokens.as_slice();
        if let Some(open) = block {
            return match tokens {
                [] => Ok(()),
                [Token::Punctuation(")")] => {
                    *block = None;
                    Ok(())
                }
                [Token::Punctuation(")"), ..] => {
                    *block = None;
                    Err("something follows the closing parenthesis")
                }
                arguments => self.add(&open.verb.clone(), arguments, line.comment),
            };
        }
        match tokens {
            [] | [_, Token::Punctuation("("), Token::Punctuation(")")] => Ok(()),
            [before @ .., Token::Punctuation("(")] if !before.is_empty() => {
                let verb = match before {
                    [Token::Word(verb)] => *verb,
                    // As with a directive that is not known, what stands in it is passed over.
                    _ => "",
                };
                *block = Some(Block {
                    verb: verb.to_owned(),
                    line: number,
                });
                Ok(())
            }
            [Token::Word(verb), arguments @ ..] => self.add(verb, arguments, line.comment),
            _ => Err("it begins with no directive"),
        }
    }

    fn add(
        &mut self,
        verb: &str,
        arguments: &[Token<'_>],
        comment: Option<&str>,
    ) -> Result<(), &'static str> {
        match verb {
            "module" => set(
                &mut self.module,
                one(arguments, "what follows `module` is no path")?,
            ),
            "go" => set(
                &mut self.go,
                one(arguments, "what follows `go` is no version")?,
            ),
            "toolchain" => set(
                &mut self.toolchain,
                one(arguments, "what follows `toolchain` is no name")?,
            ),
            "require" => {
                let module = module_version(arguments, "`require` takes a path and a version")?;
                let indirect = comment.is_some_and(is_indirect);
                self.require.push(Requirement { module, indirect });
                Ok(())
            }
            "exclude" => {
                let module = module_version(arguments, "`exclude` takes a path and a version")?;
                self.exclude.push(module);
                Ok(())
            }
            "replace" => {
                self.replace.push(replacement(arguments)?);
                Ok(())
            }
            "tool" => {
                self.tool
                    .push(one(arguments, "what follows `tool` is no path")?);
                Ok(())
            }
            "use" => {
                self.use_folders
                    .push(one(arguments, "what follows `use` is no folder")?);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A block of lines that is open.
struct Block {
    /// Directive of its lines.
    verb: String,
    /// Where it begins.
    line: usize,
}

fn keep_first<T, K: Ord>(list: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let mut seen = BTreeSet::new();
    list.retain(|it| seen.insert(key(it)));
}

/// Sets what may be said once.
fn set(field: &mut Option<String>, value: String) -> Result<(), &'static str> {
    if field.is_some() {
        return Err("the directive is repeated");
    }
    *field = Some(value);
    Ok(())
}

/// The only argument, which is a string.
fn one(arguments: &[Token<'_>], otherwise: &'static str) -> Result<String, &'static str> {
    match arguments {
        [argument] => argument
            .string()
            .filter(|text| !text.is_empty())
            .ok_or(otherwise),
        _ => Err(otherwise),
    }
}

fn module_version(
    arguments: &[Token<'_>],
    otherwise: &'static str,
) -> Result<ModuleVersion, &'static str> {
    let [path, version] = arguments else {
        return Err(otherwise);
    };
    Ok(ModuleVersion {
        path: path.string().ok_or(otherwise)?,
        version: version.string().ok_or(otherwise)?,
    })
}

/// `path [version] => path version` or `path [version] => folder`.
fn replacement(arguments: &[Token<'_>]) -> Result<Replacement, &'static str> {
    const USAGE: &str =
        "`replace` takes a path, perhaps a version, `=>`, and a folder or a path and a version";
    let arrow = arguments
        .iter()
        .position(|token| *token == Token::Word("=>"));
    let (old, new) = arguments.split_at(arrow.ok_or(USAGE)?);
    let side = |tokens: &[Token<'_>]| match tokens {
        [path] => Ok(ModuleVersion {
            path: path.string().ok_or(USAGE)?,
            version: String::new(),
        }),
        tokens => module_version(tokens, USAGE),
    };
    let (old, new) = (side(old)?, side(&new[1..])?);
    if is_folder(&new.path) != new.version.is_empty() {
        return Err(
            "what replaces a Go module has either a version or a folder that begins with `.` or `/`",
        );
    }
    Ok(Replacement { old, new })
}

fn is_folder(path: &str) -> bool {
    [".", ".."].contains(&path)
        || ["./", "../", "/"]
            .iter()
            .any(|start| path.starts_with(start))
}

/// Whether a comment, its `//` taken off, marks what is required only by what is required.
fn is_indirect(comment: &str) -> bool {
    let mut words = comment.split_whitespace();
    match words.next() {
        Some("indirect") => words.next().is_none(),
        Some("indirect;") => words.next().is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_path_has_many_spellings() {
        for text in [
            "module example.com/m",
            "module example.com/m\n",
            "\u{20}\tmodule\t example.com/m \r\n\ngo 1.24\n",
            "// Deprecated: no\n\nmodule example.com/m // the name\n",
            "go 1.24\nmodule \"example.com/m\"\n",
            // Go's reference has these quotes; its command refuses them.
            "module `example.com/m`",
            "module \"example.com/m\" // x",
            "module example.com/m// x",
            "module(\n\texample.com/m\n)\n",
            "module (\n\t// name\n\texample.com/m // x\n)\n",
        ] {
            let file = ModFile::parse(text);
            assert_eq!(file.module.as_deref(), Some("example.com/m"), "{text:?}");
            assert_eq!(file.errors, [], "{text:?}");
        }
    }

    #[test]
    fn what_is_no_module_path_is_none() {
        for text in [
            "",
            "go 1.24\n",
            "// module x\n",
            "modules x",
            "module",
            "module\n",
            "module \"x",
            "module \"\"",
            "module x\"y\"",
            "module ()",
            "module (\n)",
            "module a b",
            "\"module\" x",
            "x module (\nm\n)",
        ] {
            assert_eq!(ModFile::parse(text).module, None, "{text:?}");
        }
    }

    #[test]
    fn what_is_refused_is_left_out_and_named_with_its_line() {
        let text = "module m\nmodule n\n/* x */\nrequire (\n\ta v1.0.0\n\tb\n)x\nrequire c v1.0.0\n\
                    replace c => d\nreplace c => ./d v1.0.0\nreplace c v1 v2 ./d\n(\nunknown x\nexclude (\n";
        let file = ModFile::parse(text);
        let errors: Vec<String> = file.errors.iter().map(ToString::to_string).collect();
        let replaced = "what replaces a Go module has either a version or a folder that begins with `.` or `/`";
        assert_eq!(
            errors,
            [
                "line 2: the directive is repeated".to_owned(),
                "line 3: comments begin with `//`".to_owned(),
                "line 6: `require` takes a path and a version".to_owned(),
                "line 7: something follows the closing parenthesis".to_owned(),
                format!("line 9: {replaced}"),
                format!("line 10: {replaced}"),
                "line 11: `replace` takes a path, perhaps a version, `=>`, and a folder or a path and a version"
                    .to_owned(),
                "line 12: it begins with no directive".to_owned(),
                "line 14: the block is not closed".to_owned(),
            ]
        );
        let paths: Vec<&str> = file
            .require
            .iter()
            .map(|required| required.module.path.as_str())
            .collect();
        assert_eq!((file.module.as_deref(), paths), (Some("m"), vec!["a", "c"]));
    }

    #[test]
    fn folders_are_those_that_replace_and_those_that_are_used() {
        let file = ModFile::parse(
            "use (\n\t./apis // not ./other\n\t\"../used\"\n\t/absolute\n)\nuse .\n\
             replace a => ../a\nreplace b v1.0.0 => b.example v1.0.0\nreplace c => /c\n",
        );
        assert_eq!(
            file.relative_folders().collect::<Vec<_>>(),
            ["../a", "./apis", "../used", "."]
        );
    }
}
