-- Who took the latest one-time code of a device. A worker that dies after it has taken a code and before it has said so leaves
-- a message that is delivered again: it finds itself here, and is right. Only added: older processes go on.

ALTER TABLE devices
    ADD COLUMN totp_try bytea; -- the try that took `totp_step`: a keyed hash of the message with the code; null where unknown
