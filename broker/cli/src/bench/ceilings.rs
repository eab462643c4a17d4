//! The machine without a broker: what no broker can pass, and what none can go below.
//!
//! - `relay`: one thread receives over loopback and appends to one file in the page cache, the least
//!   that a broker does with a record. Ceiling of appends; its thread's CPU time for a gigabyte is
//!   their floor.
//! - `durable write`: a file written and synced once at its end: ceiling of synced appends.
//! - `sendfile`: a file in the page cache goes over loopback without being copied: ceiling of reads,
//!   and again the floor of their CPU time.
//! - `page cache write`, `loopback`, `crc32c`: the parts of these, to see which one is the narrow one.
//! - `round trip`, `synced write`: a few bytes to another thread and back, one page to the disk:
//!   floors of times.
//!
//! Each is measured [`ROUNDS`] times and the best is taken: other work on the machine only slows.

use rustix::fs::sendfile;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::arguments::Machine;
use super::report::{Ceiling, Report, Unit};
use crate::failure::Failure;

const ROUNDS: usize = 3;
const CHUNK_BYTES: usize = 1 << 20;
const PAGE_BYTES: usize = 4096;
/// Repetitions of the short ones in a round.
const ROUND_TRIPS: u32 = 2_000;
const SYNCED_WRITES: u32 = 50;
/// A socket that nobody serves must not hold the command up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures on request; each ceiling takes a few tenths of a second.
pub(crate) struct Ceilings {
    scratch: PathBuf,
    bytes: usize,
}

/// What moving bytes took.
#[derive(Clone, Copy)]
struct Moved {
    took: Duration,
    /// CPU time of the thread that stands for the broker.
    cpu: Duration,
}

/// Rate and CPU cost of the same movement.
#[derive(Clone, Copy)]
pub(crate) struct Movement {
    pub(crate) rate: Ceiling,
    pub(crate) cpu: Ceiling,
}

/// `mainstem bench ceilings`.
pub(super) fn run(machine: &Machine) -> Result<Report, Failure> {
    let ceilings = Ceilings::new(machine);
    let mut report = Report::default();
    ceilings.describe(&mut report);
    for movement in [ceilings.relay()?, ceilings.sendfile()?] {
        report.ceiling(movement.rate);
        report.ceiling(movement.cpu);
    }
    report.ceiling(ceilings.page_cache_write()?);
    report.ceiling(ceilings.durable_write()?);
    report.ceiling(ceilings.loopback()?);
    report.ceiling(ceilings.crc32c());
    report.ceiling(ceilings.round_trip()?);
    report.ceiling(ceilings.synced_write()?);
    Ok(report)
}

impl Ceilings {
    pub(crate) fn new(machine: &Machine) -> Ceilings {
        let scratch = machine.scratch.clone().unwrap_or_else(std::env::temp_dir);
        Ceilings { scratch, bytes: (machine.ceiling_mib as usize) << 20 }
    }

    /// States where and with how much was measured.
    pub(crate) fn describe(&self, report: &mut Report) {
        report.setting("ceilings measured in", self.scratch.display().to_string());
        report.setting("ceiling bytes", self.bytes as u64);
    }

    pub(crate) fn relay(&self) -> Result<Movement, Failure> {
        let moved = best(|| {
            let (directory, mut file) = self.file()?;
            let (mut input, sender) = sending(self.bytes)?;
            let mut buffer = vec![0; CHUNK_BYTES];
            let moved = moving(|| {
                loop {
                    match input.read(&mut buffer)? {
                        0 => return Ok(()),
                        count => file.write_all(&buffer[..count])?,
                    }
                }
            })?;
            join(sender)?;
            drop(directory);
            Ok(moved)
        })?;
        Ok(self.movement(moved, "relay", "relay CPU"))
    }

    pub(crate) fn sendfile(&self) -> Result<Movement, Failure> {
        let (_directory, file) = self.filled_file()?;
        let moved = best(|| {
            let (output, receiver) = receiving()?;
            let moved = moving(|| {
                let mut offset = 0;
                while offset < self.bytes as u64 {
                    if sendfile(&output, &file, Some(&mut offset), CHUNK_BYTES)? == 0 {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                }
                output.shutdown(std::net::Shutdown::Write)
            })?;
            join(receiver)?;
            Ok(moved)
        })?;
        Ok(self.movement(moved, "sendfile", "sendfile CPU"))
    }

    fn movement(&self, moved: Moved, rate: &'static str, cpu: &'static str) -> Movement {
        let gigabytes = self.bytes as f64 / 1e9;
        Movement {
            rate: self.rate(rate, moved),
            cpu: Ceiling {
                name: cpu,
                value: moved.cpu.as_secs_f64() / gigabytes,
                unit: Unit::CpuSecondsPerGigabyte,
            },
        }
    }

    fn rate(&self, name: &'static str, moved: Moved) -> Ceiling {
        let value = self.bytes as f64 / 1e6 / moved.took.as_secs_f64();
        Ceiling { name, value, unit: Unit::MegabytesPerSecond }
    }

    pub(crate) fn durable_write(&self) -> Result<Ceiling, Failure> {
        let moved = best(|| {
            let (_directory, mut file) = self.file()?;
            moving(|| {
                fill(&mut file, self.bytes)?;
                file.sync_data()
            })
        })?;
        Ok(self.rate("durable write", moved))
    }

    fn page_cache_write(&self) -> Result<Ceiling, Failure> {
        let moved = best(|| {
            let (_directory, mut file) = self.file()?;
            moving(|| fill(&mut file, self.bytes))
        })?;
        Ok(self.rate("page cache write", moved))
    }

    fn loopback(&self) -> Result<Ceiling, Failure> {
        let moved = best(|| {
            let (mut output, receiver) = receiving()?;
            let moved = moving(|| {
                fill(&mut output, self.bytes)?;
                output.shutdown(std::net::Shutdown::Write)
            })?;
            join(receiver)?;
            Ok(moved)
        })?;
        Ok(self.rate("loopback", moved))
    }

    fn crc32c(&self) -> Ceiling {
        let chunk = vec![b'x'; CHUNK_BYTES];
        let mut fastest = Duration::MAX;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            for _ in 0..self.bytes / CHUNK_BYTES {
                std::hint::black_box(crc32c::crc32c(std::hint::black_box(&chunk)));
            }
            fastest = fastest.min(begun.elapsed());
        }
        self.rate("crc32c", Moved { took: fastest, cpu: fastest })
    }

    /// A few bytes to another thread and back.
    pub(crate) fn round_trip(&self) -> Result<Ceiling, Failure> {
        const MESSAGE: [u8; 64] = [b'x'; 64];
        let moved = best(|| {
            let (mut near, mut far) = pair()?;
            let echo = std::thread::spawn(move || {
                let mut buffer = MESSAGE;
                while far.read_exact(&mut buffer).is_ok() {
                    far.write_all(&buffer)?;
                }
                Ok(())
            });
            let moved = moving(|| {
                let mut buffer = MESSAGE;
                for _ in 0..ROUND_TRIPS {
                    near.write_all(&MESSAGE)?;
                    near.read_exact(&mut buffer)?;
                }
                Ok(())
            })?;
            drop(near);
            join(echo)?;
            Ok(moved)
        })?;
        Ok(microseconds("round trip", moved, ROUND_TRIPS))
    }

    /// One page, synced.
    pub(crate) fn synced_write(&self) -> Result<Ceiling, Failure> {
        let page = [b'x'; PAGE_BYTES];
        let moved = best(|| {
            let (_directory, mut file) = self.file()?;
            moving(|| {
                for _ in 0..SYNCED_WRITES {
                    file.write_all(&page)?;
                    file.sync_data()?;
                }
                Ok(())
            })
        })?;
        Ok(microseconds("synced write", moved, SYNCED_WRITES))
    }

    /// An empty file; it is removed with the folder.
    fn file(&self) -> Result<(tempfile::TempDir, File), Failure> {
        let wrong = |error| Failure::doing(&self.scratch.display().to_string(), &error);
        let directory = tempfile::tempdir_in(&self.scratch).map_err(wrong)?;
        let path = directory.path().join("ceiling");
        let file = File::options().create_new(true).read(true).write(true).open(path);
        Ok((directory, file.map_err(wrong)?))
    }

    fn filled_file(&self) -> Result<(tempfile::TempDir, File), Failure> {
        let (directory, mut file) = self.file()?;
        fill(&mut file, self.bytes)?;
        Ok((directory, file))
    }
}

fn microseconds(name: &'static str, moved: Moved, count: u32) -> Ceiling {
    let value = moved.took.as_secs_f64() * 1e6 / f64::from(count);
    Ceiling { name, value, unit: Unit::Microseconds }
}

/// The quickest of some rounds.
fn best(mut round: impl FnMut() -> Result<Moved, Failure>) -> Result<Moved, Failure> {
    let mut best = round()?;
    for _ in 1..ROUNDS {
        let moved = round()?;
        best.took = best.took.min(moved.took);
        best.cpu = best.cpu.min(moved.cpu);
    }
    Ok(best)
}

fn moving(work: impl FnOnce() -> std::io::Result<()>) -> Result<Moved, Failure> {
    let (begun, cpu) = (Instant::now(), thread_cpu()?);
    work().map_err(|error| Failure::doing("measure a ceiling", &error))?;
    Ok(Moved { took: begun.elapsed(), cpu: thread_cpu()?.saturating_sub(cpu) })
}

/// CPU time of this thread so far; the first number in its file is nanoseconds.
fn thread_cpu() -> Result<Duration, Failure> {
    let path = "/proc/thread-self/schedstat";
    let text = std::fs::read_to_string(path).map_err(|error| Failure::doing(path, &error))?;
    let nanoseconds = text.split_ascii_whitespace().next().and_then(|text| text.parse().ok());
    nanoseconds
        .map(Duration::from_nanos)
        .ok_or_else(|| Failure::new(format!("{path} has another form than expected")))
}

fn fill(output: &mut impl Write, bytes: usize) -> std::io::Result<()> {
    let chunk = vec![b'x'; CHUNK_BYTES];
    for _ in 0..bytes / CHUNK_BYTES {
        output.write_all(&chunk)?;
    }
    Ok(())
}

type Helper = std::thread::JoinHandle<std::io::Result<()>>;

fn join(helper: Helper) -> Result<(), Failure> {
    match helper.join() {
        Ok(result) => Ok(result?),
        Err(_) => Err(Failure::new("a thread of the measurement panicked")),
    }
}

/// Both ends of a loopback connection.
fn pair() -> Result<(TcpStream, TcpStream), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
    }
    Ok((near, far))
}

/// A stream from which so many bytes can be read.
fn sending(bytes: usize) -> Result<(TcpStream, Helper), Failure> {
    let (near, mut far) = pair()?;
    Ok((near, std::thread::spawn(move || fill(&mut far, bytes))))
}

/// A stream whose other end throws everything away.
fn receiving() -> Result<(TcpStream, Helper), Failure> {
    let (near, mut far) = pair()?;
    let receiver = std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        while far.read(&mut buffer)? > 0 {}
        Ok(())
    });
    Ok((near, receiver))
}
