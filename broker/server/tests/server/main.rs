//! The shell from outside: real sockets, HTTP, and a process that ends without a word.

mod client;
mod faulty_disk;
mod hostile;
mod log_dirs;
mod metrics;
mod registry;
mod restart;
mod versions;
mod web;
