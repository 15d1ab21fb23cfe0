//! Timing of whole processes.

use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::sh;

/// How many runs a median is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Runs(pub(super) usize);

/// The median wall time in milliseconds of the command that `next` makes, after one run that does not count.
///
/// # Errors
/// Where a run fails: a failure is fast and would flatter.
pub(super) fn median_wall(runs: Runs, mut next: impl FnMut() -> Command) -> Result<f64, String> {
    let mut times = Vec::with_capacity(runs.0);
    for run in 0..=runs.0 {
        let mut command = next();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let start = Instant::now();
        let out =
            command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let time = start.elapsed();
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr).lines().next().unwrap_or_default().to_owned();
            return Err(format!("{} ({said})", out.status));
        }
        if run > 0 {
            times.push(time);
        }
    }
    Ok(milliseconds(median(times)))
}

/// The largest resident memory of `command` in MiB, told by GNU time.
pub(super) fn peak_memory(command: Command) -> Result<f64, String> {
    let time = sh::find("time").ok_or("GNU time is not installed")?;
    let mut timed = Command::new(time);
    timed.args(["-f", "%M"]).arg(command.get_program()).args(command.get_args());
    timed.stdout(Stdio::null());
    let out = timed.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    if !out.status.success() {
        return Err(said.lines().next().unwrap_or_default().to_owned());
    }
    let kibibytes: f64 =
        said.trim().lines().next_back().and_then(|line| line.parse().ok()).ok_or("no number")?;
    Ok(kibibytes / 1024.0)
}

/// The median time in milliseconds of making 8 KiB durable in a new file of `folder`.
pub(super) fn disk_sync(folder: &Path, runs: Runs) -> Result<f64, String> {
    let path = folder.join("calibration");
    let once = || -> std::io::Result<Duration> {
        let start = Instant::now();
        let mut file = File::create(&path)?;
        file.write_all(&[7; 8192])?;
        file.sync_all()?;
        File::open(folder)?.sync_all()?;
        let time = start.elapsed();
        fs::remove_file(&path)?;
        Ok(time)
    };
    let times: Result<Vec<_>, _> = (0..runs.0).map(|_| once()).collect();
    times.map(|times| milliseconds(median(times))).map_err(|error| format!("{}: {error}", path.display()))
}

/// The median time in milliseconds of a write of 4 KiB and `fdatasync`, into a file of `folder`: over bytes that were
/// there, and after its end.
pub(super) fn small_syncs(folder: &Path, times: usize) -> Result<(f64, f64), String> {
    const BYTES: usize = 4096;
    let path = folder.join("calibration");
    let measure = || -> std::io::Result<(Duration, Duration)> {
        let mut file = File::create(&path)?;
        let mut timed = |rewind: bool| -> std::io::Result<Duration> {
            let mut waits = Vec::with_capacity(times);
            for _ in 0..times {
                if rewind {
                    file.rewind()?;
                }
                let start = Instant::now();
                file.write_all(&[7; BYTES])?;
                file.sync_data()?;
                waits.push(start.elapsed());
            }
            Ok(median(waits))
        };
        let appended = timed(false)?;
        let over = timed(true)?;
        fs::remove_file(&path)?;
        Ok((over, appended))
    };
    let measured = measure().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((milliseconds(measured.0), milliseconds(measured.1)))
}

/// Megabytes a second of so many MiB that do not compress, appended to a new file of `folder`, synced for each MiB.
pub(super) fn bandwidth(folder: &Path, mebibytes: usize) -> Result<f64, String> {
    const MIB: usize = 1024 * 1024;
    let path = folder.join("calibration");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut measure = || -> std::io::Result<Duration> {
        let mut file = File::create(&path)?;
        let mut took = Duration::ZERO;
        for _ in 0..mebibytes {
            let bytes: Vec<u8> = (0..MIB / 8).flat_map(|_| next()).collect();
            let start = Instant::now();
            file.write_all(&bytes)?;
            file.sync_data()?;
            took += start.elapsed();
        }
        fs::remove_file(&path)?;
        Ok(took)
    };
    let took = measure().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((mebibytes * MIB) as f64 / 1e6 / took.as_secs_f64())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        let of =
            |times: &[u64]| median(times.iter().map(|ms| Duration::from_millis(*ms)).collect()).as_millis();
        assert_eq!(of(&[90, 1, 2]), 2);
        assert_eq!(of(&[]), 0);
    }

    #[test]
    fn a_failing_command_has_no_time() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        assert!(median_wall(Runs(2), || shell("exit 0")).is_ok());
        assert_eq!(
            median_wall(Runs(2), || shell("echo why >&2; exit 3")),
            Err("exit status: 3 (why)".to_owned())
        );
    }
}
