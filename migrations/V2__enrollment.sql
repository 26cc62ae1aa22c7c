-- Who may ask (portals) and who can be asked (users with their phones and devices).
-- The numbers in `method`, `role`, `kind`, `alg` and `state` are the stored codes of the closed lists in the domain.

CREATE TABLE portals (
    name text PRIMARY KEY,          -- the RabbitMQ user under which it publishes
    title text NOT NULL,            -- the organisation, as the greeting says it
    audiences text[] NOT NULL,      -- whose users it may challenge
    policy jsonb NOT NULL           -- what it may ask for and how; absent fields have their defaults
);

CREATE TABLE users (
    id text PRIMARY KEY,
    audience text NOT NULL,
    method smallint NOT NULL,
    blocked boolean NOT NULL DEFAULT false
);

CREATE TABLE phones (
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    role smallint NOT NULL,
    kind smallint NOT NULL,
    verified boolean NOT NULL,
    number_index bytea NOT NULL,    -- keyed index of the number: finds it, doesn't tell it
    sealed bytea NOT NULL,          -- number and extension, encrypted for this user and role
    masked text NOT NULL,           -- the number with its middle hidden
    has_extension boolean NOT NULL,
    PRIMARY KEY (user_id, role)
);

CREATE INDEX phones_number ON phones (number_index);

CREATE TABLE devices (
    id uuid PRIMARY KEY,
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    alg smallint NOT NULL,          -- 1 ES256, 2 EdDSA
    public_key bytea NOT NULL,
    push_token text,                -- null: the app only polls, or the push service has retired the token
    state smallint NOT NULL         -- 1 active, 2 revoked
);

CREATE INDEX devices_user ON devices (user_id);
