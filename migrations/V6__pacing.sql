-- Calls per second: how many calls each carrier may be given, and the calls that wait for their slot. A call's slot is
-- the time at which its POST may be made; slots lie evenly apart, over all processes.

CREATE TABLE carriers (
    name text PRIMARY KEY,
    calls_per_second integer NOT NULL CHECK (calls_per_second BETWEEN 1 AND 10000),
    next_slot timestamptz NOT NULL DEFAULT 'epoch'  -- no slot before it is free (GCRA: the theoretical arrival time)
) WITH (fillfactor = 10);

-- Calls that found no slot in the next moments, in the order in which they came. Whoever claims one has it for some
-- seconds, in which it is dialed and the row removed; a row whose worker has died is claimed again.
CREATE TABLE waiting_calls (
    carrier text NOT NULL,
    place bigint GENERATED ALWAYS AS IDENTITY,
    since timestamptz NOT NULL,
    id uuid NOT NULL,
    portal text NOT NULL,
    attempt smallint NOT NULL,
    begin_by timestamptz NOT NULL,                  -- after that nobody has the time to answer
    claimed_until timestamptz NOT NULL DEFAULT 'epoch',
    PRIMARY KEY (carrier, place),
    UNIQUE (id, portal, attempt)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

ALTER TABLE acts ADD COLUMN carrier text;           -- the carrier whose rate was changed: the act rate

CREATE INDEX acts_carrier ON acts (carrier, at) WHERE carrier IS NOT NULL;

-- The distance of two slots: a little more than the carrier asks for, since calls arrive there a little early or late.
CREATE FUNCTION slot_spacing(calls_per_second integer) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT make_interval(secs => 1 / (0.97 * calls_per_second)) $$;

-- Locks a carrier's row, made with this rate where there is none. All slots are given out under this lock.
CREATE FUNCTION lock_carrier(of_carrier text, at_rate integer, OUT spacing interval, OUT free_from timestamptz)
    LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        SELECT slot_spacing(c.calls_per_second), c.next_slot INTO spacing, free_from
        FROM carriers c WHERE c.name = of_carrier FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO carriers (name, calls_per_second) VALUES (of_carrier, at_rate) ON CONFLICT DO NOTHING;
    END LOOP;
    -- Only now: the wait for the lock may have taken a while.
    free_from := greatest(free_from, fleet_now());
END
$$;

-- Slots for calls that are ready to be dialed, in the order given. Where nobody waits, that is one which is at most `ahead`
-- away. Everybody else gets a place among those who wait, and is told when its turn will come (`expected`); `late` says
-- that this would be too late, and that no place was kept. Who had a slot and missed it does not wait for its turn again.
CREATE FUNCTION take_slots(of_carrier text, at_rate integer, ahead interval, ids uuid[], portals text[],
        attempts smallint[], begin_bys timestamptz[], missed boolean[])
    RETURNS TABLE (job integer, slot timestamptz, expected timestamptz, late boolean)
    LANGUAGE plpgsql AS $$
DECLARE
    held record;
    moment timestamptz;
    waiting bigint;
    before bigint;
BEGIN
    held := lock_carrier(of_carrier, at_rate);
    moment := fleet_now();
    SELECT count(*) INTO waiting FROM waiting_calls w
    WHERE w.carrier = of_carrier AND w.claimed_until <= moment AND w.begin_by >= moment;
    FOR n IN 1 .. cardinality(ids) LOOP
        before := NULL;
        IF missed[n] THEN
            before := 0;
        ELSIF waiting > 0 THEN
            SELECT (
                SELECT count(*) FROM waiting_calls b
                WHERE b.carrier = w.carrier AND b.place < w.place AND b.claimed_until <= moment
            ) INTO before
            FROM waiting_calls w WHERE w.id = ids[n] AND w.portal = portals[n] AND w.attempt = attempts[n];
        END IF;
        job := n;
        slot := NULL;
        expected := held.free_from + coalesce(before, waiting) * held.spacing;
        late := expected > begin_bys[n];
        IF late THEN
            DELETE FROM waiting_calls w WHERE w.id = ids[n] AND w.portal = portals[n] AND w.attempt = attempts[n];
        ELSIF missed[n] OR (waiting = 0 AND held.free_from <= moment + ahead) THEN
            slot := held.free_from;
            held.free_from := held.free_from + held.spacing;
        ELSIF before IS NULL THEN
            INSERT INTO waiting_calls (carrier, since, id, portal, attempt, begin_by)
            VALUES (of_carrier, moment, ids[n], portals[n], attempts[n], begin_bys[n])
            ON CONFLICT DO NOTHING;
            waiting := waiting + 1;
        END IF;
        RETURN NEXT;
    END LOOP;
    UPDATE carriers c SET next_slot = held.free_from WHERE c.name = of_carrier AND c.next_slot < held.free_from;
END
$$;

-- Slots that are at most `ahead` away for those who have waited longest, `most` of them. Each is claimed for `lease`: by
-- then it is dialed and handed back in `done`, which ends its wait, or somebody else claims it. Who would get a slot too
-- late gets none, and is to be told so (`late`). Challenges that have ended leave without a slot.
CREATE FUNCTION claim_slots(of_carrier text, at_rate integer, ahead interval, lease interval, most integer, done bigint[])
    RETURNS TABLE (call_id uuid, call_portal text, call_attempt smallint, call_place bigint, slot timestamptz, late boolean)
    LANGUAGE plpgsql AS $$
DECLARE
    held record;
    head record;
    moment timestamptz := fleet_now();
    found_calls integer := 0;
BEGIN
    -- Mostly nobody waits: then nobody need wait for the carrier's row either.
    IF cardinality(done) = 0 AND NOT EXISTS (
        SELECT FROM waiting_calls w WHERE w.carrier = of_carrier AND w.claimed_until <= moment
    ) THEN
        RETURN;
    END IF;
    held := lock_carrier(of_carrier, at_rate);
    moment := fleet_now();
    DELETE FROM waiting_calls w WHERE w.carrier = of_carrier AND w.place = ANY (done);
    FOR head IN
        SELECT w.id, w.portal, w.attempt, w.place, w.begin_by, c.result
        FROM waiting_calls w LEFT JOIN challenges c ON c.id = w.id AND c.portal = w.portal
        WHERE w.carrier = of_carrier AND w.claimed_until <= moment ORDER BY w.place
    LOOP
        EXIT WHEN found_calls >= most OR held.free_from > moment + ahead;
        IF coalesce(head.result, 1) <> 0 THEN
            DELETE FROM waiting_calls w WHERE w.carrier = of_carrier AND w.place = head.place;
            CONTINUE;
        END IF;
        UPDATE waiting_calls w SET claimed_until = moment + lease WHERE w.carrier = of_carrier AND w.place = head.place;
        found_calls := found_calls + 1;
        call_id := head.id;
        call_portal := head.portal;
        call_attempt := head.attempt;
        call_place := head.place;
        slot := held.free_from;
        late := held.free_from > head.begin_by;
        IF NOT late THEN
            held.free_from := held.free_from + held.spacing;
        END IF;
        RETURN NEXT;
    END LOOP;
    UPDATE carriers c SET next_slot = held.free_from WHERE c.name = of_carrier AND c.next_slot < held.free_from;
END
$$;
