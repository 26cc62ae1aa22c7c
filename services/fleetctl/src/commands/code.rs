//! `fleetctl code`.

use std::io::BufRead;

use fleet_contracts::OneTimeCode;

use crate::ask::GivenCode;
use crate::cli::OneChallenge;
use crate::error::Error;
use crate::exit::Exit;
use crate::portal;
use crate::settings::Sections;

pub(super) async fn run(
    challenge: &OneChallenge,
    code: GivenCode,
    sections: &Sections,
) -> Result<Exit, Error> {
    let code = match code {
        GivenCode::Typed(code) => code,
        GivenCode::Stdin => read(&mut std::io::stdin().lock())?,
    };
    let client = portal::connect(&challenge.portal, &challenge.access, sections)?;
    portal::enter_code(&client, challenge.id, &code).await?;
    Ok(Exit::Done)
}

/// The first line. No error repeats it.
fn read(input: &mut impl BufRead) -> Result<OneTimeCode, Error> {
    let mut line = String::new();
    let wrong = |problem: String| Error::File { path: "standard input".into(), problem };
    input.read_line(&mut line).map_err(|error| wrong(error.to_string()))?;
    OneTimeCode::parse_typed(line.trim()).ok_or_else(|| wrong("must be 6 to 8 digits".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_from_the_first_line_and_never_repeated() {
        assert_eq!(read(&mut "492 039\nmore\n".as_bytes()).unwrap().reveal(), "492039");
        for bad in ["", "-\n", "49203\n", "pass492039\n"] {
            let error = read(&mut bad.as_bytes()).unwrap_err().line().unwrap();
            assert!(error.contains("must be 6 to 8 digits") && !error.contains("4920"), "{error}");
        }
    }
}
