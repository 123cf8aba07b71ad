import { eventually, startRedis } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { describeChannel, untilHeard } from './channel.conformance.ts';
import { connectRedis } from './connect-redis.ts';
import { createLocalChannel } from './local-channel.ts';
import { createRedisChannel } from './redis-channel.ts';
import { RedisUnavailableError } from './redis-unavailable-error.ts';

describeChannel('a channel in one process', async () => {
  const channel = createLocalChannel();
  return { here: channel, there: channel, [Symbol.asyncDispose]: async () => undefined };
});

describeChannel('a channel on Redis between two replicas', async () => {
  await using parts = new AsyncDisposableStack();
  const redis = parts.use(await startRedis({ password: 'secret' }));
  const replicas = [1, 2].map(() => parts.use(createRedisChannel(parts.use(connectRedis({ url: redis.url, commandTimeoutMs: 5_000 })))));
  const [here, there] = replicas;
  if (here === undefined || there === undefined) throw new Error('There are two.');
  const started = parts.move();
  return { here, there, [Symbol.asyncDispose]: () => started.disposeAsync() };
});

test('after a restart and after a freeze of Redis everybody hears again, and is told that something may have been missed', async () => {
  await using redis = await startRedis();
  await using connection = connectRedis({ url: redis.url });
  let listening = 0;
  await using channel = createRedisChannel(connection, { pingMs: 50, onListening: () => { listening += 1; } });
  const heard: string[] = [];
  channel.subscribe('keys', (message) => heard.push(message));
  await untilHeard(channel, 'keys', heard);
  expect(listening).toBe(1);
  await redis.kill();
  await eventually(() => expect(connection.state).toBe('away'));
  await expect(channel.publish('keys', 'lost')).rejects.toThrow(RedisUnavailableError);
  await redis.restart();
  await untilHeard(channel, 'keys', heard);
  expect(listening).toBe(2);
  redis.freeze();
  // The ping of the listening connection goes unanswered.
  await eventually(async () => {
    await channel.publish('keys', 'frozen').then(() => Promise.reject(new Error('was published')), () => undefined);
    expect(connection.state).toBe('away');
  });
  redis.thaw();
  await untilHeard(channel, 'keys', heard);
  expect(heard).not.toContain('lost');
});
