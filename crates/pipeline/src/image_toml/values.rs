//! What the values of an `image.toml` may be: a value that Go, Debian or a compressor would refuse after minutes, or
//! that would make an image nobody can use, is named with what is allowed in its place.

use anyhow::Result;
use camino::Utf8Path;
use failure::usage;
use sha256::Sha256Hash;
use url::Url;

use super::ImageToml;

/// What a value may be.
struct Rule {
    /// Whether a value is one.
    holds: fn(&str) -> bool,
    /// What it may be, for who wrote another.
    hint: &'static str,
}

const GO_VERSION: Rule = Rule {
    holds: is_go_version,
    hint: "name a release as Go does, without `go`: 1.27.4, 1.28rc1 or 1.28beta1",
};
const GOAMD64: Rule = Rule {
    holds: |level| ["v1", "v2", "v3", "v4"].contains(&level),
    hint: "name v1, v2, v3 or v4",
};
const GOARM64: Rule = Rule {
    holds: is_goarm64,
    hint: "name v8.0 to v8.9 or v9.0 to v9.5, with `,lse` and `,crypto` behind it or not",
};
const GO_FLAG: Rule = Rule {
    holds: |flags| !flags.split_whitespace().any(is_toolexec),
    hint: "leave -toolexec out: it is what the image sets itself, by [caches]",
};
const USER_NAME: Rule = Rule {
    holds: is_user_name,
    hint: "name a user other than root: a lowercase letter or `_`, then such, digits and `-`, 32 characters at most",
};
const UID: Rule = Rule {
    holds: |uid| is_in(uid, 1, i32::MAX as u64),
    hint: "name a user ID other than root's, of 1 to 2147483647",
};
const PATH: Rule = Rule {
    holds: is_clean_path,
    hint: "write an absolute path of the image, without `:` and without a part that is empty, `.` or `..`",
};
const ADDRESS: Rule = Rule {
    holds: is_address,
    hint: "write an address that begins with http:// or https://",
};
const SHA256: Rule = Rule {
    holds: |digest| digest.to_ascii_lowercase().parse::<Sha256Hash>().is_ok(),
    hint: "write the 64 hex digits that the project publishes",
};
const ZSTD_LEVEL: Rule = Rule {
    holds: |level| is_in(level, 1, 22),
    hint: "write 1 to 22",
};
const ZSTD_WINDOW_LOG: Rule = Rule {
    holds: |log| is_in(log, 10, 27),
    hint: "write 10 to 27, beyond which readers need a setting of their own",
};
/// Those that zstd takes for both of its tables.
const ZSTD_TABLE_LOG: Rule = Rule {
    holds: |log| is_in(log, 6, 30),
    hint: "write 6 to 30",
};
const GZIP_LEVEL: Rule = Rule {
    holds: |level| is_in(level, 0, 9),
    hint: "write 0 to 9",
};

/// Fails for the first value that is not what it may be, at `now`, a Unix time in seconds.
pub(super) fn check(image: &ImageToml, now: u64) -> Result<()> {
    let wrong = values(image)
        .into_iter()
        .find(|(_, value, rule)| !(rule.holds)(value));
    if let Some((key, value, rule)) = wrong {
        return Err(usage(format!("{key} cannot be {value:?}"), rule.hint));
    }
    check_cache_entry_time(image.image.epoch, image.image.cache_entry_time, now)
}

/// The values with their keys, and what each may be.
fn values(image: &ImageToml) -> Vec<(String, String, Rule)> {
    let (base, go, user, layers) = (&image.base, &image.go, &image.user, &image.layers);
    let path = |path: &Utf8Path| path.to_string();
    let mut values = vec![
        ("go.version", go.version.clone(), GO_VERSION),
        ("go.goroot", path(&go.goroot), PATH),
        ("go.gomodcache", path(&go.gomodcache), PATH),
        ("go.gocache", path(&go.gocache), PATH),
        ("go.goamd64", go.goamd64.clone(), GOAMD64),
        ("go.goarm64", go.goarm64.clone(), GOARM64),
        ("user.name", user.name.clone(), USER_NAME),
        ("user.uid", user.uid.to_string(), UID),
        ("user.home", path(&user.home), PATH),
        (
            "layers.zstd_level",
            layers.zstd_level.to_string(),
            ZSTD_LEVEL,
        ),
        (
            "layers.zstd_window_log",
            layers.zstd_window_log.to_string(),
            ZSTD_WINDOW_LOG,
        ),
        (
            "layers.zstd_table_log",
            layers.zstd_table_log.to_string(),
            ZSTD_TABLE_LOG,
        ),
        (
            "layers.gzip_level",
            layers.gzip_level.to_string(),
            GZIP_LEVEL,
        ),
    ];
    let flags = go.flags.iter();
    values.extend(flags.map(|flag| ("go.flags", flag.clone(), GO_FLAG)));
    let folders = image.writable.folders.iter();
    values.extend(folders.map(|folder| ("writable.folders", path(folder), PATH)));
    let addresses = [
        ("base.mirror", &base.mirror),
        ("base.snapshots", &base.snapshots),
    ];
    values.extend(
        addresses
            .into_iter()
            .filter_map(|(key, address)| Some((key, address.clone()?, ADDRESS))),
    );
    let values = values.into_iter();
    let mut values: Vec<_> = values
        .map(|(key, value, rule)| (key.to_owned(), value, rule))
        .collect();
    for (name, tool) in &image.tools {
        let digests = tool.release.iter().flat_map(|release| &release.sha256);
        values.extend(digests.map(|(platform, digest)| {
            let key = format!("tools.{name}.release.sha256.{platform:?}");
            (key, digest.clone(), SHA256)
        }));
    }
    values
}

/// Fails for a time of the build cache's entries at which Go would trim or touch them, or which 32 bits cannot hold.
fn check_cache_entry_time(epoch: u64, time: u64, now: u64) -> Result<()> {
    let wrong = if time >= i32::MAX as u64 {
        "does not fit into 32 bits"
    } else if time <= now {
        "is over, so that Go would touch the entries, and trim them"
    } else if time <= epoch {
        "is no later than image.epoch"
    } else {
        return Ok(());
    };
    Err(usage(
        format!("image.cache_entry_time cannot be {time}, which {wrong}"),
        "name a time in the future, after image.epoch and before 2038-01-19T03:14:07Z, as 2114380800",
    ))
}

fn is_in(number: &str, least: u64, most: u64) -> bool {
    number
        .parse()
        .is_ok_and(|number: u64| (least..=most).contains(&number))
}

/// Whether `text` is a number as Go writes it in a version.
fn is_number(text: &str) -> bool {
    let is_padded = text.len() > 1 && text.starts_with('0');
    !text.is_empty() && !is_padded && text.bytes().all(|it| it.is_ascii_digit())
}

fn is_go_version(version: &str) -> bool {
    let parts: Vec<&str> = version.split('.').collect();
    match parts[..] {
        [major, minor, patch] => [major, minor, patch].into_iter().all(is_number),
        [major, minor] => {
            let minor = minor.split_once("rc").or_else(|| minor.split_once("beta"));
            is_number(major)
                && minor.is_some_and(|(minor, number)| is_number(minor) && is_number(number))
        }
        _ => false,
    }
}

/// As Go reads it.
fn is_goarm64(level: &str) -> bool {
    let mut words = level.split(',');
    let number = words.next().and_then(|version| version.strip_prefix('v'));
    let is_known = number
        .and_then(|number| number.split_once('.'))
        .is_some_and(|(major, minor)| match major {
            "8" => minor.len() == 1 && is_in(minor, 0, 9),
            "9" => minor.len() == 1 && is_in(minor, 0, 5),
            _ => false,
        });
    is_known && words.all(|word| ["lse", "crypto"].contains(&word))
}

fn is_toolexec(word: &str) -> bool {
    let word = word.trim_start_matches(['"', '\'']);
    let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
    flag.is_some_and(|flag| flag == "toolexec" || flag.starts_with("toolexec="))
}

fn is_user_name(name: &str) -> bool {
    let is_letter = |it: u8| it.is_ascii_lowercase() || it == b'_';
    let is_other = |it: u8| is_letter(it) || it.is_ascii_digit() || it == b'-';
    name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(is_other)
        && name.len() <= 32
        && name != "root"
}

/// Whether `path` means the same to all who read it: a line of `/etc/passwd`, a Dockerfile, a go command.
fn is_clean_path(path: &str) -> bool {
    let is_odd = |it: char| it == ':' || it.is_control();
    path.strip_prefix('/').is_some_and(|below| {
        !below.contains(is_odd)
            && below
                .split('/')
                .all(|part| !["", ".", ".."].contains(&part))
    })
}

fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_toml::tests::shipped;

    /// The description that is shipped, with `value` for `key` in `table`, which may be one in another, behind a `/`.
    fn with(table: &str, key: &str, value: &str) -> Result<ImageToml> {
        let mut text: toml::Table = shipped().parse().unwrap();
        let mut at = &mut text;
        for name in table.split('/') {
            at = at[name].as_table_mut().unwrap();
        }
        let line: toml::Table = format!("it = {value}").parse().unwrap();
        at.insert(key.to_owned(), line["it"].clone());
        ImageToml::parse(&toml::to_string(&text).unwrap())
    }

    /// A table and a key in it, values that it may have, others that it may not have, and a word of what is allowed.
    type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a [&'a str], &'a str);

    const CASES: [Case<'_>; 18] = [
        (
            "go",
            "version",
            &[
                r#""1.27.4""#,
                r#""1.28.0""#,
                r#""1.28rc1""#,
                r#""1.28beta2""#,
            ],
            &[
                r#""""#,
                r#""1.27""#,
                r#""go1.27.4""#,
                r#""1.27.04""#,
                r#""1.27.4.1""#,
                r#""latest""#,
                r#""1.28rc""#,
                r#""1.27.4 --x""#,
            ],
            "1.27.4",
        ),
        (
            "go",
            "goamd64",
            &[r#""v4""#],
            &[r#""v5""#, r#""""#, r#""3""#],
            "v1, v2, v3 or v4",
        ),
        (
            "go",
            "goarm64",
            &[r#""v8.9""#, r#""v9.5,lse""#, r#""v8.0,crypto,lse""#],
            &[
                r#""v9.6""#,
                r#""v8""#,
                r#""v8.10""#,
                r#""v8.0,x""#,
                r#""v7.0""#,
                r#""v8.0,""#,
            ],
            "v9.5",
        ),
        (
            "go",
            "flags",
            &[r#"["-trimpath", "-ldflags=-X main.toolexec=1"]"#],
            &[
                r#"["-toolexec=x"]"#,
                r#"["-trimpath", "--toolexec", "x"]"#,
                r#"["'-toolexec=a b'"]"#,
                r#"["-v -toolexec=x"]"#,
            ],
            "the image sets itself",
        ),
        (
            "go",
            "goroot",
            &[r#""/go""#],
            &[r#""/go/../x""#, r#""go""#, r#""/""#],
            "absolute",
        ),
        (
            "go",
            "gomodcache",
            &[],
            &[r#""/var/./x""#, r#""/var//x""#, r#""""#],
            "absolute",
        ),
        (
            "go",
            "gocache",
            &[],
            &[r#""/var/x/""#, r#""~/x""#, r#""/x/..""#],
            "absolute",
        ),
        (
            "user",
            "home",
            &[r#""/home/a b""#],
            &[r#""home""#, r#""/a:0""#, r#""/a\nb""#],
            "absolute",
        ),
        (
            "writable",
            "folders",
            &["[]"],
            &[r#"["/a", "b"]"#, r#"["/a/.."]"#],
            "absolute",
        ),
        (
            "user",
            "name",
            &[r#""_a-1""#],
            &[
                r#""root""#,
                r#""""#,
                r#""A""#,
                r#""1a""#,
                r#""a b""#,
                r#""a:x""#,
                r#""a23456789012345678901234567890123""#,
            ],
            "root",
        ),
        (
            "user",
            "uid",
            &["1", "2147483647"],
            &["0", "2147483648"],
            "2147483647",
        ),
        (
            "base",
            "mirror",
            &[r#""http://mirror.example/debian""#],
            &[r#""mirror.example""#, r#""ftp://x""#, r#""/srv/debian""#],
            "https://",
        ),
        (
            "layers",
            "zstd_level",
            &["1", "22"],
            &["0", "23", "-1"],
            "1 to 22",
        ),
        (
            "layers",
            "zstd_window_log",
            &["10"],
            &["9", "28"],
            "10 to 27",
        ),
        (
            "layers",
            "zstd_table_log",
            &["6", "30"],
            &["5", "31"],
            "6 to 30",
        ),
        ("layers", "gzip_level", &["0", "9"], &["10"], "0 to 9"),
        (
            "tools/pulumi/release/sha256",
            "linux/amd64",
            &[r#""FE736f91b4153f94f859870e34dda01e648552c25f702c8a42282acf3a5db9ad""#],
            &[r#""fe73""#, r#""""#],
            "64 hex",
        ),
        (
            "image",
            "cache_entry_time",
            &["2114380800"],
            &["1700000000", "0", "2147483647"],
            "2038",
        ),
    ];

    #[test]
    fn a_value_that_cannot_be_is_named_with_what_is_allowed() {
        for (table, key, good, bad, allowed) in CASES {
            for value in good {
                let read = with(table, key, value);
                assert!(
                    read.is_ok(),
                    "{table} {key} {value}: {:#}",
                    read.unwrap_err()
                );
            }
            for value in bad {
                let error = with(table, key, value).unwrap_err();
                let said = failure::text(&error);
                assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage, "{said}");
                let names = said.contains(key) && said.contains(&table.replace('/', "."));
                assert!(names && said.contains(allowed), "{value}: {said}");
            }
        }
    }

    #[test]
    fn entries_of_the_cache_are_of_the_future() {
        check_cache_entry_time(10, 30, 20).unwrap();
        for (epoch, time, now, why) in [
            (10, 20, 20, "is over"),
            (30, 30, 20, "is no later than image.epoch"),
            (10, i32::MAX as u64, 20, "does not fit"),
        ] {
            let error = check_cache_entry_time(epoch, time, now).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
