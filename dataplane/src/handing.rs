//! File descriptors that go from one process to another over a Unix stream socket (`SCM_RIGHTS`, unix(7)), in groups.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// Descriptors in one message. The kernel takes 253.
const MOST: usize = 250;

/// Begins each message: how many groups are left with this one, and whether the next message goes on with this one.
type Head = [u8; 3];

/// Hands groups of descriptors over. The other side has to take them before anything else that is written to the
/// stream.
///
/// # Errors
/// The error of the system: the other side has gone, or too many descriptors are under way (`ETOOMANYREFS`).
pub fn hand_over(to: impl AsFd, groups: &[Vec<BorrowedFd<'_>>]) -> io::Result<()> {
    let mut left = u16::try_from(groups.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    if groups.is_empty() {
        return send_with(&to, &head(0, false), &[], SendFlags::empty());
    }
    for group in groups {
        let mut rest = group.as_slice();
        loop {
            let (now, later) = rest.split_at(rest.len().min(MOST));
            rest = later;
            send_with(&to, &head(left, !rest.is_empty()), now, SendFlags::empty())?;
            if rest.is_empty() {
                break;
            }
        }
        left -= 1;
    }
    Ok(())
}

/// Takes what [`hand_over`] has handed over.
///
/// # Errors
/// The error of the system, or that something else was sent.
pub fn take_over(from: impl AsFd) -> io::Result<Vec<Vec<OwnedFd>>> {
    let mut groups = Vec::new();
    let mut group = Vec::new();
    loop {
        let mut head: Head = [0; 3];
        let length = receive_with(&from, &mut head, &mut group, RecvFlags::empty())?;
        if length != head.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let [low, high, goes_on] = head;
        let left = u16::from_le_bytes([low, high]);
        if left == 0 {
            return Ok(groups);
        }
        if goes_on == 0 {
            groups.push(std::mem::take(&mut group));
            if left == 1 {
                return Ok(groups);
            }
        }
    }
}

fn head(left: u16, goes_on: bool) -> Head {
    let [low, high] = left.to_le_bytes();
    [low, high, u8::from(goes_on)]
}

/// Sends bytes and descriptors in one message.
pub(crate) fn send_with(
    to: &impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent =
        rustix::io::retry_on_intr(|| sendmsg(to, &[IoSlice::new(bytes)], &mut control, flags | SendFlags::NOSIGNAL))?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives one message; its descriptors are added to `descriptors`. Returns how many bytes there were; 0 if the other
/// side has closed.
pub(crate) fn receive_with(
    from: &impl AsFd,
    bytes: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
    flags: RecvFlags,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(from, &mut [IoSliceMut::new(bytes)], &mut control, flags | RecvFlags::CMSG_CLOEXEC)
    })?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    // The process has no descriptor left for some of them.
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("not all file descriptors could be taken over: too many are open"));
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn groups_of_any_size_arrive_before_what_is_written_after_them() {
        let (mut ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        let zero = std::fs::File::open("/dev/zero").expect("a file");
        for sizes in [vec![], vec![0], vec![1, 0, 3], vec![MOST, 2 * MOST + 1]] {
            let groups: Vec<_> = sizes.iter().map(|size| vec![zero.as_fd(); *size]).collect();
            hand_over(&ours, &groups).expect("room");
            ours.write_all(b"a line\n").expect("room");
            let taken = take_over(&theirs).expect("all of it");
            assert_eq!(taken.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
            let mut line = [0; 7];
            theirs.read_exact(&mut line).expect("a line");
            assert_eq!(&line, b"a line\n");
            for fd in taken.into_iter().flatten() {
                std::fs::File::from(fd).read_exact(&mut [1]).expect("zeros");
            }
        }
        drop(ours);
        take_over(&theirs).expect_err("nothing comes");
    }
}
