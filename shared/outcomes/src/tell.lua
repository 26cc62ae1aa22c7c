-- KEYS: document (also the channel), signature. ARGV: seq, document, collect_by in seconds, signature or ''.
-- Reads only the head of the stored document, since this runs for every change of every challenge.
local stored = string.match(redis.call('GETRANGE', KEYS[1], 0, 20), '^{"seq":(%d+)')
if stored and tonumber(stored) >= tonumber(ARGV[1]) then return 0 end
-- The server's own clock will expire the keys, so it also says whether they are expired already.
if tonumber(redis.call('TIME')[1]) >= tonumber(ARGV[3]) then return 2 end
redis.call('SET', KEYS[1], ARGV[2], 'EXAT', ARGV[3])
if ARGV[4] ~= '' then redis.call('SET', KEYS[2], ARGV[4], 'EXAT', ARGV[3]) end
redis.call('PUBLISH', KEYS[1], ARGV[2])
return 1
