//! Reads answers off a connection.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::Failure;

/// Longest answer that is read.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// How an answer's body ends.
enum Length {
    Bytes(usize),
    Chunks,
}

/// Reads one answer, whose body is not kept, and returns its status. `buffer` holds what was read beyond it.
pub(crate) async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<u16, Failure> {
    let head = until(stream, buffer, 0, b"\r\n\r\n").await?;
    let (status, length) = parse(&buffer[..head])?;
    let end = match length {
        Length::Bytes(bytes) => head + bytes,
        Length::Chunks => chunks(stream, buffer, head).await?,
    };
    while buffer.len() < end {
        fill(stream, buffer).await?;
    }
    buffer.drain(..end);
    Ok(status)
}

/// Where a body in chunks that begins at `at` ends.
async fn chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>, mut at: usize) -> Result<usize, Failure> {
    loop {
        let line = until(stream, buffer, at, b"\r\n").await?;
        let text = std::str::from_utf8(&buffer[at..line - 2])?;
        let size = usize::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16)?;
        at = line + size + 2;
        if size == 0 {
            return Ok(at);
        }
    }
}

/// Reads until `mark` is there, at or after `from`; where it ends.
async fn until(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    from: usize,
    mark: &[u8],
) -> Result<usize, Failure> {
    loop {
        let rest = buffer.get(from..).unwrap_or_default();
        if let Some(found) = rest.windows(mark.len()).position(|window| window == mark) {
            return Ok(from + found + mark.len());
        }
        fill(stream, buffer).await?;
    }
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    if buffer.len() > MAX_ANSWER_BYTES {
        return Err("an answer is too long".into());
    }
    if stream.read_buf(buffer).await? == 0 {
        return Err("the server closed a connection".into());
    }
    Ok(())
}

fn parse(head: &[u8]) -> Result<(u16, Length), Failure> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("no status")?.parse()?;
    let mut length = Length::Bytes(0);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = Length::Bytes(value.trim().parse()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            length = Length::Chunks;
        }
    }
    Ok((status, length))
}
