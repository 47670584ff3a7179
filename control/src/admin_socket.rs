//! The socket of the API for operators: bound by the supervisor, so that it outlives servers as that of HTTP does, and
//! found by `corecast ctl`.
//!
//! Who may open a Unix socket may use it: its mode lets the user of the server do so, and root.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};

use crate::settings::AdminListen;

/// The folder of a service that is started by the unit in `control/packaging`.
const SERVICE_FOLDER: &str = "/run/corecast";

/// A socket that listens. Its file goes with it.
#[derive(Debug)]
pub(crate) struct AdminSocket {
    listener: OwnedFd,
    path: Option<PathBuf>,
}

impl AdminSocket {
    /// Binds it. None where there is to be none.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) fn bind(listen: &AdminListen, http_port: u16) -> Result<Option<Self>, String> {
        let failed = |error| format!("cannot listen on admin.listen = {listen}: {error}");
        match listen {
            AdminListen::Off => Ok(None),
            AdminListen::Address(address) => {
                let listener = TcpListener::bind(address.0).map_err(failed)?;
                Ok(Some(Self { listener: listener.into(), path: None }))
            }
            AdminListen::Path(path) => Self::bind_path(path).map(Some).map_err(failed),
            AdminListen::Auto => {
                let mut bound = run_time_folders().map(|folder| Self::bind_path(&folder.join(file_name(http_port))));
                Ok(bound.find_map(Result::ok))
            }
        }
    }

    /// One that another process has bound.
    pub(crate) fn of_parts(listener: OwnedFd, path: Option<PathBuf>) -> Self {
        Self { listener, path }
    }

    /// Its file, if it is a Unix socket.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    fn bind_path(path: &Path) -> io::Result<Self> {
        if is_left_behind(path) {
            fs::remove_file(path)?;
        }
        // Nobody else may open it, not even for the moment until its mode could be changed.
        let before = umask(Mode::S_IRWXG | Mode::S_IRWXO | Mode::S_IXUSR);
        let listener = UnixListener::bind(path);
        umask(before);
        Ok(Self { listener: listener?.into(), path: Some(path.to_owned()) })
    }
}

impl AsFd for AdminSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether a socket is there that nobody listens on: its supervisor was killed.
fn is_left_behind(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|of| of.file_type().is_socket());
    is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// A server for each port of HTTP: several may run here.
fn file_name(http_port: u16) -> String {
    format!("corecast-{http_port}.sock")
}

/// Folders for sockets, as systemd and logins name them; and that of the machine.
fn run_time_folders() -> impl Iterator<Item = PathBuf> {
    let named = |name: &str| std::env::var(name).ok().filter(|folder| !folder.is_empty());
    // The first of several folders of a service.
    let of_service = named("RUNTIME_DIRECTORY").and_then(|list| Some(list.split(':').next()?.to_owned()));
    let folders = [of_service, named("XDG_RUNTIME_DIR"), Some("/run".into())];
    folders.into_iter().flatten().map(PathBuf::from)
}

/// Where a server with these settings may listen: the first of these that is there.
pub(crate) fn find(listen: &AdminListen, http_port: u16) -> Option<AdminListen> {
    if *listen != AdminListen::Auto {
        return Some(listen.clone());
    }
    let folders = [PathBuf::from(SERVICE_FOLDER)].into_iter().chain(run_time_folders());
    let mut paths = folders.map(|folder| folder.join(file_name(http_port)));
    paths.find(|path| path.exists()).map(AdminListen::Path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_socket_is_for_one_user_and_one_that_was_left_behind_is_replaced() {
        let folder = std::env::temp_dir().join(format!("corecast-admin-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("is made");
        let listen = AdminListen::Path(folder.join("socket"));
        let bind = || AdminSocket::bind(&listen, 4_080);
        let first = bind().expect("binds").expect("is wanted");
        let mode = fs::metadata(folder.join("socket")).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let taken = bind().expect_err("is taken");
        assert!(taken.contains("admin.listen") && taken.contains("in use"), "{taken}");
        // As if the process had been killed.
        let kept = folder.join("kept");
        fs::rename(folder.join("socket"), &kept).expect("moves");
        drop(first);
        fs::rename(&kept, folder.join("socket")).expect("moves");
        drop(bind().expect("binds").expect("is wanted"));
        assert!(!folder.join("socket").exists(), "its file goes with it");
        fs::write(folder.join("socket"), "a file of somebody").expect("is written");
        assert!(bind().is_err());
        assert!(folder.join("socket").exists());
        fs::remove_dir_all(&folder).expect("is there");
        assert!(bind().is_err(), "there is no folder");
        assert!(AdminSocket::bind(&AdminListen::Off, 4_080).expect("nothing to bind").is_none());
    }
}
