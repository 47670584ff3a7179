//! How much of the memory is in use: of the machine's, and of what the control groups of this process (a container, a
//! unit with `MemoryMax=`) may have.

use std::fs;
use std::path::{Path, PathBuf};

const GROUPS_FOLDER: &str = "/sys/fs/cgroup";

/// In percent: of the machine or of a control group, whichever has least left. None if the system does not say.
pub(super) fn used_percent() -> Option<f64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|table| of_machine(&table));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    of_groups(&groups, Path::new(GROUPS_FOLDER)).into_iter().chain(machine).reduce(f64::max)
}

/// From `/proc/meminfo`.
fn of_machine(table: &str) -> Option<f64> {
    let kib = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let total = kib("MemTotal").filter(|total| *total > 0.0)?;
    Some(100.0 - 100.0 * kib("MemAvailable")? / total)
}

/// Where a version of control groups tells of memory: limit, use, and what of it can be had back at any time.
struct Version {
    /// What stands between the colons of its line in `/proc/self/cgroup`.
    controller: &'static str,
    folder: &'static str,
    limit: &'static str,
    used: &'static str,
    cached: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version { controller: "", folder: "", limit: "memory.max", used: "memory.current", cached: "inactive_file " },
    Version {
        controller: "memory",
        folder: "memory",
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        cached: "total_inactive_file ",
    },
];

/// The fullest of the groups that `/proc/self/cgroup` names and those that they are in.
fn of_groups(groups: &str, root: &Path) -> Option<f64> {
    let used = VERSIONS.iter().flat_map(|version| {
        let root = root.join(version.folder);
        let folders = version.group(groups, &root).into_iter().flat_map(|folder| up_to(folder, &root));
        folders.filter_map(|folder| version.used_percent(&folder)).collect::<Vec<_>>()
    });
    used.reduce(f64::max)
}

/// A folder and those above it up to this one. What a container does not see of them is not there.
fn up_to(folder: PathBuf, root: &Path) -> Vec<PathBuf> {
    folder.ancestors().take_while(|above| above.starts_with(root)).map(Path::to_owned).collect()
}

impl Version {
    fn group(&self, groups: &str, root: &Path) -> Option<PathBuf> {
        let path = groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            controllers.split(',').any(|controller| controller == self.controller).then_some(path)
        })?;
        Some(root.join(path.trim_start_matches('/')))
    }

    /// None where there is no limit.
    fn used_percent(&self, folder: &Path) -> Option<f64> {
        let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<f64>().ok();
        let limit = number(self.limit).filter(|limit| *limit > 0.0)?;
        let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().find_map(|line| line.strip_prefix(self.cached)?.trim().parse::<f64>().ok());
        Some(100.0 * (number(self.used)? - cached.unwrap_or(0.0)).max(0.0) / limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_in_use_is_what_is_not_available() {
        let table = "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     250 kB\n";
        assert_eq!(of_machine(table), Some(75.0));
        assert_eq!(of_machine("MemTotal: 0 kB\nMemAvailable: 0 kB"), None);
        assert_eq!(of_machine("nonsense"), None);
    }

    #[test]
    fn the_group_that_has_least_left_counts_and_what_is_only_cached_does_not() {
        let root = std::env::temp_dir().join(format!("corecast-groups-{}", std::process::id()));
        let write = |folder: &str, files: &[(&str, &str)]| {
            fs::create_dir_all(root.join(folder)).expect("is made");
            files.iter().for_each(|(file, text)| fs::write(root.join(folder).join(file), text).expect("is written"));
        };
        assert_eq!(of_groups("0::/a/b\n", &root), None, "there are none");
        write("a/b", &[("memory.max", "max\n"), ("memory.current", "900\n")]);
        assert_eq!(of_groups("0::/a/b\n", &root), None, "without a limit");
        write("a", &[("memory.max", "1000\n"), ("memory.current", "900\n"), ("memory.stat", "anon 1\n")]);
        assert_eq!(of_groups("0::/a/b\n", &root), Some(90.0), "that of the group above");
        write("a", &[("memory.stat", "active_file 7\ninactive_file 400\n")]);
        assert_eq!(of_groups("0::/a/b\n", &root), Some(50.0));
        assert_eq!(of_groups("0::/elsewhere\n", &root), None);
        // The older version beside it.
        let unlimited = [("memory.limit_in_bytes", "9223372036854771712"), ("memory.usage_in_bytes", "900")];
        write("memory/c", &unlimited);
        let both = "7:cpuset:/\n4:cpu,memory:/c\n0::/a/b\n";
        assert_eq!(of_groups(both, &root), Some(50.0));
        write("memory", &[("memory.limit_in_bytes", "1000"), ("memory.usage_in_bytes", "930")]);
        write("memory", &[("memory.stat", "inactive_file 500\ntotal_inactive_file 30\n")]);
        assert_eq!(of_groups(both, &root), Some(90.0));
        // Nothing outside of its folder is read.
        assert_eq!(of_groups("0::/../../../etc\n", &root), None);
        fs::remove_dir_all(&root).expect("is removed");
    }
}
