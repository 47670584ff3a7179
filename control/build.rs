//! Names the revision of the sources, so that `--version` tells one build from another.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=CORECAST_REVISION");
    // A package that is built without a repository names it by the environment.
    let revision = std::env::var("CORECAST_REVISION").ok().or_else(|| {
        // Grows with every commit, whatever the branch.
        println!("cargo::rerun-if-changed={}/logs/HEAD", git(&["rev-parse", "--absolute-git-dir"])?);
        git(&["rev-parse", "--short=12", "HEAD"])
    });
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let version = revision.map_or_else(|| version.clone(), |revision| format!("{version} ({revision})"));
    println!("cargo::rustc-env=CORECAST_VERSION={version}");
}

/// What git answers; none where it, or a repository, is missing.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
