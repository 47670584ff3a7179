//! Files, TCP, and processes outside, by Landlock: what a thread may still open, connect to and send signals to.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
    Scope, path_beneath_rules,
};
use nix::sys::resource::{Resource, getrlimit};

use super::Part;

/// What is asked for. An older kernel does a part of it.
const WANTED: ABI = ABI::V6;
/// Read by every part: its core's times, the machine's cores (glommio), and what a backtrace is made of. Whole file
/// systems, because a file of `/proc` is another one whenever it is looked up again.
const READABLE: [&str; 3] = ["/proc", "/sys", "/usr"];
/// Read by who looks up names of hosts and checks certificates of others. Folders, because such files are replaced.
const READABLE_BY_SERVER: [&str; 2] = ["/etc", "/run"];
/// Where the library of certificates may have been told to look.
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Closes everything to the calling thread but what its part needs.
///
/// # Errors
/// A sentence about what this kernel cannot do of it.
pub(super) fn close(part: Part) -> Result<(), String> {
    if part == Part::Supervisor {
        // It starts a new program from wherever the settings are by then, and sixteen upgrades would be all that there
        // is room for: each would add a layer to those of its own past.
        return Ok(());
    }
    let status = restrict(part).map_err(|error| format!("the sandbox is incomplete: Landlock: {error}"))?;
    match status {
        RulesetStatus::FullyEnforced => Ok(()),
        RulesetStatus::PartiallyEnforced => {
            Err("the sandbox is incomplete: this kernel's Landlock is a part of what Linux 6.12 has".into())
        }
        RulesetStatus::NotEnforced => {
            Err("the sandbox is incomplete: this kernel has no Landlock, so files are not closed to workers".into())
        }
    }
}

fn restrict(part: Part) -> Result<RulesetStatus, RulesetError> {
    let net: BitFlags<AccessNet> = match part {
        Part::Starting { listens: true } => AccessNet::ConnectTcp.into(),
        Part::Server { connects: true } => AccessNet::BindTcp.into(),
        _ => AccessNet::ConnectTcp | AccessNet::BindTcp,
    };
    let program = std::env::current_exe().ok();
    let mut readable: Vec<_> = READABLE.map(PathBuf::from).into_iter().chain(program).collect();
    if matches!(part, Part::Server { .. }) {
        readable.extend(READABLE_BY_SERVER.map(PathBuf::from));
        readable.extend(CERTIFICATES.into_iter().filter_map(std::env::var_os).map(PathBuf::from));
    }
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(net)?
        .scope(Scope::from_all(WANTED))?
        .create()?
        .add_rules(path_beneath_rules(readable, AccessFs::ReadFile | AccessFs::ReadDir))?
        .add_rules(path_beneath_rules(cores(), AccessFs::MakeReg | AccessFs::WriteFile | AccessFs::Truncate))?
        .restrict_self()?;
    Ok(restricted.ruleset)
}

/// The folder that the kernel writes core dumps to in the name of the process, if the operator wants any there.
fn cores() -> Option<PathBuf> {
    let (limit, _) = getrlimit(Resource::RLIMIT_CORE).ok()?;
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").ok()?;
    if limit == 0 { None } else { folder(pattern.trim()) }
}

/// The folder of a pattern: a path, `|PROGRAM`, or `@SOCKET`.
fn folder(pattern: &str) -> Option<PathBuf> {
    if pattern.is_empty() || pattern.starts_with(['|', '@']) {
        return None;
    }
    // What stands before the first that is filled in.
    let fixed = pattern.split('%').next().unwrap_or_default();
    let folder = fixed.rsplit_once('/').map(|(folder, _)| if folder.is_empty() { "/" } else { folder });
    folder.map_or_else(|| std::env::current_dir().ok(), |folder| Some(Path::new(folder).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_core_dumps_is_what_the_pattern_says() {
        for (pattern, wanted) in [
            ("|/usr/lib/systemd/systemd-coredump %P", None),
            ("@/run/coredump", None),
            ("", None),
            ("/var/crash/core.%p", Some("/var/crash")),
            ("/var/crash/%e/core", Some("/var/crash")),
            ("/core", Some("/")),
        ] {
            assert_eq!(folder(pattern), wanted.map(PathBuf::from), "{pattern}");
        }
        assert_eq!(folder("core"), std::env::current_dir().ok());
    }
}
