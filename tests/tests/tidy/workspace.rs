//! The workspace's files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is inside the workspace").to_path_buf()
}

/// Every file that is ours, relative to the root, sorted.
pub(crate) fn files() -> Vec<String> {
    fn walk(dir: &Path, root: &Path, found: &mut Vec<String>) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // The last two are copies of crates that are not ours.
            let skip = ["target", "corpus", "artifacts", "coverage", "node_modules", ".git", "dcsctp", "dimpl"];
            if skip.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                walk(&path, root, found)?;
            } else {
                found.push(path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned());
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(&root(), &root(), &mut found).expect("the sources can be read");
    found.sort();
    found
}

pub(crate) fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Path and text of every file with Rust code.
pub(crate) fn rust_files() -> BTreeMap<String, String> {
    files().into_iter().filter(|file| file.ends_with(".rs")).map(|file| (file.clone(), read(&file))).collect()
}

pub(crate) fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}
