import { expect, test } from 'vitest';
import { eventually } from './eventually.ts';
import { startRedis, startRedisCluster, startRedisSentinel } from './start-redis.ts';

test('a server answers, dies, comes back on its port empty, and is gone when its block ends', async () => {
  let port: number;
  {
    await using redis = await startRedis();
    port = redis.port;
    expect(redis.url).toBe(`redis://127.0.0.1:${port}`);
    await redis.command('SET', 'a', '1');
    expect(await redis.command('GET', 'a')).toBe('1');
    expect(await redis.command('MGET', 'a', 'b')).toEqual(['1', null]);
    await redis.kill();
    await expect(redis.command('PING')).rejects.toThrow(/ECONNREFUSED/);
    await redis.restart();
    expect(await redis.command('GET', 'a')).toBeNull();
  }
  await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toThrow();
});

test('a frozen server says nothing until it is thawed, and ends also when it is frozen', async () => {
  await using redis = await startRedis();
  redis.freeze();
  let answered = false;
  const pending = redis.command('PING').then((reply) => {
    answered = true;
    return reply;
  });
  const other = await startRedis();
  await other.command('PING');
  await other[Symbol.asyncDispose]();
  expect(answered).toBe(false);
  redis.thaw();
  expect(await pending).toBe('PONG');
  redis.freeze();
});

test('with a password the server refuses who does not send it, and the url carries it', async () => {
  await using redis = await startRedis({ password: 'p:@ss/word' });
  expect(new URL(redis.url).password).toBe('p%3A%40ss%2Fword');
  expect(await redis.command('PING')).toBe('PONG');
  await expect(redis.command('NONSENSE')).rejects.toThrow(/unknown command/);
});

test('a setting that the server refuses is reported in its words', async () => {
  await expect(startRedis({ settings: ['--nonsense', 'yes'] })).rejects.toThrow(/nonsense/);
});

test('sentinels make a replica the master when it is killed', async () => {
  await using sentinel = await startRedisSentinel();
  const killed = await sentinel.killMaster();
  await eventually(async () => expect((await sentinel.master()).port).not.toBe(killed.port), { timeoutMs: 25_000 });
});

test('a cluster serves every slot, and its replica takes over from a killed master', async () => {
  await using cluster = await startRedisCluster();
  const before = await cluster.masterOf('some key');
  await before.command('SET', 'some key', '1');
  expect(await cluster.killMaster('some key')).toBe(before);
  await eventually(async () => {
    const now = await cluster.masterOf('some key');
    expect(now.port).not.toBe(before.port);
    expect(await now.command('GET', 'some key')).toBe('1');
  }, { timeoutMs: 25_000 });
});
