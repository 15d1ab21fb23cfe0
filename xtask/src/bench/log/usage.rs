//! What a process has used, as Linux tells it.

use std::fs;

/// Since the process started; `resident_mib` is now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) cpu_seconds: f64,
    /// Bytes that it caused to be written to the disk.
    pub(super) written: f64,
    pub(super) resident_mib: f64,
}

impl Usage {
    pub(super) fn of(process: u32) -> Result<Self, String> {
        let read = |name: &str| {
            let path = format!("/proc/{process}/{name}");
            fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
        };
        Ok(Self {
            cpu_seconds: cpu_seconds(&read("stat")?).ok_or("no processor time in stat")?,
            written: number(&read("io")?, "write_bytes:").ok_or("no write_bytes in io")?,
            resident_mib: number(&read("status")?, "VmRSS:").ok_or("no VmRSS in status")? / 1024.0,
        })
    }

    /// Microseconds of processor time for each of `count` since `before`.
    pub(super) fn cpu_us_each(&self, before: &Self, count: f64) -> f64 {
        (self.cpu_seconds - before.cpu_seconds) * 1e6 / count
    }

    /// Bytes written for each of `count` since `before`.
    pub(super) fn written_each(&self, before: &Self, count: f64) -> f64 {
        (self.written - before.written) / count
    }
}

/// User and system time are the 14th and 15th field, in hundredths of a second; the name before may hold spaces.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

/// The number in the line that begins with `name`.
fn number(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_linux_are_read() {
        let stat = "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(number("wchar: 3\nwrite_bytes: 4096\n", "write_bytes:"), Some(4096.0));
        assert_eq!(number("VmHWM:\t 5 kB\nVmRSS:\t 2048 kB\n", "VmRSS:"), Some(2048.0));
    }
}
