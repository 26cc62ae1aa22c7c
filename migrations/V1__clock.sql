-- The one clock of the fleet: every SQL statement and, by measuring its distance, every process follows it.
-- Only tests replace it, in their own schema.
CREATE FUNCTION fleet_now() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    AS 'SELECT clock_timestamp()';
