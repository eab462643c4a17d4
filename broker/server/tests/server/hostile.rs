//! Clients that mean no good, or know no better. After each of them the broker serves others.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::ApiVersionsRequest;
use mainstem_server::{Embedded, EmbeddedOptions};

use crate::client::{Client, read_frame};

fn is_healthy(broker: &Embedded) {
    let response = Client::connect(&broker.bootstrap()).call(&ApiVersionsRequest::default(), 0);
    assert_eq!(response.error_code, ErrorCode::NONE);
}

/// Sends bytes and says whether the broker closed the connection without an answer.
fn is_closed_after(broker: &Embedded, bytes: &[u8]) -> bool {
    let mut client = Client::connect(&broker.bootstrap());
    client.stream.write_all(bytes).expect("send");
    match client.stream.read(&mut [0; 16]) {
        Ok(0) => true,
        Ok(_) => false,
        // Closed while bytes of ours were still unread.
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn impossible_frames_close_their_connection_only() {
    let broker = Embedded::start().expect("start");
    let bystander = &mut Client::connect(&broker.bootstrap());
    bystander.call(&ApiVersionsRequest::default(), 0);
    let cases: [(&str, &[u8]); 6] = [
        ("a negative length", &(-1_i32).to_be_bytes()),
        ("the smallest length", &i32::MIN.to_be_bytes()),
        ("a length beyond the limit", &i32::MAX.to_be_bytes()),
        ("an empty frame", &0_i32.to_be_bytes()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a frame too short for a header", &[0, 0, 0, 3, 1, 2, 3]),
    ];
    for (name, bytes) in cases {
        assert!(is_closed_after(&broker, bytes), "{name}");
        is_healthy(&broker);
    }
    bystander.call(&ApiVersionsRequest::default(), 0);
}

#[test]
fn garbage_within_good_frames_does_no_harm() {
    let broker = Embedded::start().expect("start");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for api_key in 0..100_i16 {
        for version in [-1, 0, 1, 5, 12, 99_i16] {
            let mut frame = Vec::new();
            frame.extend_from_slice(&api_key.to_be_bytes());
            frame.extend_from_slice(&version.to_be_bytes());
            frame.extend_from_slice(&7_i32.to_be_bytes());
            frame.extend_from_slice(&(-1_i16).to_be_bytes());
            for _ in 0..random() % 64 {
                frame.push(random() as u8);
            }
            let mut client = Client::connect(&broker.bootstrap());
            let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
            bytes.extend_from_slice(&frame);
            client.stream.write_all(&bytes).expect("send");
            // Whether the broker answers, waits or closes is its choice.
            client.stream.shutdown(Shutdown::Write).expect("shut down");
        }
    }
    is_healthy(&broker);
}

#[test]
fn an_unknown_version_is_told_what_is_known() {
    let broker = Embedded::start().expect("start");
    let mut client = Client::connect(&broker.bootstrap());
    // ApiVersions 99 with a header of its own kind; the answer comes in version 0.
    client.stream.write_all(&[0, 0, 0, 11, 0, 18, 0, 99, 0, 0, 0, 9, 255, 255, 0]).expect("send");
    let frame = read_frame(&mut client.stream).expect("an answer");
    assert_eq!(frame[..4], 9_i32.to_be_bytes());
    assert_eq!(frame[4..6], ErrorCode::UNSUPPORTED_VERSION.0.to_be_bytes());
    // The same connection goes on.
    let response = client.call(&ApiVersionsRequest::default(), 0);
    assert_eq!(response.error_code, ErrorCode::NONE);
}

/// A hundred clients that announce a hundred megabytes each and send half a header.
#[test]
fn half_frames_hold_neither_memory_nor_the_shard() {
    let broker = Embedded::start().expect("start");
    let slow: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(broker.bootstrap()).expect("connect");
            stream.write_all(&100_000_000_i32.to_be_bytes()).expect("send");
            stream.write_all(&[0, 18]).expect("send");
            stream
        })
        .collect();
    is_healthy(&broker);
    drop(slow);
    is_healthy(&broker);
}

/// Unfinished frames of all clients together have a limit. Whoever is in the middle of one when it is
/// reached waits, and is served when the others have finished theirs or are gone.
#[test]
fn unfinished_frames_share_a_budget() {
    const VALUE_BYTES: usize = 600_000;
    let properties = [("queued.max.request.bytes".to_owned(), "1000000".to_owned())].into();
    let options = EmbeddedOptions { properties, shards: 1, ..Default::default() };
    let broker = Embedded::start_with(options).expect("start");
    Client::connect(&broker.bootstrap()).create("large");
    let value = vec![7_u8; VALUE_BYTES];
    let mut halves = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect(&broker.bootstrap());
        let (id, frame) = client.produce_frame("large", &[&value]);
        // The socket takes what the broker does not read yet.
        client.stream.set_nonblocking(true).expect("set nonblocking");
        let sent = client.stream.write(&frame[..VALUE_BYTES / 2]).expect("the first half");
        client.stream.set_nonblocking(false).expect("set blocking");
        halves.push((client, id, frame.slice(sent..)));
    }
    is_healthy(&broker);
    // One is gone for ever; the others go on in the order that suits the broker least.
    halves.remove(0);
    let writers: Vec<_> = halves
        .into_iter()
        .rev()
        .map(|(mut client, id, rest)| {
            std::thread::spawn(move || {
                client.stream.write_all(&rest).expect("the other half");
                client.receive_produced(id).expect("appended")
            })
        })
        .collect();
    let offsets = writers.into_iter().map(|writer| writer.join().expect("a writer"));
    assert_eq!(offsets.collect::<BTreeSet<i64>>(), (0..4).collect());
}

#[test]
fn a_client_that_does_not_read_stops_nobody() {
    let broker = Embedded::start().expect("start");
    let mut deaf = Client::connect(&broker.bootstrap());
    deaf.create("large");
    let value = vec![7_u8; 512 * 1024];
    deaf.produce("large", &[&value]).expect("produce");
    // Far more than the sockets hold; nothing of it is read.
    deaf.stream.set_nonblocking(true).expect("set nonblocking");
    let request = mainstem_protocol::frame::encode_request(
        &ApiVersionsRequest::default(),
        0,
        1,
        Some("deaf"),
    )
    .expect("encode");
    let mut sent = 0;
    while sent < 64 * 1024 * 1024 {
        match deaf.stream.write(&request) {
            Ok(size) => sent += size,
            // The broker has stopped reading, as it should.
            Err(_) => break,
        }
    }
    is_healthy(&broker);
    assert_eq!(Client::connect(&broker.bootstrap()).fetch("large", 0), [value]);
}

#[test]
fn connections_beyond_the_limit_are_closed() {
    for key in ["max.connections", "max.connections.per.ip"] {
        beyond_three_connections(key);
    }
}

fn beyond_three_connections(key: &str) {
    let properties = [(key.to_owned(), "3".to_owned())].into();
    let broker = Embedded::start_with(EmbeddedOptions { properties, ..Default::default() });
    let broker = broker.expect("start");
    let mut kept: Vec<Client> = (0..3).map(|_| Client::connect(&broker.bootstrap())).collect();
    for client in &mut kept {
        client.call(&ApiVersionsRequest::default(), 0);
    }
    assert!(is_closed_after(&broker, &[]), "the fourth");
    drop(kept);
    // The places come free when the broker sees the end of the first three.
    let mut answered = false;
    for _ in 0..10_000 {
        let mut client = Client::connect(&broker.bootstrap());
        client.send(&ApiVersionsRequest::default(), 0);
        answered = read_frame(&mut client.stream).is_ok();
        if answered {
            break;
        }
    }
    assert!(answered, "places come free again");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let options = EmbeddedOptions { shards: 3, ..Default::default() };
    let broker = Embedded::start_with(options).expect("start");
    let mut client = Client::connect(&broker.bootstrap());
    client.create("ordered");
    let ids: Vec<i32> = (0..500)
        .map(|number: i32| client.send_produce("ordered", &[&number.to_be_bytes()]))
        .collect();
    for (number, id) in ids.into_iter().enumerate() {
        assert_eq!(client.receive_produced(id), Ok(number as i64));
    }
    let values = client.fetch("ordered", 0);
    let expected: Vec<Vec<u8>> = (0..500_i32).map(|n| n.to_be_bytes().to_vec()).collect();
    assert_eq!(values, expected);
}
