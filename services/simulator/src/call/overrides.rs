//! Connection overrides: what the fragment of a webhook's URL (`#rc=3&rp=all`) asks of whoever calls it.
//!
//! `e` (Twilio's edge locations) changes nothing here: there is one way from this simulator to anybody. Between two
//! tries there is no pause, as none is documented.

use std::time::Duration;

use super::webhook::{Reply, Trouble};

/// Twilio's hard cap over all tries of one request.
const TOTAL: Duration = Duration::from_secs(15);

/// The connection settings of one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Overrides {
    /// `rc`: tries after the first one, 0 to 5.
    pub(super) retries: u32,
    /// `rp`: the failures that are tried again.
    retry_on: Vec<Cause>,
    /// `ct`: for the connection.
    pub(super) connect: Duration,
    /// `rt`: for the first packet of the answer, and between its packets.
    pub(super) read: Duration,
    /// `tt`: for all tries together.
    pub(super) total: Duration,
    /// `sni`: whether the TLS handshake names the server.
    pub(super) sni: bool,
}

/// What can be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Connect,
    ReadTimeout,
    ClientError,
    ServerError,
}

impl Cause {
    const ALL: [(&str, Self); 4] = [
        ("ct", Self::Connect),
        ("rt", Self::ReadTimeout),
        ("4xx", Self::ClientError),
        ("5xx", Self::ServerError),
    ];

    fn of(result: &Result<Reply, Trouble>) -> Option<Self> {
        match result {
            Ok(reply) if reply.status / 100 == 4 => Some(Self::ClientError),
            Ok(reply) if reply.status / 100 == 5 => Some(Self::ServerError),
            Err(Trouble::Connect) => Some(Self::Connect),
            Err(Trouble::Timeout) => Some(Self::ReadTimeout),
            // No word of a policy means a connection that breaks while an answer is waited for.
            Ok(_)
            | Err(
                Trouble::BadUrl
                | Trouble::BadPolicy
                | Trouble::TotalTimeout
                | Trouble::Protocol
                | Trouble::Partial
                | Trouble::TooManyRedirects,
            ) => None,
        }
    }
}

impl Overrides {
    /// Reads the fragment of a URL. A value out of range becomes the nearest that is allowed, one that is no number the
    /// default; only a policy that does not exist is an error (11243).
    pub(super) fn of(url: &str) -> Result<Self, Trouble> {
        let mut overrides = Self {
            retries: 1,
            retry_on: vec![Cause::Connect],
            connect: Duration::from_secs(5),
            read: TOTAL,
            total: TOTAL,
            sni: true,
        };
        let fragment = url.split_once('#').map_or("", |(_, fragment)| fragment);
        for (name, value) in form_urlencoded::parse(fragment.as_bytes()) {
            match &*name {
                "rc" => overrides.retries = value.parse().unwrap_or(1).min(5),
                "rp" => overrides.retry_on = policy(&value)?,
                "ct" => overrides.connect = millis(&value, 10_000, overrides.connect),
                "rt" => overrides.read = millis(&value, 15_000, TOTAL),
                "tt" => overrides.total = millis(&value, 15_000, TOTAL),
                "sni" => overrides.sni = !value.eq_ignore_ascii_case("n"),
                _ => {}
            }
        }
        Ok(overrides)
    }

    /// The same with all time-outs divided.
    pub(super) fn faster(self, speed: f64) -> Self {
        let quick = |duration: Duration| duration.div_f64(speed);
        Self { connect: quick(self.connect), read: quick(self.read), total: quick(self.total), ..self }
    }

    /// Whether this result is one to try again.
    pub(super) fn retries(&self, result: &Result<Reply, Trouble>) -> bool {
        Cause::of(result).is_some_and(|cause| self.retry_on.contains(&cause))
    }
}

fn policy(value: &str) -> Result<Vec<Cause>, Trouble> {
    let words: Vec<_> = value.split(',').filter(|word| !word.is_empty()).collect();
    let is_known = |word: &&str| *word == "all" || Cause::ALL.iter().any(|(name, _)| name == word);
    if !words.iter().all(is_known) {
        return Err(Trouble::BadPolicy);
    }
    let means = |name: &str| words.iter().any(|word| *word == name || *word == "all");
    Ok(Cause::ALL.into_iter().filter(|(name, _)| means(name)).map(|(_, cause)| cause).collect())
}

fn millis(value: &str, max: u64, default: Duration) -> Duration {
    value.parse().map_or(default, |millis: u64| Duration::from_millis(millis.clamp(100, max)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Reply {
        Reply { status, content_type: None, body: Vec::new(), url: String::new() }
    }

    #[test]
    fn without_a_fragment_only_a_failed_connection_is_retried_once() {
        let overrides = Overrides::of("https://host/path?q=1").unwrap();
        let expected = Overrides {
            retries: 1,
            retry_on: vec![Cause::Connect],
            connect: Duration::from_secs(5),
            read: Duration::from_secs(15),
            total: Duration::from_secs(15),
            sni: true,
        };
        assert_eq!(overrides, expected);
    }

    #[test]
    fn each_policy_retries_what_it_names() {
        let failures = [
            ("ct", Err(Trouble::Connect)),
            ("rt", Err(Trouble::Timeout)),
            ("4xx", Ok(answered(404))),
            ("5xx", Ok(answered(503))),
        ];
        let table = [
            ("", vec!["ct"]),
            ("#rc=1", vec!["ct"]),
            ("#rp=", vec![]),
            ("#rp=rt", vec!["rt"]),
            ("#rp=5xx,4xx", vec!["4xx", "5xx"]),
            ("#rp=ct,rt,4xx,5xx", vec!["ct", "rt", "4xx", "5xx"]),
            ("#rp=all", vec!["ct", "rt", "4xx", "5xx"]),
            ("#e=dublin,ashburn&rp=all&sni=n", vec!["ct", "rt", "4xx", "5xx"]),
        ];
        for (fragment, expected) in table {
            let overrides = Overrides::of(&format!("https://host/path{fragment}")).unwrap();
            let retried = failures.iter().filter(|(_, result)| overrides.retries(result));
            assert_eq!(retried.map(|(name, _)| *name).collect::<Vec<_>>(), expected, "{fragment}");
        }
        let all = Overrides::of("https://host/path#rp=all").unwrap();
        for never in [Ok(answered(204)), Ok(answered(302)), Err(Trouble::Protocol), Err(Trouble::Partial)] {
            assert!(!all.retries(&never));
        }
        assert_eq!(Overrides::of("https://host/path#rp=6xx"), Err(Trouble::BadPolicy));
    }

    #[test]
    fn numbers_stay_within_twilios_bounds() {
        let of = |fragment: &str| Overrides::of(&format!("https://host/path#{fragment}")).unwrap();
        let millis = Duration::from_millis;
        for (fragment, retries) in [("rc=0", 0), ("rc=3", 3), ("rc=9", 5), ("rc=many", 1)] {
            assert_eq!(of(fragment).retries, retries, "{fragment}");
        }
        for (value, connect, read) in
            [("50", 100, 100), ("700", 700, 700), ("99999", 10_000, 15_000), ("x", 5_000, 15_000)]
        {
            assert_eq!(of(&format!("ct={value}")).connect, millis(connect), "ct={value}");
            assert_eq!(of(&format!("rt={value}")).read, millis(read), "rt={value}");
            assert_eq!(of(&format!("tt={value}")).total, millis(read), "tt={value}");
        }
        assert!(!of("sni=n").sni && of("sni=y").sni);
        let fast = of("ct=1000&rt=3000&tt=15000").faster(10.0);
        assert_eq!((fast.connect, fast.read, fast.total), (millis(100), millis(300), millis(1_500)));
    }
}
