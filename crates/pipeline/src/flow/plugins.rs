//! The packs of plugins: one for each provider whose plugins `image.toml` wants in the image, a layer for each plugin.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use modules::Module;

use crate::flow::foundation::Foundation;
use crate::names::PLUGINS;
use crate::pack::Pack;
use crate::pack::description::Plugins;
use crate::plugins::LOCK;
use crate::plugins::layer::Layers;
use crate::plugins::lock::{Lock, Locked};
use crate::plugins::needs::{self, Needs, Program};
use crate::resolve::go_mod::by_go_mod;
use crate::work::Key;
use engine::progress::{self, Kind, Progress, Step};
use failure::usage;
use oci::platform::Platform;

impl Foundation {
    /// The lock of plugins, beside `image.toml`.
    pub fn lock_file(&self) -> Utf8PathBuf {
        self.settings.image.with_file_name(LOCK)
    }

    /// Which plugins the programs `modules` need, sorted by provider and component.
    pub fn plugin_needs(&self, modules: &[Module]) -> Result<Vec<Program>> {
        let resolver = self.resolver();
        let mut programs = Vec::new();
        for go_mod in by_go_mod(resolver.source, modules) {
            let requirements = match resolver.requirements(&go_mod) {
                Ok(requirements) => requirements,
                // Warming says why these are left out.
                Err(_) if self.settings.keep_going => continue,
                Err(error) => return Err(error),
            };
            let (source, module_cache) = (resolver.source, resolver.go_mod);
            programs.extend(needs::of_go_mod(
                source,
                &go_mod,
                &requirements,
                module_cache,
            )?);
        }
        programs.sort_by(|one, other| by_name(one).cmp(&by_name(other)));
        Ok(programs)
    }

    /// The packs of plugins of all these providers.
    pub fn all_plugins(
        &self,
        providers: &[String],
        modules: &[Module],
        progress: &mut Progress,
    ) -> Result<Vec<Pack>> {
        let packs = providers.iter();
        let packs =
            packs.filter_map(|provider| self.plugins(provider, modules, progress).transpose());
        packs.collect()
    }

    /// The plugins that the programs of `provider` among `modules` need, as a pack; none where `image.toml` wants none
    /// of them, or where none are needed.
    pub fn plugins(
        &self,
        provider: &str,
        modules: &[Module],
        progress: &mut Progress,
    ) -> Result<Option<Pack>> {
        if !self.tree.image.plugins.bake.has(provider) {
            return Ok(None);
        }
        let own = modules.iter().filter(|module| module.provider == provider);
        let own: Vec<Module> = own.cloned().collect();
        progress.step(format!("plugins {provider}"), Kind::Network, |step| {
            let mut needs = Needs::default();
            for program in self.plugin_needs(&own)? {
                needs.extend(program.needs);
            }
            for it in &needs.left_out {
                progress::note(format_args!(
                    "note: the image has no plugin for {} of {provider}: {}",
                    it.name, it.reason
                ));
            }
            let lock = Lock::read(&self.lock_file())?;
            let locked = locked(&lock, &needs, (provider, &self.tree.platform))?;
            if locked.is_empty() {
                return Ok(None);
            }
            self.plugin_pack(provider, locked, needs, step).map(Some)
        })
    }

    fn plugin_pack(
        &self,
        provider: &str,
        locked: Vec<Locked>,
        needs: Needs,
        step: &mut Step,
    ) -> Result<Pack> {
        let layers = Layers {
            work: &self.work,
            image: &self.tree.image,
            offline: self.settings.offline,
        };
        let mut keys = Vec::new();
        let mut are_kept = true;
        for plugin in &locked {
            keys.push(layers.key(plugin)?);
            are_kept &= layers.is_kept(plugin)?;
        }
        let name = format!("{PLUGINS}{provider}");
        // The description says where archives come from, which their layers do not depend on.
        let key = Key::of(&(PLUGINS, &keys, &locked, &needs.left_out))?;
        if !are_kept {
            self.find(&name, &key, step, |artifact| {
                for (plugin, layer) in locked.iter().zip(artifact.layers()?) {
                    layers.restore(plugin, &layer)?;
                }
                Ok(())
            })?;
        }
        let made = locked
            .iter()
            .map(|it| layers.make(it, &|now| step.detail(now)));
        let made = made.collect::<Result<Vec<_>>>()?;
        let plugins = Plugins {
            provider: provider.to_owned(),
            locked,
            left_out: needs.left_out.into_iter().collect(),
        };
        Ok(Pack::plugins(key, &self.tree.platform, plugins, made))
    }
}

/// By what programs are sorted.
fn by_name(program: &Program) -> (&str, &str, &Utf8Path) {
    (&program.provider, &program.component, &program.path)
}

/// The archives of all that is needed.
///
/// # Errors
/// Those that the lock does not have are named, all of them.
fn locked(
    lock: &Lock,
    needs: &Needs,
    (provider, platform): (&str, &Platform),
) -> Result<Vec<Locked>> {
    let mut found = Vec::new();
    let mut missing = BTreeSet::new();
    for plugin in &needs.plugins {
        match lock.find(&plugin.name, &plugin.version, platform) {
            Some(locked) if !found.contains(locked) => found.push(locked.clone()),
            Some(_) => {}
            None => drop(missing.insert(format!("{} {}", plugin.name, plugin.version))),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let missing: Vec<String> = missing.into_iter().collect();
    Err(usage(
        format!(
            "programs of {provider} need plugins that {LOCK} does not have for {platform}: {}",
            missing.join(", ")
        ),
        format!(
            "fetch them with `cargo xtask plugins --lock --provider {provider}` and review what it writes, or leave \
             {provider} out of `bake` in [plugins] of image.toml"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use sha256::Sha256Hash;

    use super::*;
    use crate::fixtures::platform;
    use crate::plugins::plugin::Plugin;

    fn needs(plugins: &[(&str, &str, Option<&str>)]) -> Needs {
        let plugins = plugins.iter();
        let plugins = plugins.map(|(name, version, server)| Plugin::new(name, version, *server));
        Needs {
            plugins: plugins.collect::<Result<_, _>>().unwrap(),
            ..Needs::default()
        }
    }

    fn lock() -> Lock {
        let mut lock = Lock::default();
        for (name, version, platform) in [
            ("aws", "7.3.0", "linux/amd64"),
            ("aws", "7.4.0", "linux/amd64"),
            ("civo", "2.4.8", "linux/arm64"),
        ] {
            let locked = Locked {
                name: name.into(),
                version: version.parse().unwrap(),
                platform: platform.into(),
                sha256: Sha256Hash::of(version.as_bytes()),
                size_bytes: None,
                url: "https://toy.test/a".into(),
            };
            lock.add(locked).unwrap();
        }
        lock
    }

    #[test]
    fn two_versions_of_a_plugin_are_both_taken_and_one_of_two_servers_once() {
        let needs = needs(&[
            ("aws", "7.3.0", None),
            ("aws", "7.4.0", None),
            ("aws", "7.4.0", Some("https://toy.test")),
        ]);
        let found = locked(&lock(), &needs, ("aws", &platform())).unwrap();
        let versions: Vec<String> = found.iter().map(|it| it.version.to_string()).collect();
        assert_eq!(versions, ["7.3.0", "7.4.0"]);
    }

    #[test]
    fn what_the_lock_does_not_have_for_this_platform_is_named_with_the_command() {
        let needs = needs(&[
            ("aws", "7.3.0", None),
            ("aws", "7.5.0", None),
            ("civo", "2.4.8", None),
        ]);
        let error = locked(&lock(), &needs, ("aws", &platform())).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
        insta::assert_snapshot!(failure::text(&error));
    }
}
