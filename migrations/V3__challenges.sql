-- Challenges, their audit, and the calls under way.

-- One row per challenge, rewritten with each version. What changes stands first and what never changes last, so that
-- the write-ahead log of an update holds only the front. No index is on a column that changes, and the pages are left
-- half empty (see make_partitions), so that an update stays on its page and touches no index (HOT).
CREATE TABLE challenges (
    version integer NOT NULL,
    told integer NOT NULL,              -- the highest version known to be told to the portal
    transition bigint NOT NULL,         -- random id of the commit that made this version
    result smallint NOT NULL,           -- 0 while it is open
    live bytea NOT NULL,                -- everything that changes: CBOR
    id uuid NOT NULL,                   -- UUIDv7 chosen by the portal
    portal text NOT NULL,
    answer_by timestamptz NOT NULL,
    user_id text,                       -- null for a cancel that came before its request
    request bytea NOT NULL,             -- what was asked: CBOR
    PRIMARY KEY (id, portal)
) PARTITION BY RANGE (id);

CREATE INDEX challenges_answer_by ON challenges (answer_by);
CREATE INDEX challenges_user ON challenges (user_id);

-- One row per version, written in its commit and never changed: the audit trail, and the outbox of events.
CREATE TABLE audit (
    at timestamptz NOT NULL,
    id uuid NOT NULL,
    portal text NOT NULL,
    version integer NOT NULL,
    result smallint NOT NULL,
    event text NOT NULL CHECK (length(event) <= 24),
    detail bytea NOT NULL               -- who, and what the version changed: CBOR
) PARTITION BY RANGE (at);

-- History is asked for one challenge, whose time is known: pages by time are enough.
CREATE INDEX audit_at ON audit USING brin (at) WITH (pages_per_range = 32, autosummarize = on);
-- The sweep follows the ended ones closely, where a BRIN index is not summarized yet.
CREATE INDEX audit_ended ON audit (at) WHERE result <> 0;

-- Attempts that must be looked at, and the lines that calls hold. While an attempt has no line its row has no numbers;
-- the row with the line takes that row's place, so neither can be the primary key of the other.
CREATE TABLE calls (
    id uuid NOT NULL,
    portal text NOT NULL,
    attempt smallint NOT NULL,
    check_at timestamptz NOT NULL,
    to_key bytea,                       -- keyed index of the called number
    from_key bytea,                     -- keyed index of the caller ID
    shared boolean                      -- whether the number is shared behind extensions
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

CREATE INDEX calls_attempt ON calls (id, portal, attempt);
CREATE INDEX calls_check_at ON calls (check_at);
CREATE UNIQUE INDEX calls_line ON calls (to_key, from_key) WHERE to_key IS NOT NULL;
CREATE UNIQUE INDEX calls_to ON calls (to_key) WHERE NOT shared;

-- No challenge whose time for an answer is over by then is open any more.
CREATE TABLE low_water (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    answer_by timestamptz NOT NULL
) WITH (fillfactor = 10);

INSERT INTO low_water (answer_by) VALUES ('epoch');

-- The smallest UUIDv7 of a time: 48 bits of milliseconds, then zeros (RFC 9562, section 5.7).
CREATE FUNCTION first_id_of(at timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;

-- Makes the partitions for each day from yesterday (an id may be 15 minutes old) to `days_ahead` that are not there yet.
-- Any process may call it at any time. A partition is made beside its table and then attached, which, unlike making it
-- in its place, lets reads and writes go on.
CREATE FUNCTION make_partitions(days_ahead integer) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    today date := (fleet_now() AT TIME ZONE 'UTC')::date;
    day date;
    since timestamptz;
    until timestamptz;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('mfa-fleet partitions of ' || current_schema(), 0));
    FOR day IN SELECT today + n FROM generate_series(-1, days_ahead) AS n LOOP
        since := day::timestamp AT TIME ZONE 'UTC';
        until := (day + 1)::timestamp AT TIME ZONE 'UTC';

        partition := 'challenges_' || to_char(day, 'YYYYMMDD');
        IF to_regclass(partition) IS NULL THEN
            -- No compression and no TOAST unless a row would not fit its page.
            EXECUTE format('CREATE TABLE %I (LIKE challenges INCLUDING ALL) WITH (fillfactor = 50, '
                'toast_tuple_target = 8160)', partition);
            EXECUTE format('ALTER TABLE challenges ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                partition, first_id_of(since), first_id_of(until));
        END IF;

        partition := 'audit_' || to_char(day, 'YYYYMMDD');
        IF to_regclass(partition) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE audit INCLUDING ALL)', partition);
            EXECUTE format('ALTER TABLE audit ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                partition, since, until);
        END IF;
    END LOOP;
END
$$;

-- Drops the partitions of days that are more than `days_kept` days ago.
CREATE FUNCTION drop_partitions(days_kept integer) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    oldest text := to_char((fleet_now() AT TIME ZONE 'UTC')::date - days_kept, 'YYYYMMDD');
    partition text;
BEGIN
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('challenges'::regclass, 'audit'::regclass)
            AND right(c.relname, 8) < oldest
    LOOP
        EXECUTE format('DROP TABLE %I', partition);
    END LOOP;
END
$$;
