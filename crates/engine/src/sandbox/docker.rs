//! Commands in containers of Docker, one for each: for machines on which there is Docker and no bubblewrap.
//!
//! The image is the tree; what bubblewrap would mount, Docker mounts. A container goes when its command ended, and when
//! the run is interrupted.
//!
//! No container has a capability, but for those that root gets from bubblewrap as well, nor can it get any.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, PipeWriter, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    WaitContainerOptions,
};
use futures_util::StreamExt as _;

use crate::sandbox::scan::scan_all;
use crate::sandbox::spec::{ROOT_CAPABILITIES, RootFs, Sandbox, User};
use crate::{interrupt, together};
use oci::docker::{Loadable, connect, runtime};
use oci::layer::LayerBlob;
use oci::platform::Platform;

/// Hands Docker the base system, of which it makes a container for each command.
pub fn load_root_fs(base: &LayerBlob, platform: &Platform) -> Result<RootFs> {
    let diff_id = base.layer.diff_id.to_string();
    let name = format!("iac-runner-tree:{}", &diff_id[..16]);
    let config = serde_json::json!({
        "os": platform.os, "architecture": platform.arch, "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff_id}")]},
    });
    oci::docker::load(&[Loadable {
        name: name.clone(),
        config,
        layers: vec![base],
    }])?;
    Ok(RootFs::DockerImage(name))
}

/// Runs a command to its end: its exit code, its standard output, and what `scan` made of its standard error.
pub fn run<T: Send>(
    sandbox: &Sandbox,
    image: &str,
    arguments: &[&str],
    scan: impl FnOnce(&mut dyn BufRead) -> Result<T> + Send,
) -> Result<(ExitStatus, String, T)> {
    let (reader, writer) = std::io::pipe().context("failed to make a pipe")?;
    let runtime = runtime()?;
    let body = body(sandbox, image, arguments);
    let (ran, scanned) = thread::scope(|scope| {
        let scanning = scope.spawn(|| scan_all(reader, scan));
        (runtime.block_on(execute(body, writer)), scanning.join())
    });
    let (status, stdout) = ran?;
    let scanned = scanned.map_err(|_| anyhow!("the reader of its messages stopped"))?;
    Ok((status, stdout, scanned?))
}

async fn execute(body: ContainerCreateBody, stderr: PipeWriter) -> Result<(ExitStatus, String)> {
    let docker = connect().await?;
    let created = docker.create_container(None, body).await;
    let id = created.context("Docker refused to make a container")?.id;
    let end =
        |id: String| move || runtime()?.block_on(async { remove(&connect().await?, &id).await });
    let on_interrupt = interrupt::register(end(id.clone()));
    let followed = match together::on_failure(end(id.clone())) {
        Ok(_guard) => follow(&docker, &id, stderr).await,
        Err(stopped) => Err(stopped),
    };
    let removed = remove(&docker, &id).await;
    drop(on_interrupt);
    followed.and_then(|done| removed.map(|()| done))
}

async fn remove(docker: &Docker, id: &str) -> Result<()> {
    let options = RemoveContainerOptionsBuilder::new()
        .force(true)
        .v(true)
        .build();
    match docker.remove_container(id, Some(options)).await {
        // Removed by another thread, after an interrupt.
        Ok(())
        | Err(Error::DockerResponseServerError {
            status_code: 404 | 409,
            ..
        }) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("failed to remove the container {id}")),
    }
}

async fn follow(docker: &Docker, id: &str, mut stderr: PipeWriter) -> Result<(ExitStatus, String)> {
    let streams = AttachContainerOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .stream(true)
        .build();
    let mut attached = docker.attach_container(id, Some(streams)).await?;
    docker
        .start_container(id, None::<StartContainerOptions>)
        .await
        .context("Docker failed to start a container")?;
    let mut stdout = Vec::new();
    while let Some(output) = attached.output.next().await {
        match output? {
            LogOutput::StdErr { message } => stderr.write_all(&message)?,
            LogOutput::StdOut { message } => stdout.extend_from_slice(&message),
            LogOutput::StdIn { .. } | LogOutput::Console { .. } => {}
        }
    }
    let mut waited = docker.wait_container(id, None::<WaitContainerOptions>);
    let code = match waited.next().await {
        Some(Ok(ended)) => ended.status_code,
        Some(Err(Error::DockerContainerWaitError { code, error })) if error.is_empty() => code,
        Some(Err(error)) => return Err(error.into()),
        None => return Err(anyhow!("Docker does not say how the container ended")),
    };
    let code = i32::try_from(code).context("an exit code is an i32")?;
    let stdout = String::from_utf8(stdout).context("its output is not UTF-8")?;
    Ok((ExitStatus::from_raw(code << 8), stdout))
}

fn body(sandbox: &Sandbox, image: &str, arguments: &[&str]) -> ContainerCreateBody {
    let words = || arguments.iter().map(|word| (*word).to_owned()).collect();
    let mounts = sandbox.mounts().map(|mount| Mount {
        typ: Some(MountType::BIND),
        source: Some(mount.source.to_string()),
        target: Some(mount.target.to_string()),
        read_only: Some(!mount.writable),
        ..Mount::default()
    });
    // What the tree's root makes belongs to whoever runs this, as in bubblewrap.
    let (user, group) = match sandbox.user {
        User::Root => (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        ),
        User::Id(id) => (id, id),
    };
    let capabilities: &[&str] = if user == 0 { &ROOT_CAPABILITIES } else { &[] };
    let capabilities = capabilities.iter().map(|name| (*name).to_owned());
    let temporary = [("/run", "exec"), ("/tmp", "exec,mode=1777")];
    let host = HostConfig {
        mounts: Some(mounts.collect()),
        readonly_rootfs: Some(!sandbox.root_is_writable),
        tmpfs: Some(HashMap::from(
            temporary.map(|(folder, options)| (folder.to_owned(), options.to_owned())),
        )),
        network_mode: Some("none".to_owned()),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(capabilities.collect()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        readonly_paths: Some(read_only_paths()),
        ..HostConfig::default()
    };
    // The folder as it is called, not where a link leads.
    let folder = [("PWD".to_owned(), sandbox.folder.to_string())];
    let env = sandbox.env.clone().into_iter().chain(folder);
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(Vec::new()),
        cmd: Some(words()),
        env: Some(env.map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: Some(sandbox.folder.to_string()),
        user: Some(format!("{user}:{group}")),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

/// All of /proc that is no process's: what is Docker's own choice, and the files that root could open for writing. What
/// is not there is left out by Docker.
fn read_only_paths() -> Vec<String> {
    let by_docker = ["bus", "fs", "irq", "sys", "sysrq-trigger"].map(str::to_owned);
    let mut names: BTreeSet<String> = by_docker.into();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if !is_link && name.parse::<u32>().is_err() {
            names.insert(name);
        }
    }
    names.iter().map(|name| format!("/proc/{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_gets_what_the_sandbox_says_and_nothing_else() {
        let sandbox = Sandbox::of(RootFs::DockerImage("tree".into()))
            .read_only("/one".into(), "/place")
            .writable("/two".into(), "/place")
            .env([("NAME", "value")])
            .folder("/place")
            .user(User::Id(7));
        let body = body(&sandbox, "tree", &["go", "version"]);
        assert_eq!(
            body.env,
            Some(vec!["NAME=value".to_owned(), "PWD=/place".to_owned()])
        );
        assert_eq!(body.user.as_deref(), Some("7:7"));
        let host = body.host_config.unwrap();
        let mounts = host.mounts.unwrap();
        assert_eq!(mounts.len(), 1);
        assert_eq!(mounts[0].source.as_deref(), Some("/two"));
        assert_eq!(mounts[0].read_only, Some(false));
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(host.readonly_rootfs, Some(true));
    }

    #[test]
    fn no_container_has_rights_that_mount_or_make_devices() {
        for user in [User::Root, User::Id(7)] {
            let sandbox = Sandbox::of(RootFs::DockerImage("tree".into())).user(user);
            let host = body(&sandbox, "tree", &["go"]).host_config.unwrap();
            assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
            assert_eq!(
                host.security_opt,
                Some(vec!["no-new-privileges".to_owned()])
            );
            let is_root = user == User::Root && nix::unistd::geteuid().is_root();
            let added: &[&str] = if is_root { &["CAP_DAC_OVERRIDE"] } else { &[] };
            assert_eq!(host.cap_add.unwrap(), added);
            assert_ne!(host.privileged, Some(true));
            let read_only = host.readonly_paths.unwrap();
            for path in ["/proc/sys", "/proc/sysrq-trigger", "/proc/cpuinfo"] {
                assert!(read_only.iter().any(|it| it == path), "{path}");
            }
            assert!(!read_only.iter().any(|it| it == "/proc/self"));
        }
    }
}
