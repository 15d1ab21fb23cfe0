//! D26: more connections than there are places, from one address and from many.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use countersign_server::{MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS};

use crate::live::{Live, repository};

/// What keeps a connection open, and its answer.
const REQUEST: &[u8] = b"GET /metadata/timestamp.json HTTP/1.1\r\nhost: x\r\n\r\n";

/// Connects from `127.0.0.last`.
fn connect(live: &Live, last: u8) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let server: SocketAddr = live.url.trim_start_matches("http://").parse().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
        socket.connect(server).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Makes a request and leaves the connection open; whether it was answered.
fn ask(stream: &mut TcpStream) -> bool {
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    if stream.write_all(REQUEST).is_err() {
        return false;
    }
    while !answer.ends_with(b"{}") {
        match stream.read(&mut part) {
            Ok(count) if count > 0 => answer.extend_from_slice(&part[..count]),
            _ => return false,
        }
    }
    answer.starts_with(b"HTTP/1.1 200 ")
}

/// Whether the server has closed it.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let closed =
        !matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    closed
}

#[test]
fn d26_an_address_that_keeps_520_connections_open_shuts_nobody_out() {
    let (_folder, root) = repository();
    let live = Live::repository(&root);
    let mut crowd: Vec<TcpStream> = (0..520)
        .map(|_| {
            let mut stream = connect(&live, 1);
            assert!(ask(&mut stream));
            stream
        })
        .collect();
    let mut honest = connect(&live, 2);
    assert!(ask(&mut honest), "another address is served at once");
    let closed = crowd.iter_mut().map(is_closed).collect::<Vec<_>>();
    let (old, new) = closed.split_at(520 - MAX_CONNECTIONS_PER_ADDRESS);
    assert!(old.iter().all(|closed| *closed), "the longest idle have gone");
    assert!(new.iter().all(|closed| !closed), "as many as an address can have have stayed");
    assert!(ask(crowd.last_mut().unwrap()));
    drop(crowd);
    live.stop().unwrap();
}

#[test]
fn d26_a_crowd_of_idle_connections_from_everywhere_gives_way() {
    let (_folder, root) = repository();
    let live = Live::repository(&root);
    let mut crowd: Vec<TcpStream> = (0..MAX_CONNECTIONS)
        .map(|number| {
            let mut stream = connect(&live, 10 + u8::try_from(number / MAX_CONNECTIONS_PER_ADDRESS).unwrap());
            assert!(ask(&mut stream));
            stream
        })
        .collect();
    assert!(!crowd.iter_mut().any(is_closed), "there is a place for each");
    // The first has just asked again, so the second has been idle longest.
    assert!(ask(&mut crowd[0]));
    let mut next = connect(&live, 2);
    assert!(ask(&mut next));
    assert!(is_closed(&mut crowd[1]));
    assert!(!crowd.iter_mut().skip(2).any(is_closed) && ask(&mut crowd[0]));
    drop(crowd);
    live.stop().unwrap();
}

#[test]
fn d26_requests_under_way_do_not_give_way() {
    let (_folder, root) = repository();
    let live = Live::repository(&root);
    let mut begun: Vec<TcpStream> = (0..MAX_CONNECTIONS_PER_ADDRESS)
        .map(|_| {
            let mut stream = connect(&live, 1);
            stream.write_all(&REQUEST[..20]).unwrap();
            stream
        })
        .collect();
    // By the answer to another address the server has read what came before.
    let mut honest = connect(&live, 2);
    assert!(ask(&mut honest));
    let mut one_more = connect(&live, 1);
    assert!(!ask(&mut one_more), "its address has no place left");
    for stream in &mut begun {
        stream.write_all(&REQUEST[20..]).unwrap();
    }
    let mut head = [0; 12];
    for stream in &mut begun {
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
    }
    drop(begun);
    live.stop().unwrap();
}
