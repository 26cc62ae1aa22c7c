-- Requests to change an enrollment, what proves them, and what they change beside users, phones and devices.
-- Only added; the index that makes a challenge's acts unique is made anew for acts that have a version.

-- One row per request, rewritten with each version.
CREATE TABLE enrollments (
    version integer NOT NULL,
    told integer NOT NULL,              -- the highest version known to be told to the portal
    result smallint NOT NULL,           -- 0 while it is open
    passed boolean NOT NULL,            -- whether the change is still to be stored
    test uuid,                          -- the challenge of the test that is under way
    live bytea NOT NULL,                -- everything that changes: CBOR
    id uuid NOT NULL,                   -- UUIDv7 chosen by the portal
    portal text NOT NULL,
    user_id text NOT NULL,              -- who may not be there yet
    respond_by timestamptz NOT NULL,
    collect_by timestamptz NOT NULL,
    request bytea NOT NULL,             -- what was asked, numbers sealed and secrets hashed: CBOR
    PRIMARY KEY (id, portal)
) WITH (fillfactor = 50);

-- One at a time for each user: a newer one takes the place of an older one.
CREATE UNIQUE INDEX enrollments_open ON enrollments (user_id) WHERE result = 0;
CREATE INDEX enrollments_test ON enrollments (test) WHERE test IS NOT NULL;
CREATE INDEX enrollments_untold ON enrollments (respond_by) WHERE told < version;
CREATE INDEX enrollments_collect_by ON enrollments (collect_by);

-- Challenges and requests that have proved something: each proves one request.
CREATE TABLE spent_proofs (
    id uuid NOT NULL,
    portal text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (id, portal)
);

-- Answers to security questions.
CREATE TABLE answers (
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    question text NOT NULL,             -- its id in the portal's list
    hash text NOT NULL,                 -- Argon2id hash (PHC) of a keyed hash of user, question and answer
    PRIMARY KEY (user_id, question)
);

-- PINs that may not be used again for a while.
CREATE TABLE earlier_pins (
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    place bigint GENERATED ALWAYS AS IDENTITY,
    pin text NOT NULL,                  -- as in users
    PRIMARY KEY (user_id, place)
);

-- The one challenge that is approved unasked, for users that an operator has given it to.
CREATE TABLE bypasses (
    user_id text PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    until timestamptz NOT NULL,
    used_at timestamptz
);

ALTER TABLE acts ADD COLUMN version integer;            -- of an enrollment request, whose id and portal stand beside it

DROP INDEX acts_challenge;
CREATE UNIQUE INDEX acts_challenge ON acts (id, portal, act) WHERE id IS NOT NULL AND version IS NULL;
CREATE UNIQUE INDEX acts_enrollment ON acts (id, portal, version) WHERE version IS NOT NULL;
