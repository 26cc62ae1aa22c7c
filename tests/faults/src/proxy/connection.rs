//! One connection: each direction reads into a queue and writes from it, so that a delay keeps the order and does
//! not limit the rate. The end and the break of a side pass through the queue like data.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::Counters;
use super::conditions::{Allowed, Arrival, View};

/// An upstream that does not answer for so long counts as one that refuses.
const CONNECT: Duration = Duration::from_secs(5);
/// The most that is read at once.
const PIECE_BYTES: usize = 16 * 1024;
/// Pieces that may wait; then the sender feels the pressure.
const QUEUE: usize = 64;

/// One client's connection.
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) view: View,
    pub(super) counters: Arc<Counters>,
}

struct Piece {
    arrival: Arrival,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    /// The side has closed its half.
    End,
    /// The side has reset the connection.
    Broken,
}

impl Connection {
    /// Carries the connection to its end. Whatever breaks one side resets the other.
    pub(super) async fn carry(self, mut client: TcpStream) {
        let mut upstream = None;
        let mut view = self.view.clone();
        let reset = tokio::select! {
            carried = self.pass(&mut client, &mut upstream) => carried.is_err(),
            reset = view.ended() => reset,
        };
        if reset {
            for stream in [Some(client), upstream].into_iter().flatten() {
                // It fails only where the socket is gone already.
                let _gone = stream.set_zero_linger();
            }
        }
    }

    async fn pass(&self, client: &mut TcpStream, upstream: &mut Option<TcpStream>) -> io::Result<()> {
        // A connection that is opened into a black hole reaches its upstream when that ends.
        self.view.clone().due(Arrival { at: Instant::now(), share: 0.0 }).await;
        let upstream = upstream.insert(self.connect().await?);
        client.set_nodelay(true)?;
        upstream.set_nodelay(true)?;
        let (from_client, to_client) = client.split();
        let (from_upstream, to_upstream) = upstream.split();
        let (asking, answering) = (self.view.clone(), self.view.clone().of_answers());
        let up = self.direction(from_client, to_upstream, (asking, &self.counters.bytes_up));
        let down = self.direction(from_upstream, to_client, (answering, &self.counters.bytes_down));
        tokio::try_join!(up, down).map(|_| ())
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let upstreams = self.view.upstreams();
        let turn = self.counters.turn.fetch_add(1, Ordering::AcqRel);
        let first = usize::try_from(turn).unwrap_or(0) % upstreams.len().max(1);
        for address in upstreams[first..].iter().chain(&upstreams[..first]) {
            if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(address)).await {
                return Ok(stream);
            }
        }
        Err(ErrorKind::ConnectionRefused.into())
    }

    async fn direction(
        &self,
        from: ReadHalf<'_>,
        to: WriteHalf<'_>,
        under: (View, &AtomicU64),
    ) -> io::Result<()> {
        let (queue, pieces) = mpsc::channel(QUEUE);
        tokio::try_join!(self.read(from, queue), write(to, pieces, under)).map(|_| ())
    }

    async fn read(&self, mut from: ReadHalf<'_>, queue: mpsc::Sender<Piece>) -> io::Result<()> {
        let mut dice = Dice(self.number);
        loop {
            let mut bytes = vec![0; PIECE_BYTES];
            let content = match from.read(&mut bytes).await {
                Ok(0) => Content::End,
                Ok(len) => {
                    bytes.truncate(len);
                    Content::Bytes(bytes)
                }
                Err(_) => Content::Broken,
            };
            let last = !matches!(content, Content::Bytes(_));
            let arrival = Arrival { at: Instant::now(), share: dice.roll() };
            if queue.send(Piece { arrival, content }).await.is_err() || last {
                // Whether this was the end or a break is the writer's to tell, when it is due.
                return Ok(());
            }
        }
    }
}

async fn write(
    mut to: WriteHalf<'_>,
    mut pieces: mpsc::Receiver<Piece>,
    (mut view, counter): (View, &AtomicU64),
) -> io::Result<()> {
    while let Some(Piece { arrival, content }) = pieces.recv().await {
        view.due(arrival).await;
        let bytes = match content {
            Content::Bytes(bytes) => bytes,
            Content::End => return to.shutdown().await,
            Content::Broken => return Err(ErrorKind::ConnectionReset.into()),
        };
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            view.due(arrival).await;
            let Allowed::Pass(len, pause) = view.take(rest.len()) else {
                return Err(ErrorKind::ConnectionReset.into());
            };
            let next = Instant::now() + pause;
            let (now, later) = rest.split_at(len);
            to.write_all(now).await?;
            counter.fetch_add(len as u64, Ordering::AcqRel);
            rest = later;
            if !pause.is_zero() {
                view.until(next).await;
            }
        }
    }
    Ok(())
}

/// Shares of a jitter: the same for the same connection in every run (splitmix64).
struct Dice(u64);

impl Dice {
    /// From 0 to 1.
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(high) / f64::from(u32::MAX)
    }
}
