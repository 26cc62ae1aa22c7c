//! `fleetctl code`.

use fleet_contracts::OneTimeCode;

use crate::ask::GivenCode;
use crate::cli::OneChallenge;
use crate::error::Error;
use crate::exit::Exit;
use crate::input;
use crate::portal;
use crate::settings::Sections;

pub(super) async fn run(
    challenge: &OneChallenge,
    code: GivenCode,
    sections: &Sections,
) -> Result<Exit, Error> {
    let code = match code {
        GivenCode::Typed(code) => code,
        GivenCode::Stdin => parse(&input::secret("code")?)?,
    };
    let client = portal::connect(&challenge.portal, &challenge.access, sections)?;
    portal::enter_code(&client, challenge.id, &code).await?;
    Ok(Exit::Done)
}

/// No error repeats it.
pub(super) fn parse(line: &str) -> Result<OneTimeCode, Error> {
    OneTimeCode::parse_typed(line.trim()).ok_or_else(|| Error::Input("must be 6 to 8 digits".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_is_none_is_never_repeated() {
        assert_eq!(parse("492 039").unwrap().reveal(), "492039");
        for bad in ["", "-", "49203", "pass492039"] {
            let error = parse(bad).unwrap_err();
            let line = error.line().unwrap();
            assert!(line.contains("must be 6 to 8 digits") && !line.contains("4920"), "{line}");
            assert_eq!(error.exit(), Exit::Data);
        }
    }
}
