-- PINs and their lockouts, blocks that end, numbers that asked never to be called, and who did what to a user.
-- Only added: older processes go on, and know a user as blocked until the block is lifted.

ALTER TABLE users
    ADD COLUMN pin text,                    -- Argon2id hash (PHC) of a keyed hash of user and PIN
    ADD COLUMN pin_set_at timestamptz,
    ADD COLUMN blocked_until timestamptz;   -- null: until somebody lifts it

-- Calls that began to guess, by user and factor. One row for each user who has ever been wrong since being right.
CREATE TABLE lockouts (
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    factor smallint NOT NULL,
    wrong integer NOT NULL,                 -- calls since the last right one
    locked_until timestamptz,               -- set by the call that made `wrong` too many
    PRIMARY KEY (user_id, factor)
) WITH (fillfactor = 70);

-- Numbers that are not called any more, whoever has them.
CREATE TABLE opted_out (
    number_index bytea PRIMARY KEY,         -- as in phones
    at timestamptz NOT NULL
);

-- What was done to users and numbers, by people and by help desk: an audit trail, never changed.
CREATE TABLE acts (
    at timestamptz NOT NULL,
    act text NOT NULL,                      -- blocked, not_blocked, unblocked, opted_out, opted_in
    user_id text,
    number_index bytea,
    masked text,                            -- the number with its middle hidden
    actor text NOT NULL,                    -- person, fleet, or operator and login
    reason text NOT NULL,
    until timestamptz,
    id uuid,                                -- the challenge in which it was asked for, and its portal
    portal text
);

CREATE INDEX acts_user ON acts (user_id, at);
CREATE INDEX acts_number ON acts (number_index, at) WHERE number_index IS NOT NULL;
-- What a challenge brings about happens once, however often its end is told.
CREATE UNIQUE INDEX acts_challenge ON acts (id, portal, act) WHERE id IS NOT NULL;
