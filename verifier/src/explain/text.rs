//! The explanation for people: the cause in the first line, the rest below.

use std::fmt::Write as _;

use gocache::image_info::REST;
use gocache::{Cause, Explanation, RELEASE_PAYS_SHARE};

use super::absent::Absent;
use super::answer::Answer;
use super::settings::Setting;

/// Names listed of packages; all of a cold build would be a thousand.
const NAMES: usize = 5;

/// The cause in a sentence.
pub fn headline(answer: &Answer) -> String {
    let what = cause(answer);
    if answer.packs.is_some() && !answer.is_in_image && answer.settings.is_empty() {
        format!("the module is not in the image; {what}")
    } else {
        what
    }
}

fn cause(answer: &Answer) -> String {
    let and_more = |count: usize| match count {
        0 | 1 => String::new(),
        count => format!(" (the first of {count} causes)"),
    };
    if let Some(first) = answer.settings.first() {
        return sentence(first) + &and_more(answer.settings.len());
    }
    if let Some(Absent { package, module }) = answer.absent.first() {
        return format!(
            "{package} is a package of {module}, and of that this image has no packages, because nothing that it was \
             made for loads one{}",
            and_more(answer.absent.len())
        );
    }
    let Some(build) = &answer.build else {
        return "nothing was built".into();
    };
    if let Some(first) = build.causes.first() {
        return first.change.to_string() + &and_more(build.causes.len());
    }
    if build.unknown.is_empty() {
        return format!(
            "everything hits: {} packages and the executable come from the cache",
            build.packages.total
        );
    }
    format!(
        "{} of {} packages are not in the cache, and there is no record of what it was made from",
        build.packages.total - build.packages.hits,
        build.packages.total
    )
}

fn sentence(setting: &Setting) -> String {
    let Setting {
        name,
        image,
        here,
        origin,
        detail,
    } = setting;
    let detail = detail.as_ref().map(|detail| format!(": {detail}"));
    if image == here {
        let detail = detail.unwrap_or_default();
        return format!("{name} is {here:?} ({origin}), as it was for the image{detail}");
    }
    format!(
        "{name} is {here:?} ({origin}), but the caches were made with {image:?}{}",
        detail.unwrap_or_default()
    )
}

pub fn render(answer: &Answer) -> String {
    let mut text = format!("{}\n\n", answer.headline);
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let module = &answer.module;
    line(format!("module: {}", module.path));
    match &answer.packs {
        None => line("image: none here, so there is no record to compare with".into()),
        Some(packs) if !answer.is_in_image => line(format!(
            "image: no pack holds the module; there are {}",
            if packs.is_empty() {
                "none".to_owned()
            } else {
                packs.join(", ")
            }
        )),
        Some(_) => {}
    }
    for setting in &answer.settings {
        line(format!("- {}", sentence(setting)));
    }
    if !answer.settings.is_empty() && answer.build.is_none() {
        line("nothing was built: with other settings nothing that was shipped fits".into());
    }
    if let Some(build) = &answer.build {
        line(if answer.messages.is_empty() {
            format!(
                "from the cache: {} of {} packages, {} of {} links",
                build.packages.hits, build.packages.total, build.links.hits, build.links.total
            )
        } else {
            format!(
                "the module does not build: {}",
                answer.messages.join("\n  ")
            )
        });
        explained(build, &mut line);
    }
    absent(answer, &mut line);
    if answer.packs.is_none() {
        for (name, value) in answer.identity.fields() {
            line(format!("{name}: {value}"));
        }
    }
    text
}

fn absent(answer: &Answer, line: &mut impl FnMut(String)) {
    if answer.absent.is_empty() {
        return;
    }
    for Absent { package, module } in answer.absent.iter().take(NAMES) {
        line(format!(
            "- {package} [left out, with all packages of {module}]"
        ));
    }
    let more = answer.absent.len().saturating_sub(NAMES);
    if more > 0 {
        line(format!("- {more} more"));
    }
    let packs = answer.packs.iter().flatten();
    let is_whole = packs.into_iter().any(|pack| pack == REST);
    line(if is_whole {
        "an image has them that is made anew, with this source, for all of its providers".to_owned()
    } else {
        "the whole image has them (the one without a provider's name, `latest`), and so has one that is made anew, \
         with this source"
            .to_owned()
    });
}

fn explained(build: &Explanation, line: &mut impl FnMut(String)) {
    for cause in &build.causes {
        line(of_cause(cause));
    }
    if build.consequences > 0 {
        line(format!(
            "consequences: packages that missed only because they import what is named above: {}",
            build.consequences
        ));
    }
    if !build.unknown.is_empty() {
        line(format!("missed: {}", names(&build.unknown)));
    }
    let drift = &build.drift;
    let packages = drift.own_packages + drift.other_packages;
    if packages > 0 {
        line(format!(
            "drift: the source has moved on since the image was made; that costs {packages} of {} packages ({:.1} %), \
             {} of the source's own and {} others",
            build.packages.total,
            drift.share * 100.0,
            drift.own_packages,
            drift.other_packages
        ));
        let share = RELEASE_PAYS_SHARE * 100.0;
        line(if drift.release_pays {
            format!("a new image pays: that is {share} % or more")
        } else {
            format!("a new image does not pay yet: it does from {share} %")
        });
    }
}

fn of_cause(cause: &Cause) -> String {
    let kind = if cause.is_expected { "drift" } else { "defect" };
    let mut text = format!(
        "- {} [{kind}, packages compiled: {}]",
        cause.change, cause.misses
    );
    // Writing to a string cannot fail.
    if cause.chain.len() > 1 {
        let _ = write!(text, "\n  imported by way of {}", cause.chain.join(" > "));
    }
    if cause.packages.len() > 1 {
        let _ = write!(text, "\n  in {}", names(&cause.packages));
    }
    text
}

fn names(names: &[String]) -> String {
    let listed = names.iter().take(NAMES).map(String::as_str);
    let mut listed: Vec<_> = listed.collect();
    let more = format!("{} more", names.len().saturating_sub(NAMES));
    if names.len() > NAMES {
        listed.push(&more);
    }
    listed.join(", ")
}

#[cfg(test)]
mod tests {
    use gocache::{Change, Drift, GoModule, Identity, Ratio};

    use super::*;
    use crate::explain::answer::{ExplainedModule, SCHEMA};

    fn answer() -> Answer {
        let env = include_str!("../../../crates/gocache/tests/fixtures/go-env.json");
        let identity = Identity::from_go_env(&serde_json::from_str(env).unwrap()).unwrap();
        Answer {
            schema: SCHEMA,
            headline: String::new(),
            module: ExplainedModule {
                provider: "civo".into(),
                component: "volume".into(),
                path: "apis/provider/civo/volume/v1/iac/pulumi".into(),
            },
            identity,
            packs: Some(vec!["civo".into(), "common".into()]),
            is_in_image: true,
            settings: Vec::new(),
            build: Some(Explanation {
                has_record: true,
                is_recorded: true,
                packages: Ratio {
                    hits: 600,
                    total: 600,
                },
                links: Ratio { hits: 1, total: 1 },
                causes: Vec::new(),
                consequences: 0,
                unknown: Vec::new(),
                drift: Drift::default(),
            }),
            absent: Vec::new(),
            messages: Vec::new(),
        }
    }

    fn cause(change: Change, is_expected: bool, packages: &[&str]) -> Cause {
        let packages: Vec<String> = packages.iter().map(ToString::to_string).collect();
        Cause {
            change,
            chain: vec!["m/volume".into(), "m/greet".into(), packages[0].clone()],
            misses: packages.len() as u64,
            packages,
            is_expected,
        }
    }

    fn shown(change: impl FnOnce(&mut Answer)) -> String {
        let mut answer = answer();
        change(&mut answer);
        answer.headline = headline(&answer);
        render(&answer)
    }

    #[test]
    fn everything_hits() {
        insta::assert_snapshot!(shown(|_| {}));
    }

    #[test]
    fn settings_explain_all() {
        let setting = |name: &'static str, detail: Option<&str>| Setting {
            name,
            image: "-trimpath".into(),
            here: "-race".into(),
            origin: "set in the environment".into(),
            detail: detail.map(str::to_owned),
        };
        insta::assert_snapshot!(shown(|answer| {
            answer.build = None;
            answer.settings = vec![
                setting("GOFLAGS", Some("it adds -race")),
                setting("GOOS", None),
            ];
        }));
    }

    #[test]
    fn drift_and_defects_have_their_packages_and_chains() {
        let version = Change::Version {
            module: "example.com/dep".into(),
            old: Some("v1.0.0".into()),
            new: Some("v1.1.0".into()),
        };
        let files = Change::ModuleFiles {
            module: Some(GoModule {
                path: "example.com/sdk".into(),
                version: "v1.2.3".into(),
            }),
        };
        let many = ["s/a", "s/b", "s/c", "s/d", "s/e", "s/f", "s/g"];
        insta::assert_snapshot!(shown(|answer| {
            let build = answer.build.as_mut().unwrap();
            build.packages.hits = 560;
            build.links.hits = 0;
            build.causes = vec![
                cause(files, false, &many),
                cause(version, true, &["example.com/dep"]),
            ];
            build.consequences = 32;
            build.drift = Drift {
                own_packages: 30,
                other_packages: 3,
                share: 0.055,
                release_pays: true,
            };
        }));
    }

    #[test]
    fn without_an_image_misses_and_settings_are_listed() {
        insta::assert_snapshot!(shown(|answer| {
            answer.packs = None;
            answer.is_in_image = false;
            let build = answer.build.as_mut().unwrap();
            build.packages.hits = 598;
            build.unknown = vec!["m/volume".into(), "m/greet".into()];
        }));
    }

    #[test]
    fn packages_that_the_image_leaves_out_have_their_go_modules() {
        let missing = |answer: &mut Answer| {
            answer.absent = ["", "/ec2"]
                .map(|below| Absent {
                    package: format!("example.com/sdk/aws{below}"),
                    module: GoModule {
                        path: "example.com/sdk".into(),
                        version: "v1.2.3".into(),
                    },
                })
                .into();
            answer.messages = vec![
                "go build failed (exit status: 1):".into(),
                "main.go:7:2: no required module provides package example.com/sdk/aws".into(),
            ];
        };
        insta::assert_snapshot!(shown(missing));
        let whole = shown(|answer| {
            missing(answer);
            answer.packs.as_mut().unwrap().push(REST.into());
        });
        insta::assert_snapshot!(whole.lines().last().unwrap());
    }

    #[test]
    fn a_module_that_no_pack_holds_and_that_does_not_build() {
        insta::assert_snapshot!(shown(|answer| {
            answer.is_in_image = false;
            answer.messages = vec![
                "go build failed (exit status: 1):".into(),
                "main.go:7:2: undefined: x".into(),
            ];
            let build = answer.build.as_mut().unwrap();
            build.causes = vec![cause(Change::Unexplained, false, &["m/volume"])];
        }));
    }
}
