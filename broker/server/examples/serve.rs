//! The smallest server: settings as `key=value` arguments, addresses on standard output.
//!
//! ```text
//! cargo run -p mainstem-server --example serve -- listeners=127.0.0.1:0 log.dir=/tmp/broker
//! ```

use std::io::Write;

use mainstem_server::{Server, ServerConfig, ServerError};

fn main() -> Result<(), ServerError> {
    let arguments = std::env::args().skip(1).map(|argument| {
        let (key, value) = argument.split_once('=').unwrap_or((&argument, ""));
        (key.to_owned(), value.to_owned())
    });
    let server = Server::start(ServerConfig::from_properties(arguments)?)?;
    // Nobody to read the addresses is no reason to stop.
    let _ = writeln!(std::io::stdout(), "kafka {}", server.kafka_address());
    for (name, address) in
        [("registry", server.registry_address()), ("metrics", server.metrics_address())]
    {
        if let Some(address) = address {
            let _ = writeln!(std::io::stdout(), "{name} http://{address}");
        }
    }
    server.wait()
}
