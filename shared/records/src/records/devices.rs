//! What the rest of the fleet asks about authenticator devices.

use fleet_domain::{Device, DeviceId, Enrollment, PushToken, RequestKey, UserId};

use super::Records;
use crate::{
    ActivationCode, DeviceRecord, Error, FoundActivation, ShownCode, UntestedDevice, activations,
    administration, enrollments,
};

impl Records {
    /// The device, whatever it may answer. Batched.
    pub async fn device(&self, id: DeviceId) -> Result<Option<DeviceRecord>, Error> {
        self.0.devices.ask(id).await
    }

    /// The activation code of a request with this counter. Any process can tell it.
    pub fn activation_code(&self, key: &RequestKey, counter: u8) -> ActivationCode {
        activations::code(&self.0.keys, key, counter)
    }

    /// The request of an activation code, also where it counts no more.
    pub async fn activation(&self, code: &ShownCode) -> Result<Option<FoundActivation>, Error> {
        let _place = self.beside("activating a device").await?;
        activations::find(&self.0.connections, &self.0.keys, code).await
    }

    /// Commits the version of a request that was activated on a device, and the device with it. `false` where another
    /// process was faster.
    pub async fn activate(
        &self,
        before: &Enrollment,
        after: &Enrollment,
        device: &UntestedDevice,
    ) -> Result<bool, Error> {
        let _place = self.beside("activating a device").await?;
        enrollments::activate(&self.0.connections, (before, after), device).await
    }

    /// Where the pushes of a device go that was activated and not tested yet.
    pub async fn untested_device(&self, id: DeviceId) -> Result<Option<Device>, Error> {
        let _place = self.beside("reading a device").await?;
        activations::untested(&self.0.connections, id).await
    }

    /// The public key and the sealed secret of one-time codes of a device that was activated by a code; `None` where it was
    /// given up or lost since.
    pub async fn activated_device(&self, id: DeviceId) -> Result<Option<(Vec<u8>, Vec<u8>)>, Error> {
        let _place = self.beside("reading a device").await?;
        activations::activated(&self.0.connections, id).await
    }

    /// Changes where a device's pushes go, `None` for an app that only polls from now on. `false` where a refresh of the same
    /// or a higher version was stored before, or the device is gone.
    pub async fn refresh_push_token(
        &self,
        id: DeviceId,
        token: Option<&PushToken>,
        version: i64,
    ) -> Result<bool, Error> {
        let _place = self.beside("changing a push address").await?;
        activations::refresh_push(&self.0.connections, id, (token, version)).await
    }

    /// Forgets a device's push token because the app is gone, and keeps that it was so. `false` where the device has another
    /// token by now, or none.
    pub async fn retire_push_token(&self, device: DeviceId, token: &PushToken) -> Result<bool, Error> {
        let _place = self.beside("retiring a push token").await?;
        administration::retire_push_token(&self.0.connections, device.uuid(), token.reveal()).await
    }

    /// Gives a device up at its own request, which is an act. Its user, where it had not been given up before.
    pub async fn revoke_device(&self, id: DeviceId) -> Result<Option<UserId>, Error> {
        let _place = self.beside("giving up a device").await?;
        activations::revoke(&self.0.connections, id).await
    }
}
