-- Decides on a request for several buckets at once: all give their tokens, or none does.
--
-- A bucket is the moment at which it will be full, "MICROSECONDS PARTS PER": since 1970, and PARTS
-- of PER to the microsecond. All numbers are whole and below 2^53, so that Lua's are exact.
--
-- For each of KEYS six of ARGV:
--   room, room_parts   the furthest from full that the bucket may be; below zero: refuse
--   take, take_parts   how much later it will be full by what is taken
--   per                parts of a microsecond
--   lag_max            the furthest from full that it can be, in microseconds, -1 if anything goes:
--                      should the server's clock have gone back, nobody waits for it
-- Returns 1 if admitted or 0, then for each bucket how far from full it was before.
local HORIZON = 3155760000000000 -- a hundred years

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stored = redis.call('MGET', unpack(KEYS))
local admitted = 1
local lag, parts, reply = {}, {}, {}

for i = 1, #KEYS do
  local a = (i - 1) * 6
  local per, lag_max = tonumber(ARGV[a + 5]), tonumber(ARGV[a + 6])
  local l, p = 0, 0
  local full_at, full_parts, full_per = string.match(stored[i] or '', '^(%d+) (%d+) (%d+)$')
  if full_at then
    l, p = tonumber(full_at) - now, tonumber(full_parts)
    -- Written under another limit: the part of a microsecond becomes a whole one.
    if tonumber(full_per) ~= per and p > 0 then l, p = l + 1, 0 end
    if l < 0 then l, p = 0, 0 end
    if lag_max >= 0 and l >= lag_max then l, p = lag_max, 0 end
  end
  local room, room_parts = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  if l > room or (l == room and p > room_parts) then admitted = 0 end
  lag[i], parts[i] = l, p
  reply[2 * i], reply[2 * i + 1] = l, p
end

reply[1] = admitted
if admitted == 1 then
  for i = 1, #KEYS do
    local a = (i - 1) * 6
    local take, take_parts = tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
    if take > 0 or take_parts > 0 then
      local per = tonumber(ARGV[a + 5])
      local l, p = lag[i] + take, parts[i] + take_parts
      if p >= per then l, p = l + 1, p - per end
      if l >= HORIZON then l, p = HORIZON, 0 end
      -- A bucket that is full again says nothing: the key may go.
      local ttl = math.floor(l / 1000) + 1
      redis.call('SET', KEYS[i], string.format('%.0f %.0f %.0f', now + l, p, per), 'PX', string.format('%.0f', ttl))
    end
  end
end
return reply
