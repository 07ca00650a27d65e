//! What is asked of Redis as scripts, so that each is one step there.
//!
//! Always holds: a script looks first whether this is the store that was opened (a Redis that came back empty is another one), and tells the
//! watchers in the step that changes the value. It writes nothing before it has read all, and what it publishes first is at worst a spurious
//! notice.

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisResult, ServerErrorKind, Value};

/// One of them.
pub(super) struct Script {
    text: &'static str,
}

/// `meta key… : bytes of a value at most, bytes of all at most` → the store's id, then for each key nothing or `{revision, length, bytes}`;
/// fewer than there are keys where all would be too much.
pub(super) const LOOK: Script = Script {
    text: concat!(
        include_str!("content.lua"),
        r"
local answers, bytes = {redis.call('HGET', KEYS[1], 'id')}, 0
for i = 2, #KEYS do
  local revision, value = content(KEYS[i])
  if revision then
    local part = string.sub(value, 1, tonumber(ARGV[1]))
    bytes = bytes + #part
    answers[i] = {revision, #value, part}
  else
    answers[i] = false
  end
  if bytes > tonumber(ARGV[2]) then break end
end
return answers"
    ),
};

/// `meta key : id channel notice 'absent'|'revision' number digest nonce bytes [value]` → `done` and the new number, `conflict`, or `gone` or
/// `other` if this is not the store. Without a value: deletes.
pub(super) const SWAP: Script = Script {
    text: concat!(
        include_str!("content.lua"),
        r"
local id = redis.call('HGET', KEYS[1], 'id')
if id ~= ARGV[1] then return {id and 'other' or 'gone'} end
local revision, value, kind = content(KEYS[2])
if ARGV[4] == 'absent' then
  if revision then return {'conflict'} end
else
  if revision ~= ARGV[5] then return {'conflict'} end
  local part = string.sub(value, 1, tonumber(ARGV[8]))
  if redis.sha1hex(ARGV[7] .. '\n' .. #value .. '\n' .. part) ~= ARGV[6] then return {'conflict'} end
end
redis.call('PUBLISH', ARGV[2], ARGV[3])
local number = redis.call('HINCRBY', KEYS[1], 'revision', 1)
if not ARGV[9] then
  redis.call('DEL', KEYS[2])
else
  if kind ~= 'hash' then redis.call('DEL', KEYS[2]) end
  redis.call('HSET', KEYS[2], 'revision', number, 'value', ARGV[9])
  redis.call('PERSIST', KEYS[2])
end
return {'done', number}"
    ),
};

/// `meta : id layout about` → the id and the layout of the store, which is made if there is none.
pub(super) const CREATE: Script = Script {
    text: r"
if redis.call('HSETNX', KEYS[1], 'id', ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'layout', ARGV[2], 'about', ARGV[3], 'revision', 0)
end
return redis.call('HMGET', KEYS[1], 'id', 'layout')",
};

impl Script {
    /// Runs it by its hash; a server that has not seen it gets the text.
    pub(super) async fn run<A: AsRef<[u8]>>(
        &self,
        connection: &mut MultiplexedConnection,
        keys: &[A],
        values: &[&[u8]],
    ) -> RedisResult<Value> {
        let call = |command: &str, script: &str| {
            let mut call = redis::cmd(command);
            call.arg(script).arg(keys.len());
            keys.iter().for_each(|key| _ = call.arg(key.as_ref()));
            values.iter().for_each(|value| _ = call.arg(*value));
            call
        };
        match call("EVALSHA", &self.hash()).query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                call("EVAL", self.text).query_async(connection).await
            }
            answer => answer,
        }
    }

    fn hash(&self) -> String {
        sha1_smol::Sha1::from(self.text).digest().to_string()
    }
}
