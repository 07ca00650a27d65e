-- What stands under a key: its revision, its bytes and its kind; nil if there is nothing. What certfleet did not write is '-' and its dump.
local function content(key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'none' then return nil, nil, kind end
  if kind == 'string' then return '-', redis.call('GET', key), kind end
  if kind == 'hash' then
    local fields = redis.call('HMGET', key, 'revision', 'value')
    if fields[2] then return string.sub(fields[1] or '-', 1, 32), fields[2], kind end
  end
  return '-', redis.call('DUMP', key), kind
end
