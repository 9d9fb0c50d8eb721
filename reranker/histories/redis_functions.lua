#!lua name=reranker_histories_1
-- redis_functions.lua: one shopper's events in Redis: append, cap, cut-off, move. Each call is one
-- step that nobody sees half of. All keys of a shopper lie in one slot.
--
--   e  sorted set: score = time, member = arrival number (8 bytes) key (8) flag (1) payload,
--      so that equal times stand in the order of arrival; flag 1: the event named no user
--   k  sorted set of scores 0: key (8) time (8) arrival number (8), searched by key
--   s  hash of a session: owner, since, moving (places that its events may still have to leave)

local LAST = '\255\255\255\255\255\255\255\255\255\255\255\255\255\255\255\255\255'  -- the library string is not there while this is loaded
local HEAD = 17

local function entry(member, time)
  return string.sub(member, 9, 16) .. struct.pack('>d', tonumber(time)) .. string.sub(member, 1, 8)
end

local function is_stored(k, key)
  return #redis.call('ZRANGEBYLEX', k, '[' .. key, '[' .. key .. LAST, 'LIMIT', 0, 1) > 0
end

local function add(e, k, time, member)
  redis.call('ZADD', e, time, member)
  redis.call('ZADD', k, 0, entry(member, time))
end

-- rows: member, time, member, time, ...
local function drop(e, k, rows)
  for at = 1, #rows, 2 do
    redis.call('ZREM', e, rows[at])
    redis.call('ZREM', k, entry(rows[at], rows[at + 1]))
  end
  return #rows / 2
end

local function trim(e, k, most)
  local above = redis.call('ZCARD', e) - most
  if above <= 0 then return 0 end
  return drop(e, k, redis.call('ZRANGE', e, 0, above - 1, 'WITHSCORES'))
end

local function drop_before(e, k, cutoff)
  return drop(e, k, redis.call('ZRANGEBYSCORE', e, '-inf', '(' .. cutoff, 'WITHSCORES'))
end

-- Whether an event of this id is stored. Ids may share the upper bits of their keys.
local function has_id(e, k, key, id, place)
  local low = string.sub(key, 1, 3)
  local fourth = string.byte(key, 4)
  local from = low .. string.char(fourth - fourth % 8) .. '\0\0\0\0'
  local to = low .. string.char(fourth - fourth % 8 + 7) .. '\255\255\255\255' .. LAST
  for _, found in ipairs(redis.call('ZRANGEBYLEX', k, '[' .. from, '[' .. to, 'LIMIT', 0, 4)) do
    local time = string.format('%.17g', (struct.unpack('>d', string.sub(found, 9, 16))))
    local number = string.sub(found, 17, 24)
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', e, time, time)) do
      if string.sub(member, 1, 8) == number then
        if cmsgpack.unpack(string.sub(member, HEAD + 1))[place] == id then return true end
      end
    end
  end
  return false
end

-- KEYS e k s; ARGV: most, cutoff, the id's place in a payload, then time, id or '', member, ...
-- A session's owner, where it has one by now: then nothing was added.
-- Else '' stored duplicates conflicts first-conflict (from 1; 0: none) too-old trimmed.
local function append(keys, args)
  local e, k, s = keys[1], keys[2], keys[3]
  local owner = redis.call('HGET', s, 'owner')
  if owner then return {owner} end
  local most, cutoff, place = tonumber(args[1]), args[2], tonumber(args[3])
  local oldest
  if redis.call('ZCARD', e) >= most then
    oldest = tonumber(redis.call('ZRANGE', e, 0, 0, 'WITHSCORES')[2])
  end
  local stored, duplicates, conflicts, first, too_old = 0, 0, 0, 0, 0
  local keys_here, ids_here = {}, {}
  for at = 4, #args, 3 do
    local time, id, member = args[at], args[at + 1], args[at + 2]
    local key = string.sub(member, 9, 16)
    if keys_here[key] or is_stored(k, key) then
      duplicates = duplicates + 1
    else
      keys_here[key] = true
      if id ~= '' then
        if ids_here[id] or has_id(e, k, key, id, place) then
          conflicts = conflicts + 1
          if first == 0 then first = (at - 1) / 3 end
        end
        ids_here[id] = true
      end
      if oldest and tonumber(time) <= oldest then
        too_old = too_old + 1
      else
        add(e, k, time, member)
        stored = stored + 1
      end
    end
  end
  if cutoff ~= '-inf' then drop_before(e, k, cutoff) end
  return {'', stored, duplicates, conflicts, first, too_old, trim(e, k, most)}
end

-- KEYS e k; ARGV: most, then time, member, ... Events that move here; those known by key stay out.
local function put(keys, args)
  local added = 0
  for at = 2, #args, 2 do
    if not is_stored(keys[2], string.sub(args[at + 1], 9, 16)) then
      add(keys[1], keys[2], args[at], args[at + 1])
      added = added + 1
    end
  end
  trim(keys[1], keys[2], tonumber(args[1]))
  return added
end

-- KEYS e k; ARGV: member, time, ...
local function remove(keys, args)
  return drop(keys[1], keys[2], args)
end

-- KEYS k; ARGV: keys of events. Which of them are stored: 1 or 0 each.
local function known(keys, args)
  local stored = {}
  for at, key in ipairs(args) do stored[at] = is_stored(keys[1], key) and 1 or 0 end
  return stored
end

-- KEYS s; ARGV: owner, since, where a session's events are that has no owner.
-- 1 where the session belongs to somebody else than before: its events have to move.
local function own(keys, args)
  local s = keys[1]
  local owner, since = redis.call('HGET', s, 'owner'), redis.call('HGET', s, 'since')
  if owner and tonumber(since) <= tonumber(args[2]) then return 0 end
  redis.call('HSET', s, 'owner', args[1], 'since', args[2])
  if owner == args[1] then return 0 end
  local moving = redis.call('HGET', s, 'moving')
  local from = owner and 'u' .. owner or args[3]
  redis.call('HSET', s, 'moving', moving and moving .. ',' .. from or from)
  return 1
end

-- KEYS s; ARGV: owner, moving. The events have moved, unless there was another owner meanwhile.
local function moved(keys, args)
  local s = keys[1]
  if redis.call('HGET', s, 'owner') ~= args[1] then return 0 end
  if redis.call('HGET', s, 'moving') ~= args[2] then return 0 end
  return redis.call('HDEL', s, 'moving')
end

-- KEYS e s; ARGV: highest and lowest time, how many. The newest, or the session's owner.
local function recent(keys, args)
  local owner = redis.call('HGET', keys[2], 'owner')
  if owner then return {owner} end
  return {'', redis.call('ZREVRANGEBYSCORE', keys[1], args[1], args[2], 'WITHSCORES',
    'LIMIT', 0, args[3])}
end

-- KEYS e k; ARGV: cutoff. How many went, how many stay.
local function expire(keys, args)
  local gone = drop_before(keys[1], keys[2], args[1])
  return {gone, redis.call('ZCARD', keys[1])}
end

-- KEYS e k s; ARGV: the owner that the session has to have; '' where any will do.
-- How many events went with it.
local function forget_session(keys, args)
  if args[1] ~= '' and redis.call('HGET', keys[3], 'owner') ~= args[1] then return 0 end
  local events = redis.call('ZCARD', keys[1])
  redis.call('DEL', keys[1], keys[2], keys[3])
  return events
end

redis.register_function('reranker_1_append', append)
redis.register_function('reranker_1_put', put)
redis.register_function('reranker_1_remove', remove)
redis.register_function{function_name='reranker_1_known', callback=known, flags={'no-writes'}}
redis.register_function('reranker_1_own', own)
redis.register_function('reranker_1_moved', moved)
redis.register_function{function_name='reranker_1_recent', callback=recent, flags={'no-writes'}}
redis.register_function('reranker_1_expire', expire)
redis.register_function('reranker_1_forget_session', forget_session)
