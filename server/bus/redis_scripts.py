"""The Lua that runs inside Redis. Only commands of Redis 7.0; each script touches one slot."""

from dataclasses import dataclass, field
from hashlib import sha1

from server.bus import BIRTH_LIMIT, RUNG_LIMIT_BYTES, SEQUENCE_BITS
from server.bus.redis_connection import Command
from server.bus.redis_entries import HEADER, LATEST_ID

__all__ = [
    "APPEND",
    "CLAIM",
    "ENTRY_FIELD",
    "FORGET",
    "KEEP",
    "LIVING",
    "RELEASE",
    "RENEW",
    "STAMP_BYTES",
    "Script",
]

ENTRY_FIELD = "e"
"""The one field of an entry in a stream."""

STAMP_BYTES = 8
"""What stands before the presence that a node keeps: another number each time it is written."""

EVEN_WHEN_FULL = "#!lua flags=allow-oom"
"""How a script begins that Redis carries out even when its memory is full (B14): without a claim nothing is
folded, hence nothing trimmed, and without a lease a node counts as dead. What these take ends by itself."""


@dataclass(frozen=True, slots=True)
class Script:
    """One script on one key."""

    body: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", sha1(self.body.encode(), usedforsecurity=False).hexdigest())

    def call(self, key: bytes, *arguments: bytes | str | int) -> Command:
        """Call the script by its digest; a server that has it not answers NOSCRIPT and does nothing."""
        return ("EVALSHA", self.sha, 1, key, *arguments)

    def call_whole(self, key: bytes, *arguments: bytes | str | int) -> Command:
        """Call the script with its text, which the server keeps."""
        return ("EVAL", self.body, 1, key, *arguments)


APPEND = Script(f"""
-- Append the entries ARGV[4...] of one document and publish each on its channel, a large one by its id
-- alone; return their ids.
-- KEYS[1] the stream; ARGV[1] the channel, of the same slot; ARGV[2] and ARGV[3] the birth and the
-- sequence of the latest position that the caller knows, '0' and '-1' where it knows none.
local stream, bell, birth, sequence = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])

local function parse(id)
  local birth, sequence = string.match(id, '^(%d+)%-(%d+)$')
  return birth, tonumber(sequence)
end

local function last_birth()
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return (parse(info[i + 1])) end
  end
end

local function next_birth()
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local later = math.max(now, tonumber(birth) + 1)
  if later >= {BIRTH_LIMIT} then error({{err = 'ERR no later birth is left'}}) end
  return string.format('%.0f', later)
end

-- Behind an id beyond every position, which is none of ours, nothing could be appended any more.
local function leave_out_foreign()
  local kept = stream .. ':kept'
  redis.call('DEL', kept)
  for _, item in ipairs(redis.call('XRANGE', stream, '-', '{LATEST_ID}')) do
    redis.call('XADD', kept, item[1], unpack(item[2]))
  end
  redis.call('DEL', stream)
  if redis.call('EXISTS', kept) == 1 then redis.call('RENAME', kept, stream) end
end

-- nil, and the birth or the stream corrected, where the stream counts in a later birth; false where there is
-- no stream.
local function count_on(entry)
  local id = redis.pcall('XADD', stream, 'NOMKSTREAM', birth .. '-*', '{ENTRY_FIELD}', entry)
  if type(id) ~= 'table' then return id end
  if string.sub(id.err, 1, 4) ~= 'ERR ' then error(id) end
  local last = last_birth()
  if tonumber(last) >= {BIRTH_LIMIT} then
    leave_out_foreign()
  else
    birth, sequence = last, -1
  end
  return nil
end

-- Positions grow for ever: a sequence that is known already means that the stream went back, and a
-- full one has no room left. Both take a new birth.
local function is_good(id)
  local _, counted = parse(id)
  if birth == '0' or counted <= sequence or counted >= {1 << SEQUENCE_BITS} then return false end
  sequence = counted
  return true
end

local function add(entry)
  local id
  for _ = 1, 3 do
    if id == nil then id = count_on(entry) end
  end
  if id then
    if is_good(id) then return id end
    redis.call('XDEL', stream, id)
  end
  birth, sequence = next_birth(), 0
  return redis.call('XADD', stream, birth .. '-*', '{ENTRY_FIELD}', entry)
end

-- What subscribers are sent waits in memory, and a subscriber of whom too much waits is cut off: many large
-- entries are appended at once after a stream was lost.
local function ring(id, entry)
  local is_large = #entry > {HEADER.size + RUNG_LIMIT_BYTES}
  redis.call('SPUBLISH', bell, is_large and 'L' .. id or 'E' .. id .. ' ' .. entry)
end

local ids = {{}}
for i = 4, #ARGV do
  ids[#ids + 1] = add(ARGV[i])
  ring(ids[#ids], ARGV[i])
end
return ids
""")

RENEW = Script(f"""{EVEN_WHEN_FULL}
-- Let the node ARGV[1] live for ARGV[2] ms more; return 1 where it did not live before. KEYS[1] the leases.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
""")

LIVING = Script("""
-- Return the nodes whose lease holds. KEYS[1] the leases.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
""")

KEEP = Script(f"""{EVEN_WHEN_FULL}
-- Keep ARGV[2] as the presence of the node ARGV[1] in KEYS[1], which is gone when nobody has touched it for
-- ARGV[3] ms.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
""")

FORGET = Script(f"""
-- Remove from KEYS[1] the presence of those nodes that has not been written again since it was found:
-- ARGV[1], ARGV[3]... the nodes, ARGV[2], ARGV[4]... the stamps.
for i = 1, #ARGV, 2 do
  local kept = redis.call('HGET', KEYS[1], ARGV[i])
  if kept and string.sub(kept, 1, {STAMP_BYTES}) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
return 0
""")

CLAIM = Script(f"""{EVEN_WHEN_FULL}
-- Let the node ARGV[1] hold KEYS[1] for ARGV[2] ms; return 0 where another holds it.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")

RELEASE = Script("""
-- Delete KEYS[1] where the node ARGV[1] holds it.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
""")
