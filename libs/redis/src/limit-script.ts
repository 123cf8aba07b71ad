import { createHash } from 'node:crypto';

/**
 * A reservation that was never settled (its replica was killed) weighs on a budget for one to two of these, in milliseconds.
 * Reserved amounts are kept apart for the running period and the one before; what is older is dropped.
 */
export const RESERVATION_PERIOD_MS = 900_000;

/**
 * All operations of one turn of a replica's event loop, in one script: Redis runs it alone, so that each reservation takes from every counter or from none.
 * Time is Redis' own: the clocks of replicas differ.
 *
 * KEYS are the counters, in the order in which ARGV[1] speaks of them. ARGV[2…] are the leases, in that order too. ARGV[1] is words between spaces:
 *   r <n>, then n checks:      w <limit> <amount> <windowMs>  |  p <limit> <leaseMs>  |  b <limit> <amount> <seed> <keepMs>
 *   s <n>, then n corrections: w <end> <difference>           |  b <birth> <period> <reserved> <used> <seed> <keepMs>
 *   f <n>: n leases end. First of all: Redis without memory, with `noeviction`, refuses a script its writes until it has made one that frees.
 *   l <n>, then n times <leaseMs>: leases of running requests go on.
 * Nothing at all is a question whether the script may run. The answer is numbers between spaces: now, then for each r:
 *   1, then for each check:    <count> <end>                  |  <count>              |  <total> <birth> <period>
 *   0 <index of the check that refused>, then the same numbers for that one check.
 *
 * window: hash c(ount), e(nd in ms). parallel: sorted set of leases by their end. budget: hash s(pent), r(eserved in period b), q (reserved in the one before),
 * b (period), i (birth: tells a counter from the one that was there before a FLUSHALL). USD are integers of 10^-9.
 * A key of another type, or a hash without these numbers, is somebody else's: it makes room for a new counter, so that it cannot stop those of others.
 */
export const LIMIT_SCRIPT = `
local format = string.format
local function call(command, name, ...)
  local reply = redis.pcall(command, name, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if string.find(reply.err, 'WRONGTYPE', 1, true) then redis.call('DEL', name) end
  return redis.call(command, name, ...)
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local period = math.floor(now / ${RESERVATION_PERIOD_MS})
local word = string.gmatch(ARGV[1], '%S+')
local function number() return tonumber(word()) end
local key, argument = 0, 1
local out, size = { format('%.0f', now) }, 1
local function put(value) size = size + 1; out[size] = format('%.17g', value) end

local function budget(name, seed)
  local v = call('HMGET', name, 's', 'r', 'q', 'b', 'i')
  local state = { s = tonumber(v[1]), r = tonumber(v[2]), q = tonumber(v[3]), b = tonumber(v[4]), i = tonumber(v[5]) }
  if not (state.s and state.r and state.q and state.b and state.i) then return { s = seed, r = 0, q = 0, b = period, i = now } end
  state.s = math.max(state.s, seed)
  if state.b == period - 1 then
    state.q, state.r, state.b = state.r, 0, period
  elseif state.b < period then
    state.q, state.r, state.b = 0, 0, period
  end
  return state
end
local function keepBudget(name, state, keepMs)
  call('HSET', name, 's', state.s, 'r', state.r, 'q', state.q, 'b', state.b, 'i', state.i)
  call('PEXPIRE', name, keepMs)
end

local function lend(name, lease, leaseMs)
  call('ZADD', name, now + leaseMs, lease)
  if call('PTTL', name) < leaseMs then call('PEXPIRE', name, leaseMs) end
end

local function reserve(count)
  local checks, refused = {}, nil
  for index = 1, count do
    key = key + 1
    local check = { kind = word(), name = KEYS[key], limit = number() }
    checks[index] = check
    if check.kind == 'w' then
      check.amount, check.windowMs = number(), number()
      if not refused then
        local v = call('HMGET', check.name, 'c', 'e')
        check.count, check.ends = tonumber(v[1]), tonumber(v[2])
        if not check.count or not check.ends or now >= check.ends then
          check.fresh, check.count, check.ends = true, 0, now + check.windowMs
        end
        if check.amount == 0 then
          if check.count >= check.limit then refused = index end
        elseif check.count + check.amount > check.limit then refused = index end
      end
    elseif check.kind == 'p' then
      argument = argument + 1
      check.lease, check.leaseMs = ARGV[argument], number()
      if not refused then
        call('ZREMRANGEBYSCORE', check.name, '-inf', now)
        check.count = call('ZCARD', check.name)
        if check.count >= check.limit then refused = index end
      end
    else
      check.amount, check.seed, check.keepMs = number(), number(), number()
      if not refused then
        check.state = budget(check.name, check.seed)
        check.total = check.state.s + check.state.r + check.state.q
        if check.total >= check.limit then refused = index end
      end
    end
  end
  if refused then
    local check = checks[refused]
    put(0)
    put(refused - 1)
    if check.kind == 'w' then put(check.count); put(check.ends)
    elseif check.kind == 'p' then put(check.count)
    else put(check.total); put(0); put(0) end
    return
  end
  put(1)
  for index = 1, count do
    local check = checks[index]
    if check.kind == 'w' then
      check.count = check.count + check.amount
      if check.fresh then
        call('HSET', check.name, 'c', check.count, 'e', check.ends)
        call('PEXPIRE', check.name, check.windowMs)
      elseif check.amount ~= 0 then
        call('HSET', check.name, 'c', check.count)
      end
      put(check.count)
      put(check.ends)
    elseif check.kind == 'p' then
      lend(check.name, check.lease, check.leaseMs)
      put(check.count + 1)
    else
      check.state.r = check.state.r + check.amount
      keepBudget(check.name, check.state, check.keepMs)
      put(check.total + check.amount)
      put(check.state.i)
      put(check.state.b)
    end
  end
end

local function settle(count)
  for _ = 1, count do
    key = key + 1
    local kind, name = word(), KEYS[key]
    if kind == 'w' then
      local ends, difference = number(), number()
      local v = call('HMGET', name, 'c', 'e')
      local taken = tonumber(v[1])
      if taken and tonumber(v[2]) == ends and now < ends then
        call('HSET', name, 'c', math.max(0, taken + difference))
      end
    else
      local birth, reservedIn, reserved, used, seed, keepMs = number(), number(), number(), number(), number(), number()
      local state = budget(name, seed)
      if state.i == birth then
        if state.b == reservedIn then state.r = math.max(0, state.r - reserved)
        elseif state.b == reservedIn + 1 then state.q = math.max(0, state.q - reserved) end
      end
      state.s = state.s + used
      keepBudget(name, state, keepMs)
    end
  end
end

local function free(count)
  for _ = 1, count do
    key, argument = key + 1, argument + 1
    call('ZREM', KEYS[key], ARGV[argument])
  end
end

local function renew(count)
  for _ = 1, count do
    key, argument = key + 1, argument + 1
    call('ZREMRANGEBYSCORE', KEYS[key], '-inf', now)
    lend(KEYS[key], ARGV[argument], number())
  end
end

local operations = { r = reserve, s = settle, f = free, l = renew }
local operation = word()
while operation do
  operations[operation](number())
  operation = word()
end
return table.concat(out, ' ')
`;

export const LIMIT_SCRIPT_SHA = createHash('sha1').update(LIMIT_SCRIPT).digest('hex');
