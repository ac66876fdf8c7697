"""The Lua of the Redis store. Only commands of Redis 7.0; a script touches one document, hence one slot."""

from dataclasses import dataclass, field
from hashlib import sha1

from server.bus.redis_connection import Command
from server.bus.redis_entries import HEADER
from server.storage.redis_records import StoredKeys

__all__ = ["APPEND", "COUNT", "LOAD", "QUARANTINE", "REPLACE", "Script"]

_COMMON = """
local stream, snapshot, late, quarantine = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

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


def _keys(keys: StoredKeys) -> tuple[int, bytes, bytes, bytes, bytes]:
    return 4, keys.stream, keys.snapshot, keys.late, keys.quarantine


APPEND = Script("""
-- Store those of the entries that are not there yet: ARGV[1], ARGV[3]... their ids, ARGV[2], ARGV[4]... the
-- sealed updates. Return the indexes of those that are not stored, because others have their ids. As a rule
-- the bus has appended them already. Only the bus adds to the stream: one that was lost and stood there again
-- with its last entry would look whole to everybody who follows it.
local taken = {}
for i = 1, #ARGV, 2 do
  local id, entry = ARGV[i], ARGV[i + 1]
  local found = redis.call('XRANGE', stream, id, id)[1]
  local there = found and found[2][#found[2]]
  if not there and redis.call('HSETNX', late, id, entry) == 0 then there = redis.call('HGET', late, id) end
  if there and there ~= entry then taken[#taken + 1] = (i - 1) / 2 end
end
return taken
""")

LOAD = Script("""
-- Return the snapshot, the latest id of the stream, its entries, and the late ones.
return {
  redis.call('GET', snapshot), last_id(), redis.call('XRANGE', stream, '-', '+'), redis.call('HGETALL', late)
}
""")

REPLACE = Script("""
-- Store the snapshot ARGV[3], up to the id ARGV[2], if the generation is still ARGV[1], and forget the
-- entries ARGV[4...]. Return 1 if so, 0 if not, -1 where the snapshot would go back. The stream stays, and
-- knows its latest position.
local generation, held = head()
if generation ~= ARGV[1] then return 0 end
if is_after(held, ARGV[2]) then return -1 end
-- Forgetting comes first: Redis lets a script that has done so go on where memory is full.
for i = 4, #ARGV do
  redis.call('XDEL', stream, ARGV[i])
  redis.call('HDEL', late, ARGV[i])
end
redis.call('SET', snapshot, ARGV[3])
return 1
""")

COUNT = Script(f"""
-- Return how many entries there are, and the bytes of their updates.
local rows, size = 0, 0
local function count(sealed)
  rows, size = rows + 1, size + math.max(0, #sealed - {HEADER.size})
end
for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+')) do count(entry[2][2]) end
for _, sealed in ipairs(redis.call('HVALS', late)) do count(sealed) end
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
