//! What a client says first, looked at where it lies: in the kernel's buffer.
//!
//! HTTP and TLS hold tens of kilobytes for a connection from its beginning. So a connection gets neither before a whole
//! head of a request (RFC 9112 section 2.1), or a whole ClientHello (RFC 8446 section 4.1.2), lies there; until then it
//! costs a task and a socket.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// First byte of a TLS connection: the content type of a handshake record (RFC 8446 section 5.1).
pub(super) const TLS_HANDSHAKE: u8 = 22;
/// Type of a ClientHello among handshake messages (RFC 8446 section 4).
const CLIENT_HELLO: u8 = 1;
/// Looks at what has come that follow each other without a pause, and the pause after each further one: a head that
/// comes byte by byte is not looked through for each byte.
const FREE_LOOKS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(20);

/// What lies in the kernel's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    /// It begins as TLS does.
    pub(super) is_tls: bool,
    /// Otherwise it is longer than any may be, or the client sends no more.
    pub(super) is_whole: bool,
}

/// Waits for a head or, where TLS is spoken, a hello of at most `N` bytes. Bounds no time.
pub(super) async fn arrives<const N: usize>(stream: &TcpStream, speaks_tls: bool) -> io::Result<First> {
    let mut looks = 0;
    loop {
        let has_ended = stream.ready(Interest::READABLE).await?.is_read_closed();
        // An answer that it would block makes the runtime wait until more has come.
        let seen = stream.try_io(Interest::READABLE, || {
            let mut bytes = [0; N];
            let length = recv(stream.as_raw_fd(), &mut bytes, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)?;
            let bytes = &bytes[..length];
            let is_tls = speaks_tls && bytes.first() == Some(&TLS_HANDSHAKE);
            let is_whole = if is_tls { is_whole_hello(bytes) } else { is_whole_head(bytes) };
            let is_over = is_whole || has_ended || length == 0 || length == N;
            if is_over { Ok(First { is_tls, is_whole }) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        match seen {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            seen => return seen,
        }
        looks += 1;
        if looks > FREE_LOOKS {
            sleep(PAUSE).await;
        }
    }
}

/// Takes out what lies there. Otherwise the end of the connection would be a reset (RFC 9293 section 3.10.4).
pub(super) fn forget<const N: usize>(stream: &TcpStream) {
    // Not the runtime's, which knows of nothing new.
    let _ = recv(stream.as_raw_fd(), &mut [0; N], MsgFlags::MSG_DONTWAIT);
}

/// Whether an empty line ends the head, after those that may come before it (RFC 9112 section 2.2). A line may end with
/// LF alone, which HTTP's reader takes, too.
fn is_whole_head(bytes: &[u8]) -> bool {
    let begin = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(bytes.len());
    let mut is_empty = false;
    for byte in &bytes[begin..] {
        match byte {
            b'\n' if is_empty => return true,
            b'\n' => is_empty = true,
            b'\r' => {}
            _ => is_empty = false,
        }
    }
    false
}

/// Whether the records hold a whole ClientHello, or something that will never be one.
fn is_whole_hello(mut bytes: &[u8]) -> bool {
    let (mut head, mut length) = (Vec::with_capacity(4), 0);
    while let Some((&[kind, _, _, high, low], rest)) = bytes.split_first_chunk() {
        let of_record = usize::from(u16::from_be_bytes([high, low]));
        if kind != TLS_HANDSHAKE || of_record == 0 {
            return true;
        }
        let Some((part, next)) = rest.split_at_checked(of_record) else { return false };
        head.extend(part.iter().take(4 - head.len()));
        length += of_record;
        match head[..] {
            [CLIENT_HELLO, a, b, c] if length >= 4 + u32::from_be_bytes([0, a, b, c]) as usize => return true,
            [CLIENT_HELLO, ..] => bytes = next,
            _ => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line_however_lines_end() {
        for (text, wanted) in [
            ("", false),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
            ("GET / HTTP/1.1\nHost: x\n\n", true),
            ("GET / HTTP/1.1\r\nHost: x\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\nbody", true),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", true),
            ("\r\n\r\n\r\n", false),
            ("\r\n\r\nGET / HTTP/1.1\r\n", false),
            ("GET / HTTP/1.1\r\nHost: x\r\n", false),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r", false),
        ] {
            assert_eq!(is_whole_head(text.as_bytes()), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_hello_is_whole_when_its_last_record_is() {
        let record = |bytes: &[u8]| [&[22, 3, 1, 0, u8::try_from(bytes.len()).expect("short")], bytes].concat();
        let hello = [&[1, 0, 0, 60][..], &[7; 60]].concat();
        for cut in [1, 3, 4, 5, 40, 64] {
            let (one, other) = hello.split_at(cut);
            let bytes = match other {
                [] => record(one),
                _ => [record(one), record(other)].concat(),
            };
            assert!(is_whole_hello(&bytes), "{cut}");
            for length in 0..bytes.len() {
                assert!(!is_whole_hello(&bytes[..length]), "{length} bytes, cut at {cut}");
            }
        }
        for never in
            [&b"\x16\x03\x01\x00\x00"[..], &record(&[2, 0, 0, 60]), &[record(&hello[..9]), vec![23; 9]].concat()]
        {
            assert!(is_whole_hello(never), "{never:?}");
        }
    }
}
