-- Seals over the audit trail, and the salts that let one person's part of it be forgotten. What is sealed and how stands in
-- shared/records/src/seals.rs. Only added: older processes go on, and do not seal.

-- A chain: each seal covers the rows of `audit` and `acts` between two times, and the seal before it. Never changed, but for
-- the marks, which go when the rows do.
CREATE TABLE audit_seals (
    number bigint PRIMARY KEY CHECK (number > 0),
    since timestamptz NOT NULL,
    until timestamptz NOT NULL CHECK (until > since),
    sealed_at timestamptz NOT NULL,
    audit_rows integer NOT NULL,
    audit_hash bytea NOT NULL,          -- SHA-256 over the leaves of the rows of `audit`
    acts_rows integer NOT NULL,
    acts_hash bytea NOT NULL,           -- the same of `acts`
    hash bytea NOT NULL,                -- SHA-256 over all of that and the hash of the seal before
    mac bytea NOT NULL,                 -- of the hash, under a key that is not in the database
    audit_marks bytea,                  -- per row its time and the start of its leaf: names the row that does not fit
    acts_marks bytea NOT NULL
);

CREATE INDEX audit_seals_until ON audit_seals (until);
CREATE INDEX audit_seals_marked ON audit_seals (until) WHERE audit_marks IS NOT NULL;

-- What the leaves of one person's rows are salted with: a user's id, or `number ` and the keyed index of a number.
CREATE TABLE audit_salts (
    subject text PRIMARY KEY,
    salt bytea NOT NULL
);

-- Of an act whose person was erased: its leaf before that, and the fleet's mark on what is left.
ALTER TABLE acts ADD COLUMN erased bytea;

CREATE INDEX acts_at ON acts (at);

-- Drops the partitions of days that are more than `days_kept` days ago. A challenge stays a day longer than the audit rows
-- of its day: they begin before midnight and end after it, and it is the challenge that says whose they are. That the audit
-- of a day was dropped is an act, so that it can be told from a day that somebody has removed.
CREATE OR REPLACE FUNCTION drop_partitions(days_kept integer) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    today date := (fleet_now() AT TIME ZONE 'UTC')::date;
    partition text;
BEGIN
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE (i.inhparent = 'audit'::regclass AND right(c.relname, 8) < to_char(today - days_kept, 'YYYYMMDD'))
            OR (i.inhparent = 'challenges'::regclass AND right(c.relname, 8) < to_char(today - days_kept - 1, 'YYYYMMDD'))
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %I', partition);
        IF partition LIKE 'audit%' THEN
            INSERT INTO acts (at, act, actor, reason)
            VALUES (fleet_now(), 'dropped ' || right(partition, 8), 'fleet', format('the audit is kept for %s days', days_kept));
        END IF;
    END LOOP;
END
$$;
