//! Reading a document together with its signature.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    Error,
    connection::{Connection, Failure, ROUNDS},
    names::Names,
};

/// A document and, once it is terminal, its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedDocument {
    /// The document, byte for byte as it was signed.
    pub json: String,
    /// Detached JWS over exactly those bytes, see `fleet_keys::verify_outcome`. Absent until the document is terminal.
    pub signature: Option<String>,
}

/// Reads both in one command, so that they belong to the same version. Reads again where the connection breaks.
pub(crate) async fn read(
    connection: &Connection,
    document: &str,
    command_timeout: Duration,
) -> Result<Option<SignedDocument>, Error> {
    let deadline = Instant::now() + command_timeout;
    let mut command = redis::cmd("MGET");
    command.arg(document).arg(Names::signature(document));
    for _ in 0..ROUNDS {
        let live = connection.live(deadline).await?;
        let mut redis = live.redis.clone();
        let answer = command.query_async::<(Option<String>, Option<String>)>(&mut redis);
        match connection.run(&live, deadline, answer).await {
            Ok((json, signature)) => return Ok(json.map(|json| SignedDocument { json, signature })),
            Err(Failure::Lost) => {}
            Err(Failure::TimedOut) => break,
            Err(Failure::Answered(error)) => return Err(error),
        }
    }
    Err(Error::Unavailable)
}
