//! Connections, and the pace of what they send.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};

use crate::Failure;
use crate::requests::Requests;
use crate::wire;

/// How long a connection that was refused waits.
const REFUSED_PAUSE: Duration = Duration::from_millis(2);

/// What was asked for.
pub(crate) struct Load {
    pub(crate) address: String,
    pub(crate) connections: u64,
    pub(crate) time: Duration,
    /// Entries a second together; as fast as they can if `None`.
    pub(crate) rate: Option<f64>,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Tally {
    /// How long each entry waited, in microseconds.
    pub(crate) waits: Vec<u32>,
    /// How often what status was answered instead.
    pub(crate) refused: BTreeMap<u16, u64>,
    pub(crate) took: Duration,
}

/// When the next entry is due.
#[derive(Clone)]
enum Pace {
    /// At once, until then.
    Until(Instant),
    /// When the pacer says.
    Due(Arc<Mutex<mpsc::UnboundedReceiver<Instant>>>),
}

impl Pace {
    async fn next(&self) -> Option<Instant> {
        match self {
            Self::Until(end) => Some(Instant::now()).filter(|now| now < end),
            Self::Due(receiver) => receiver.lock().await.recv().await,
        }
    }
}

/// Sends for so long.
pub(crate) fn play(load: &Load, requests: &Arc<Requests>) -> Result<Tally, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..load.connections {
            let stream = TcpStream::connect(&load.address).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let start = Instant::now();
        let pace = match load.rate {
            None => Pace::Until(start + load.time),
            Some(rate) => Pace::Due(Arc::new(Mutex::new(pacer(start, load.time, rate)))),
        };
        let next = Arc::new(AtomicU64::new(0));
        let sending: Vec<_> = streams
            .into_iter()
            .map(|stream| tokio::spawn(send(stream, pace.clone(), Arc::clone(requests), Arc::clone(&next))))
            .collect();
        let mut all = Tally::default();
        for connection in sending {
            let tally = connection.await??;
            all.waits.extend(tally.waits);
            for (status, count) in tally.refused {
                *all.refused.entry(status).or_default() += count;
            }
        }
        all.took = start.elapsed();
        Ok(all)
    })
}

/// A thread that says when entries are due: the runtime's own timer has steps of a millisecond.
fn pacer(start: Instant, time: Duration, rate: f64) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for number in 0.. {
            let after = Duration::from_secs_f64(f64::from(number) / rate);
            let due = start + after;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if after >= time || sender.send(due).is_err() {
                return;
            }
        }
    });
    receiver
}

/// One connection.
async fn send(
    mut stream: TcpStream,
    pace: Pace,
    requests: Arc<Requests>,
    next: Arc<AtomicU64>,
) -> Result<Tally, Failure> {
    let (mut tally, mut buffer) = (Tally::default(), Vec::new());
    while let Some(due) = pace.next().await {
        let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
        stream.write_all(&request).await?;
        match wire::answer(&mut stream, &mut buffer).await? {
            200 | 201 => tally.waits.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX)),
            status => {
                *tally.refused.entry(status).or_default() += 1;
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
        }
    }
    Ok(tally)
}
