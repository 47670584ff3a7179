//! Somebody whom the server sends requests: requests as they come, each with the answer that it gets.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// A request that came.
pub(super) struct Request {
    /// The lines of its head.
    head: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            if line.trim_end().is_empty() {
                break;
            }
            head.push(line.trim_end().to_owned());
        }
        let mut request = Self { head, body: Vec::new() };
        let length = request.header("content-length")?.parse().ok()?;
        request.body.resize(length, 0);
        reader.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    /// Method and path.
    pub(super) fn begins(&self, with: &str) -> bool {
        self.head.first().is_some_and(|line| line.starts_with(with))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.iter().filter_map(|line| line.split_once(": "));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// Answers each request with the status that its number gets, from 1 on, and tells it.
pub(super) fn serve(
    listener: TcpListener,
    tell: Sender<Request>,
    status: impl Fn(usize) -> &'static str + Send + 'static,
) {
    thread::spawn(move || {
        let mut number = 0;
        for stream in listener.incoming().map_while(Result::ok) {
            // One connection at a time: a URL is sent one request after the other.
            let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
            while let Some(request) = Request::read(&mut reader) {
                number += 1;
                let answered = write!(&stream, "HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n", status(number));
                if tell.send(request).is_err() || answered.is_err() {
                    return;
                }
            }
        }
    });
}

/// The same at an address of its own.
pub(super) fn receive(status: impl Fn(usize) -> &'static str + Send + 'static) -> (SocketAddr, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    let (tell, told) = channel();
    serve(listener, tell, status);
    (address, told)
}
