//! A broker's process as the kernel sees it: CPU time and resident memory, from `/proc`.

use std::time::Duration;

use crate::failure::Failure;

/// CPU time of all threads that the process has and had, in user and kernel mode.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, Failure> {
    let text = read(pid, "stat")?;
    let odd = || Failure::new(format!("/proc/{pid}/stat has another form than expected"));
    // The name stands in brackets and may hold anything; fields are counted behind it.
    let (_, fields) = text.rsplit_once(')').ok_or_else(odd)?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, kernel) = (ticks().ok_or_else(odd)?, ticks().ok_or_else(odd)?);
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64((user + kernel) as f64 / ticks_per_second as f64))
}

/// Resident memory in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64, Failure> {
    let text = read(pid, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let odd = || Failure::new(format!("/proc/{pid}/status does not tell the resident memory"));
    Ok(kib.ok_or_else(odd)? << 10)
}

fn read(pid: u32, file: &str) -> Result<String, Failure> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).map_err(|error| Failure::doing(&path, &error))
}
