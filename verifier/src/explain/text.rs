//! The explanation for people: the cause in the first line, the rest below.

use std::fmt::Write as _;

use gocache::{Cause, Explanation, RELEASE_PAYS_SHARE};

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
    if !answer.settings.is_empty() {
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
    if answer.packs.is_none() {
        for (name, value) in answer.identity.fields() {
            line(format!("{name}: {value}"));
        }
    }
    text
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
