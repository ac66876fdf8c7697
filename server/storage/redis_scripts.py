"""The Lua of the Redis store. Only commands of Redis 7.0; a script touches one document, hence one slot."""

from dataclasses import dataclass, field
from hashlib import sha1

from server.bus.redis_connection import Command
from server.bus.redis_entries import HEADER
from server.bus.redis_scripts import ENTRY_FIELD
from server.storage.redis_records import StoredKeys

__all__ = ["APPEND", "COUNT", "LOAD", "QUARANTINE", "REPLACE", "TRIM", "Script"]

_COMMON = """
local stream, snapshot, late, quarantine, folded = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

-- The snapshot's generation and position: '0' and '0-0' where there is none, nil where it is damaged.
local function head()
  local record = redis.call('GETRANGE', snapshot, 0, 159)
  if record == '' then return '0', '0-0' end
  local header, digest = string.match(record, '^(1 [^\\n]*) (%x+)\\n')
  if header == nil or redis.sha1hex(header) ~= digest then return nil end
  return string.match(header, '^1 (%d+) (%d+%-%d+) ')
end

-- By their two numbers: as one, a position would be too large for Lua.
local function is_after(id, other)
  local birth, sequence = string.match(id, '^(%d+)%-(%d+)$')
  local other_birth, other_sequence = string.match(other, '^(%d+)%-(%d+)$')
  birth, other_birth = tonumber(birth), tonumber(other_birth)
  if birth ~= other_birth then return birth > other_birth end
  return tonumber(sequence) > tonumber(other_sequence)
end

local function last_id()
  if redis.call('EXISTS', stream) == 0 then return '0-0' end
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end

local function milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Forget what was folded longer than the grace ago. The stream stays, and knows its latest position.
local function trim(grace)
  local due = milliseconds() - grace
  local first_kept = redis.call('ZREVRANGEBYSCORE', folded, due, '-inf', 'LIMIT', 0, 1)[1]
  if first_kept then redis.call('XTRIM', stream, 'MINID', '=', first_kept) end
  redis.call('ZREMRANGEBYSCORE', folded, '-inf', due)
end
"""


@dataclass(frozen=True, slots=True)
class Script:
    """One script on the keys of one document."""

    text: str
    body: str = field(init=False)
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "body", _COMMON + self.text)
        object.__setattr__(self, "sha", sha1(self.body.encode(), usedforsecurity=False).hexdigest())

    def call(self, keys: StoredKeys, *arguments: bytes | str | int) -> Command:
        """Call the script by its digest; a server that has it not answers NOSCRIPT and does nothing."""
        return ("EVALSHA", self.sha, *_keys(keys), *arguments)

    def call_whole(self, keys: StoredKeys, *arguments: bytes | str | int) -> Command:
        """Call the script with its text, which the server keeps."""
        return ("EVAL", self.body, *_keys(keys), *arguments)


def _keys(keys: StoredKeys) -> tuple[int, bytes, bytes, bytes, bytes, bytes]:
    return 5, keys.stream, keys.snapshot, keys.late, keys.quarantine, keys.folded


APPEND = Script(f"""
-- Store those of the entries that are not there yet: ARGV[1], ARGV[3]... their ids, ARGV[2], ARGV[4]... the
-- sealed updates. As a rule the bus has appended them already.
local _, held = head()
local last
for i = 1, #ARGV, 2 do
  local id, entry = ARGV[i], ARGV[i + 1]
  if is_after(id, held or '0-0') and #redis.call('XRANGE', stream, id, id) == 0 then
    last = last or last_id()
    if is_after(id, last) then
      redis.call('XADD', stream, id, '{ENTRY_FIELD}', entry)
      last = id
    else
      redis.call('HSETNX', late, id, entry)
    end
  end
end
""")

LOAD = Script("""
-- Return the snapshot, the latest id of the stream, the entries after the snapshot, and the late ones.
local _, held = head()
return {
  redis.call('GET', snapshot), last_id(), redis.call('XRANGE', stream, '(' .. (held or '0-0'), '+'),
  redis.call('HGETALL', late)
}
""")

REPLACE = Script("""
-- Store the snapshot ARGV[4], up to the id ARGV[2] and before the id ARGV[3], if the generation is still
-- ARGV[1], and forget what it holds after a grace of ARGV[5] ms. Return 1 if so, 0 if not, -1 where the
-- snapshot would go back.
local generation, held = head()
local grace = tonumber(ARGV[5])
if generation ~= ARGV[1] then return 0 end
if is_after(held, ARGV[2]) then return -1 end
-- Forgetting comes first: Redis lets a script that has done so go on where memory is full.
trim(grace)
if grace == 0 then redis.call('XTRIM', stream, 'MINID', '=', ARGV[3]) end
for _, id in ipairs(redis.call('HKEYS', late)) do
  if not is_after(id, ARGV[2]) then redis.call('HDEL', late, id) end
end
redis.call('SET', snapshot, ARGV[4])
if grace > 0 then redis.call('ZADD', folded, milliseconds(), ARGV[3]) end
return 1
""")

TRIM = Script("""
-- Forget what was folded more than ARGV[1] ms ago.
trim(tonumber(ARGV[1]))
""")

COUNT = Script(f"""
-- Return how many entries are not in the snapshot, and the bytes of their updates.
local _, held = head()
local rows, size = 0, 0
local function count(id, sealed)
  if is_after(id, held or '0-0') then
    rows, size = rows + 1, size + math.max(0, #sealed - {HEADER.size})
  end
end
for _, entry in ipairs(redis.call('XRANGE', stream, '(' .. (held or '0-0'), '+')) do
  count(entry[1], entry[2][2])
end
local entries = redis.call('HGETALL', late)
for i = 1, #entries, 2 do count(entries[i], entries[i + 1]) end
return {{rows, size}}
""")

QUARANTINE = Script("""
-- Move those of the entries that are still as they were found, and return their ids: ARGV[1], ARGV[3]...
-- the ids, ARGV[2], ARGV[4]... what their last fields were.
local moved = {}
for i = 1, #ARGV, 2 do
  local id, found = ARGV[i], ARGV[i + 1]
  local entry = redis.call('XRANGE', stream, id, id)[1]
  if entry and entry[2][#entry[2]] == found then
    redis.call('HSET', quarantine, id, table.concat(entry[2]))
    redis.call('XDEL', stream, id)
    moved[#moved + 1] = id
  elseif redis.call('HGET', late, id) == found then
    redis.call('HSET', quarantine, id, found)
    redis.call('HDEL', late, id)
    moved[#moved + 1] = id
  end
end
return moved
""")
