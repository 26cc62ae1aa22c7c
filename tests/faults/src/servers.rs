//! The private servers that are hurt, and the script that hurts them: `ops/stack`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use tokio::process::Command;

/// How long one command of the script may take: a server's start is the slowest.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where the servers are.
#[derive(Args, Clone, Debug)]
pub(crate) struct Servers {
    /// RabbitMQ; several nodes are separated by commas.
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    pub(crate) amqp_url: String,
    /// Redis.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub(crate) redis_url: String,
    /// PostgreSQL.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: String,
    /// The script `ops/stack`, which started them.
    #[arg(long)]
    stack: PathBuf,
    /// The name under which it did.
    #[arg(long)]
    stack_name: String,
}

impl Servers {
    /// `ops/stack ACTION --name … REST`; gives what it printed.
    pub(crate) async fn stack(&self, action: &str, rest: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.stack);
        command.args([action, "--name", &self.stack_name]).args(rest).kill_on_drop(true);
        // It would take the servers for somebody else's and leave them alone.
        for variable in ["AMQP_URL", "REDIS_URL", "DATABASE_URL"] {
            command.env_remove(variable);
        }
        let output = tokio::time::timeout(PATIENCE, command.output())
            .await
            .with_context(|| format!("ops/stack {action} took longer than {PATIENCE:?}"))??;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "ops/stack {action} {}: {said}{}",
            rest.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(said)
    }

    /// A command for Redis, by its own client; gives its answer.
    pub(crate) async fn redis(&self, command: &[&str]) -> anyhow::Result<String> {
        let login = ["-u", &self.redis_url, "--no-auth-warning", "--raw"];
        ask("redis-cli", &[&login, command].concat()).await
    }

    /// A statement for PostgreSQL, by its own client; gives its answer.
    pub(crate) async fn postgresql(&self, statement: &str) -> anyhow::Result<String> {
        ask("psql", &["-X", "-At", "-c", statement, &self.database_url]).await
    }

    /// Another stack beside this one, whose RabbitMQ is a cluster of three nodes.
    pub(crate) async fn cluster(&self) -> anyhow::Result<Self> {
        let mut cluster = self.clone();
        cluster.stack_name = format!("{}-cluster", self.stack_name);
        cluster.stack("up", &["--nodes", "3"]).await?;
        let environment = cluster.stack("env", &[]).await?;
        let value = |name: &str| {
            let prefix = format!("export {name}=");
            let value = environment.lines().find_map(|line| line.strip_prefix(&prefix));
            // As the shell would read it.
            value
                .map(|value| value.trim_matches('\'').to_owned())
                .with_context(|| format!("ops/stack env prints no {name}"))
        };
        cluster.amqp_url = value("AMQP_URL")?;
        cluster.redis_url = value("REDIS_URL")?;
        cluster.database_url = value("DATABASE_URL")?;
        Ok(cluster)
    }
}

/// Runs a client; gives what it printed.
async fn ask(client: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(client).args(arguments).kill_on_drop(true).output();
    let output =
        tokio::time::timeout(PATIENCE, output).await.with_context(|| format!("{client} hangs"))??;
    ensure!(output.status.success(), "{client}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The address of a URL's host and port: servers of this harness are on loopback, by number.
pub(crate) fn address(url: &str) -> anyhow::Result<std::net::SocketAddr> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.parse()
        .with_context(|| "a server's URL needs an IP address and a port, as `ops/stack env` prints them")
}

/// The URL with another address.
pub(crate) fn at(url: &str, address: std::net::SocketAddr) -> anyhow::Result<String> {
    let old = self::address(url)?.to_string();
    Ok(url.replacen(&old, &address.to_string(), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_everything_but_its_address() {
        let url = "postgres://fleet:a%40b@127.0.0.1:5432/fleet?sslmode=disable";
        assert_eq!(address(url).unwrap().port(), 5432);
        let moved = at(url, "127.0.0.1:9".parse().unwrap()).unwrap();
        assert_eq!(moved, "postgres://fleet:a%40b@127.0.0.1:9/fleet?sslmode=disable");
        assert!(address("redis://localhost:1").is_err());
    }
}
