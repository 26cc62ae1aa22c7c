//! What the rest of the fleet asks about what people know or have: PINs, one-time codes, and guesses at any of them.

use fleet_domain::{DeviceId, Factor, UserId};
use fleet_keys::PinHash;

use super::Records;
use crate::{CodeDevice, Error, Guess, GuessLimit, account, pins, totp};

impl Records {
    /// Stores or removes PINs; a new one begins without wrong answers. Users that are not there are passed over.
    pub async fn set_pins(&self, pins: &[(UserId, Option<PinHash>)]) -> Result<(), Error> {
        let _place = self.beside("storing PINs").await?;
        pins::set(&self.0.connections, pins).await
    }

    /// Stores another form of a user's PIN, such as our own hash in place of an imported one. Nothing happens where the PIN
    /// is another one by now; when it was set stays as it is.
    pub async fn rewrite_pin(&self, user: &UserId, old: &PinHash, new: &PinHash) -> Result<(), Error> {
        let _place = self.beside("storing a PIN's other form").await?;
        pins::rewrite(&self.0.connections, user, (old, new)).await
    }

    /// Whether a guess at the user's PIN may be compared. With a limit, the call in which it is made is counted before;
    /// without one it was counted already.
    pub async fn take_guess(&self, user: &UserId, counting: Option<GuessLimit>) -> Result<Guess, Error> {
        let _place = self.beside("taking a guess at a PIN").await?;
        pins::take_guess(&self.0.connections, user, counting).await
    }

    /// Counts a guess at this factor before it is compared; `false` where it is locked and nothing may be compared.
    pub async fn count_guess(&self, user: &UserId, factor: Factor, limit: GuessLimit) -> Result<bool, Error> {
        let _place = self.beside("counting a guess").await?;
        pins::count(&self.0.connections, user, factor, limit).await
    }

    /// Forgets the calls that were wrong: the user was right.
    pub async fn forget_wrong(&self, user: &UserId, factor: Factor) -> Result<(), Error> {
        let _place = self.beside("forgetting wrong answers").await?;
        pins::forget(&self.0.connections, user, factor).await
    }

    /// The user's active devices that have one-time codes.
    pub async fn code_devices(&self, user: &UserId) -> Result<Vec<CodeDevice>, Error> {
        let _place = self.beside("reading secrets of one-time codes").await?;
        totp::devices(&self.0.connections, &self.0.keys, user).await
    }

    /// Takes the code of a device's time step for a try: of all tries only one gets `true`, however often it asks, and only if no
    /// code of this or a later step was taken before.
    pub async fn take_code(&self, code: (DeviceId, u64), by: &[u8]) -> Result<bool, Error> {
        let _place = self.beside("taking a one-time code").await?;
        totp::take(&self.0.connections, code, by).await
    }

    /// The user's PIN and up to `history` before it.
    pub async fn pins(&self, user: &UserId, history: u8) -> Result<Vec<PinHash>, Error> {
        let _place = self.beside("reading earlier PINs").await?;
        account::pins(&self.0.connections, user, history).await
    }
}
