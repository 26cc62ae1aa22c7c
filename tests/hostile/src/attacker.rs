//! Just enough AMQP 0-9-1 to log in, to publish bytes and to get them. It checks nothing of what it sends.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    properties::Message,
    table::{Table, long, short, size},
};

/// Longer than a busy broker takes for anything here.
const PATIENCE: Duration = Duration::from_secs(30);

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const END: u8 = 0xce;
const CHANNEL: u16 = 1;

const START: Method = Method(10, 10);
const START_OK: Method = Method(10, 11);
const TUNE: Method = Method(10, 30);
const TUNE_OK: Method = Method(10, 31);
const OPEN: Method = Method(10, 40);
const OPENED: Method = Method(10, 41);
const CHANNEL_OPEN: Method = Method(20, 10);
const CHANNEL_OPENED: Method = Method(20, 11);
const DECLARE: Method = Method(50, 10);
const DECLARED: Method = Method(50, 11);
const BIND: Method = Method(50, 20);
const BOUND: Method = Method(50, 21);
const GET: Method = Method(60, 70);
const GOT: Method = Method(60, 71);
const CONFIRM_SELECT: Method = Method(85, 10);
const CONFIRM_SELECTED: Method = Method(85, 11);
const PUBLISH: Method = Method(60, 40);
const ACK: Method = Method(60, 80);
const NACK: Method = Method(60, 120);
const RETURN: Method = Method(60, 50);
const CHANNEL_CLOSE: Method = Method(20, 40);
const CONNECTION_CLOSE: Method = Method(10, 50);

/// AMQP's numbers for a class and its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Method(u16, u16);

/// Why an attacker can't go on.
#[derive(Debug)]
pub enum Error {
    /// The URL is not of the form `amqp://user:password@host:port/…`.
    Url,
    /// The network.
    Io(std::io::Error),
    /// RabbitMQ said something else than expected while logging in.
    Unexpected,
    /// RabbitMQ said nothing.
    TimedOut,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url => f.write_str("the URL must be amqp://user:password@host:port/vhost"),
            Self::Io(error) => write!(f, "connection to RabbitMQ: {error}"),
            Self::Unexpected => f.write_str("RabbitMQ did not let the attacker in"),
            Self::TimedOut => f.write_str("RabbitMQ did not answer"),
        }
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// What the broker made of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A queue has it.
    Stored,
    /// No queue takes it, or the queue is full.
    NotStored,
    /// It closed the channel or the connection over it.
    Refused,
}

/// A connection that publishes anything. One that the broker closes is opened anew.
pub struct Attacker {
    url: String,
    stream: TcpStream,
    frame_max: usize,
}

impl Attacker {
    /// Logs in at `amqp://user:password@host:port/%2f`.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let address = Address::read(url).ok_or(Error::Url)?;
        let stream = TcpStream::connect(&address.host).await?;
        stream.set_nodelay(true)?;
        let mut attacker = Self { url: url.to_owned(), stream, frame_max: 4096 };
        match timeout(PATIENCE, attacker.log_in(&address)).await {
            Ok(done) => done.map(|()| attacker),
            Err(_) => Err(Error::TimedOut),
        }
    }

    /// The largest frame that the broker takes: what bounds a message's properties.
    pub fn frame_max(&self) -> usize {
        self.frame_max
    }

    /// Publishes to an exchange, mandatory, and waits for what becomes of it.
    pub async fn publish(&mut self, exchange: &str, message: &Message) -> Result<Answer, Error> {
        match timeout(PATIENCE, self.send(exchange, message)).await {
            Ok(Ok(Answer::Refused) | Err(Error::Io(_))) => {
                *self = Box::pin(Self::connect(&self.url)).await?;
                Ok(Answer::Refused)
            }
            Ok(answer) => answer,
            Err(_) => Err(Error::TimedOut),
        }
    }

    /// A queue of this connection's own that gets all that is published to a topic exchange from now on.
    pub async fn overhear(&mut self, exchange: &str) -> Result<String, Error> {
        // Exclusive and deleted with the connection; without arguments.
        self.call(CHANNEL, DECLARE, &[0, 0, 0, 0b1100, 0, 0, 0, 0]).await?;
        let declared = self.expect(DECLARED).await?;
        let length = declared.first().copied().map_or(0, usize::from);
        let name = declared.get(1..=length).ok_or(Error::Unexpected)?.to_vec();
        let mut bind = vec![0, 0];
        for text in [&name, exchange.as_bytes(), b"#"] {
            short(text, &mut bind);
        }
        bind.extend([0; 5]);
        self.call(CHANNEL, BIND, &bind).await?;
        self.expect(BOUND).await?;
        String::from_utf8(name).map_err(|_| Error::Unexpected)
    }

    /// Takes the next message of a queue: all of its bytes, from the routing key over the properties to the body.
    pub async fn take(&mut self, queue: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut get = vec![0, 0];
        short(queue.as_bytes(), &mut get);
        get.push(1); // acked by being sent
        self.call(CHANNEL, GET, &get).await?;
        let (method, mut bytes) = self.method().await?;
        if method != GOT {
            return Ok(None);
        }
        let (_, header) = self.read_frame().await?;
        let size = header.get(4..12).ok_or(Error::Unexpected)?;
        let mut left = size.iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte));
        bytes.extend(header);
        while left > 0 {
            let (_, part) = self.read_frame().await?;
            left = left.saturating_sub(part.len());
            bytes.extend(part);
        }
        Ok(Some(bytes))
    }

    async fn log_in(&mut self, address: &Address) -> Result<(), Error> {
        self.stream.write_all(b"AMQP\0\0\x09\x01").await?;
        self.expect(START).await?;
        let mut login = Table::default().bytes();
        short(b"PLAIN", &mut login);
        long(format!("\0{}\0{}", address.user, address.password).as_bytes(), &mut login);
        short(b"en_US", &mut login);
        self.call(0, START_OK, &login).await?;
        let tune = self.expect(TUNE).await?;
        let numbers = tune.get(..6).ok_or(Error::Unexpected)?;
        let offered = numbers.iter().skip(2).fold(0, |sum, byte| sum * 256 + usize::from(*byte));
        self.frame_max = if offered == 0 { 131_072 } else { offered };
        let mut tuned = numbers.to_vec();
        tuned.extend([0, 0]); // no heartbeats
        self.call(0, TUNE_OK, &tuned).await?;
        let mut open = Vec::new();
        short(b"/", &mut open);
        open.extend([0, 0]);
        self.call(0, OPEN, &open).await?;
        self.expect(OPENED).await?;
        self.call(CHANNEL, CHANNEL_OPEN, &[0]).await?;
        self.expect(CHANNEL_OPENED).await?;
        self.call(CHANNEL, CONFIRM_SELECT, &[0]).await?;
        self.expect(CONFIRM_SELECTED).await.map(|_| ())
    }

    async fn send(&mut self, exchange: &str, message: &Message) -> Result<Answer, Error> {
        let mut publish = vec![0, 0];
        short(exchange.as_bytes(), &mut publish);
        short(message.routing_key.as_bytes(), &mut publish);
        publish.push(1); // mandatory
        self.call(CHANNEL, PUBLISH, &publish).await?;
        let mut header = vec![0, 60, 0, 0];
        header.extend(u64::from(size(message.body.len())).to_be_bytes());
        header.extend(message.properties.bytes());
        self.frame(HEADER, CHANNEL, &header).await?;
        for part in message.body.chunks(self.frame_max - 8) {
            self.frame(BODY, CHANNEL, part).await?;
        }
        let mut returned = false;
        loop {
            match self.method().await?.0 {
                ACK if returned => return Ok(Answer::NotStored),
                ACK => return Ok(Answer::Stored),
                NACK => return Ok(Answer::NotStored),
                RETURN => returned = true,
                CHANNEL_CLOSE | CONNECTION_CLOSE => return Ok(Answer::Refused),
                _ => {}
            }
        }
    }

    async fn call(&mut self, channel: u16, method: Method, arguments: &[u8]) -> Result<(), Error> {
        let mut payload = method.0.to_be_bytes().to_vec();
        payload.extend(method.1.to_be_bytes());
        payload.extend(arguments);
        self.frame(METHOD, channel, &payload).await
    }

    async fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) -> Result<(), Error> {
        let mut frame = vec![kind];
        frame.extend(channel.to_be_bytes());
        long(payload, &mut frame);
        frame.push(END);
        Ok(self.stream.write_all(&frame).await?)
    }

    async fn expect(&mut self, wanted: Method) -> Result<Vec<u8>, Error> {
        let (method, arguments) = self.method().await?;
        if method == wanted { Ok(arguments) } else { Err(Error::Unexpected) }
    }

    /// The next method and its arguments; other frames are passed over.
    async fn method(&mut self) -> Result<(Method, Vec<u8>), Error> {
        loop {
            let (kind, payload) = self.read_frame().await?;
            if let (METHOD, [a, b, c, d, arguments @ ..]) = (kind, payload.as_slice()) {
                let method = Method(u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
                return Ok((method, arguments.to_vec()));
            }
        }
    }

    async fn read_frame(&mut self) -> Result<(u8, Vec<u8>), Error> {
        let kind = self.stream.read_u8().await?;
        let _channel = self.stream.read_u16().await?;
        let length = usize::try_from(self.stream.read_u32().await?).unwrap_or(usize::MAX);
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await?;
        let _end = self.stream.read_u8().await?;
        Ok((kind, payload))
    }
}

struct Address {
    host: String,
    user: String,
    password: String,
}

impl Address {
    fn read(url: &str) -> Option<Self> {
        let (login, rest) = url.strip_prefix("amqp://")?.split_once('@')?;
        let (user, password) = login.split_once(':')?;
        let host = rest.split('/').next()?;
        Some(Self { host: host.to_owned(), user: user.to_owned(), password: password.to_owned() })
    }
}
