//! Where canaries are looked for, and how.

use fleet_testkit::redis_url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A text that occurs nowhere else.
pub(crate) struct Bird {
    what: &'static str,
    text: String,
    /// The tables that may hold it.
    tables: Tables,
}

/// Which tables may hold a text.
enum Tables {
    None,
    /// The app shows it to the person.
    All,
    These(&'static [&'static str]),
}

impl Bird {
    pub(crate) fn secret(what: &'static str, text: &str) -> Self {
        Self { what, text: text.to_owned(), tables: Tables::None }
    }

    pub(crate) fn shown(what: &'static str, text: &str) -> Self {
        Self { what, text: text.to_owned(), tables: Tables::All }
    }

    /// What only these tables may hold.
    pub(crate) fn kept(what: &'static str, text: &str, tables: &'static [&'static str]) -> Self {
        Self { what, text: text.to_owned(), tables: Tables::These(tables) }
    }
}

/// A place where the fleet leaves something.
pub(crate) struct Nest {
    place: String,
    content: String,
    /// The name of the table that it is.
    table: Option<String>,
}

impl Nest {
    pub(crate) fn new(place: &str, content: &[u8]) -> Self {
        Self { place: place.to_owned(), content: String::from_utf8_lossy(content).into_owned(), table: None }
    }

    pub(crate) fn table(name: &str, content: &[u8]) -> Self {
        Self { table: Some(name.to_owned()), ..Self::new(&format!("the table {name}"), content) }
    }

    /// Says where the bird sits in this nest.
    pub(crate) fn find(&self, bird: &Bird) -> Option<String> {
        if let Some(table) = self.table.as_deref() {
            match bird.tables {
                Tables::All => return None,
                Tables::These(names) if names.contains(&table) => return None,
                Tables::None | Tables::These(_) => {}
            }
        }
        // PostgreSQL shows bytes so.
        let digit = |half: u8| char::from_digit(half.into(), 16).unwrap();
        let hex: String = bird.text.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        let at = [bird.text.as_str(), &hex].into_iter().find_map(|text| self.place_of(text))?;
        let around: String = self.content[..at].chars().rev().take(160).collect();
        let before: String = around.chars().rev().collect();
        let after: String = self.content[at..].chars().take(80).collect();
        Some(format!("{} is in {}: …{before}{after}…", bird.what, self.place))
    }

    /// Digits within longer digits, or a fraction of a second, are something else.
    fn place_of(&self, text: &str) -> Option<usize> {
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '.');
        let short = text.len() < 8;
        self.content.match_indices(text).map(|(at, _)| at).find(|at| {
            let (before, after) = (&self.content[..*at], &self.content[at + text.len()..]);
            !short || !(is_part(before.chars().next_back()) || is_part(after.chars().next()))
        })
    }
}

/// Every key with this prefix and its value, as Redis sends them.
pub(crate) async fn redis(prefix: &str) -> Vec<u8> {
    let url = redis_url();
    let (login, address) = url.strip_prefix("redis://").unwrap().split_once('@').unwrap_or(("", &url[8..]));
    let mut stream = TcpStream::connect(address.split('/').next().unwrap()).await.unwrap();
    let (user, password) = login.split_once(':').unwrap_or_default();
    let user = if user.is_empty() { "default" } else { user };
    let auth = if password.is_empty() { String::new() } else { format!("AUTH {user} {password}\r\n") };
    let script = "local all = {} for _, key in ipairs(redis.call('KEYS', ARGV[1])) do \
        table.insert(all, key) table.insert(all, redis.call('DUMP', key)) \
        local value = redis.pcall('GET', key) if type(value) == 'string' then table.insert(all, value) end end return all";
    let commands = format!("{auth}EVAL \"{script}\" 0 {prefix}*\r\nPING\r\n");
    stream.write_all(commands.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"+PONG\r\n") {
        assert!(
            stream.read_buf(&mut answer).await.unwrap() > 0,
            "Redis closed: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    assert!(!answer.starts_with(b"-"), "{}", String::from_utf8_lossy(&answer));
    answer
}
