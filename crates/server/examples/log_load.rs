//! Entries a second that a log's server takes over HTTP, ours or another that speaks `POST /add`.
//!
//! So many connections, each sending its next entry when the last is acknowledged. Prints requests a second, then the
//! median and 99th percentile of the wait in milliseconds. With `record`, hashed records are sent to Rekor v2 instead,
//! signed before the clock starts.
//!
//! `log_load HOST:PORT [CONNECTIONS [SECONDS [BYTES|record]]]`
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program that reports what it measured")]

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_crypto::{Algorithm, SecretKey, ecdsa_prehash};

type Failure = Box<dyn Error + Send + Sync>;

/// Records signed for each connection and second.
const PREPARED: u64 = 500;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let address = args.first().ok_or("log_load HOST:PORT [CONNECTIONS [SECONDS [BYTES|record]]]")?;
    let connections = args.get(1).map_or(Ok(64), |text| text.parse::<u64>())?;
    let seconds = args.get(2).map_or(Ok(5), |text| text.parse::<u64>())?;
    let what = args.get(3).map_or("1024", String::as_str);
    // Another run's entries would be duplicates.
    let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos() as u64;
    let prepared: Vec<Sending> = (0..connections)
        .map(|connection| match what {
            "record" => records(run ^ (connection << 40), PREPARED * seconds),
            bytes => Ok(Sending::Entries { bytes: bytes.parse()?, first: run ^ (connection << 40) }),
        })
        .collect::<Result<_, Failure>>()?;
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let sending: Vec<_> = prepared
        .into_iter()
        .map(|sending| (sending, address.clone()))
        .map(|(sending, address)| thread::spawn(move || send(TcpStream::connect(address)?, &sending, end)))
        .collect();
    let mut waits = Vec::new();
    for one in sending {
        waits.extend(one.join().map_err(|_| "a connection failed")??);
    }
    let elapsed = start.elapsed();
    waits.sort_unstable();
    let at =
        |part: usize| waits.get((waits.len() - 1) * part / 100).map_or(0.0, |wait| wait.as_secs_f64() * 1e3);
    println!("{:.0} {:.2} {:.2}", waits.len() as f64 / elapsed.as_secs_f64(), at(50), at(99));
    Ok(())
}

/// What one connection sends.
enum Sending {
    /// Entries of so many bytes, which begin with a number.
    Entries { bytes: usize, first: u64 },
    /// Whole requests.
    Records(Vec<Vec<u8>>),
}

/// Hashed records, each of another digest.
fn records(first: u64, count: u64) -> Result<Sending, Failure> {
    let algorithm = Algorithm::EcdsaP256Sha256;
    let key = SecretKey::from_seed(algorithm, &[9; 32])?;
    let spki = STANDARD.encode(key.public_key().to_spki_der());
    let record = |number: u64| -> Result<Vec<u8>, Failure> {
        let blob = number.to_be_bytes();
        let digest = ecdsa_prehash(algorithm, &blob).ok_or("no digest")?;
        let body = format!(
            r#"{{"hashedRekordRequestV002":{{"digest":"{}","signature":{{"content":"{}","verifier":{{"publicKey":{{"rawBytes":"{spki}"}},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}}}}}"#,
            STANDARD.encode(digest),
            STANDARD.encode(key.sign(&blob)?)
        );
        Ok(request("/api/v2/log/entries", body.as_bytes()))
    };
    (first..first + count).map(record).collect::<Result<_, _>>().map(Sending::Records)
}

fn request(path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    request.extend_from_slice(body);
    request
}

fn send(stream: TcpStream, sending: &Sending, end: Instant) -> Result<Vec<Duration>, Failure> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut waits = Vec::new();
    let mut body = Vec::new();
    for number in 0.. {
        let request = match sending {
            Sending::Entries { bytes, first } => {
                body.resize(*bytes, 7);
                let name = (first + number).to_be_bytes();
                let named = name.len().min(body.len());
                body[..named].copy_from_slice(&name[..named]);
                request("/add", &body)
            }
            Sending::Records(requests) => match requests.get(number as usize) {
                Some(request) => request.clone(),
                None => break,
            },
        };
        let start = Instant::now();
        if start >= end {
            break;
        }
        stream.get_mut().write_all(&request)?;
        let status = answer(&mut stream)?;
        if status == 503 {
            // Pushed back: it counts for nothing, and comes again.
            thread::sleep(Duration::from_millis(10));
            continue;
        }
        if status != 200 && status != 201 {
            return Err(format!("the server answered {status}").into());
        }
        waits.push(start.elapsed());
    }
    Ok(waits)
}

/// The status of an answer, whose body is read and dropped.
fn answer(stream: &mut BufReader<TcpStream>) -> Result<u16, Failure> {
    let (mut status, mut length, mut line) = (0, 0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err("the server closed the connection".into());
        }
        let text = line.trim_end().to_ascii_lowercase();
        if text.is_empty() {
            break;
        }
        if let Some(value) = text.strip_prefix("content-length: ") {
            length = value.parse()?;
        } else if status == 0 {
            status = text.split(' ').nth(1).unwrap_or_default().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(status)
}
