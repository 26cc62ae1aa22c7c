-- The authenticator app in full: how a device came to be, where its pushes go, its one-time codes, and activation codes.
-- Only added: older processes go on.

ALTER TABLE devices
    ADD COLUMN name text,                               -- as the app called it when it was activated
    ADD COLUMN platform text,                           -- android, ios or other
    ADD COLUMN push_fid boolean NOT NULL DEFAULT false, -- whether `push_token` is a Firebase installation id
    ADD COLUMN push_version bigint NOT NULL DEFAULT 0,  -- of the latest refresh of `push_token`: an older one comes too late
    ADD COLUMN push_retired boolean NOT NULL DEFAULT false, -- whether its latest `push_token` was forgotten because the app was gone
    ADD COLUMN activated_at timestamptz,
    ADD COLUMN totp bytea,                              -- secret of its one-time codes (RFC 6238), encrypted for this device
    ADD COLUMN totp_step bigint NOT NULL DEFAULT 0;     -- the latest time step of which a code was taken: none is taken twice

-- Two rows for each activation code that was ever given out for a request, the long one and the one to be typed. The codes
-- themselves are derived from the request's id and the counter, and stored nowhere.
CREATE TABLE activations (
    code_index bytea PRIMARY KEY,                       -- keyed hash of the code
    id uuid NOT NULL,                                   -- the request
    portal text NOT NULL,
    counter smallint NOT NULL,                          -- which of the request's codes; only the latest counts
    FOREIGN KEY (id, portal) REFERENCES enrollments ON DELETE CASCADE
);

CREATE INDEX activations_request ON activations (id, portal);

-- A device that was activated for a request whose test it has not passed yet. The commit that makes the request `enrolled`
-- moves it to `devices`; until then it can answer that test and nothing else.
CREATE TABLE untested_devices (
    device uuid PRIMARY KEY,
    id uuid NOT NULL,                                   -- the request
    portal text NOT NULL,
    user_id text NOT NULL,                              -- who may not be there yet
    alg smallint NOT NULL,                              -- this and the rest as in devices
    public_key bytea NOT NULL,
    name text NOT NULL,
    platform text NOT NULL,
    push_token text,
    push_fid boolean NOT NULL,
    push_version bigint NOT NULL DEFAULT 0,
    push_retired boolean NOT NULL DEFAULT false,
    activated_at timestamptz NOT NULL,
    totp bytea NOT NULL,
    UNIQUE (id, portal),
    FOREIGN KEY (id, portal) REFERENCES enrollments ON DELETE CASCADE
);

CREATE INDEX untested_devices_user ON untested_devices (user_id);
