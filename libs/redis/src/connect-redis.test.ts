import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { eventually, freePort, startRedis, temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { connectRedis, type RedisState } from './connect-redis.ts';
import { RedisUnavailableError } from './redis-unavailable-error.ts';
import { ReplyError } from './reply-parser.ts';

const soon = (): AbortSignal => AbortSignal.timeout(20_000);

test('commands are answered in order, each with its own, whatever their replies are', async () => {
  await using redis = await startRedis();
  await using connection = connectRedis({ url: redis.url, commandTimeoutMs: 5_000 });
  await connection.whenReady(soon());
  const replies = await Promise.allSettled([
    connection.call('set', 'a', 'h\u00e9'), connection.call('get', 'a'), connection.call('incr', 'a'), connection.call('get', 'b'),
    connection.call('mget', 'a', 'b'), connection.call('hgetall', 'c'), connection.call('nonsense'), connection.call('incr', 'd'),
  ]);
  expect(replies.map((reply) => (reply.status === 'fulfilled' ? reply.value : (reply.reason as Error).constructor))).toEqual(['OK', 'h\u00e9', ReplyError, null, ['h\u00e9', null], [], ReplyError, 1]);
});

test('a server that dies fails what was asked at once, and is found again when it is back; each change is told once', async () => {
  await using redis = await startRedis();
  const states: [RedisState, string][] = [];
  await using connection = connectRedis({ url: redis.url, commandTimeoutMs: 5_000, onState: (...change) => states.push(change) });
  await connection.whenReady(soon());
  redis.freeze();
  const asked = [connection.call('incr', 'a'), connection.call('incr', 'a')].map((call) => call.then(() => 'answered', (error: unknown) => error));
  await redis.kill();
  for (const outcome of await Promise.all(asked)) expect(outcome).toBeInstanceOf(RedisUnavailableError);
  await eventually(() => expect(connection.state).toBe('away'));
  await expect(connection.call('get', 'a')).rejects.toThrow(RedisUnavailableError);
  // Several attempts to connect fail meanwhile.
  await eventually(() => expect(states.at(-1)?.[0]).toBe('away'));
  await redis.restart();
  await connection.whenReady(soon());
  // What was given up was not sent again.
  expect(await connection.call('get', 'a')).toBeNull();
  expect(states.map(([state]) => state)).toEqual(['ready', 'away', 'ready']);
});

test('a frozen server keeps nobody waiting, and what it says when it thaws answers nobody else', async () => {
  await using redis = await startRedis();
  const states: string[] = [];
  await using connection = connectRedis({ url: redis.url, commandTimeoutMs: 100, onState: (state, reason) => states.push(`${state}: ${reason}`) });
  await connection.whenReady(soon());
  redis.freeze();
  const early = Array.from({ length: 20 }, (_, index) => connection.call('set', `early${index}`, String(index)));
  for (const outcome of await Promise.allSettled(early)) expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'RedisUnavailableError', message: 'Redis is not available: no answer within 100 ms.' } });
  // From now on nothing is even sent: the kernel accepts connections, but no handshake is answered.
  for (let index = 0; index < 50; index += 1) await expect(connection.call('get', 'early0')).rejects.toThrow(RedisUnavailableError);
  expect(states).toEqual(['ready: connected', 'away: no answer within 100 ms']);
  redis.thaw();
  await connection.whenReady(soon());
  const replies = await Promise.all(Array.from({ length: 50 }, (_, index) => connection.call('echo', `late${index}`)));
  expect(replies).toEqual(Array.from({ length: 50 }, (_, index) => `late${index}`));
  expect(states.map((state) => state.split(':')[0])).toEqual(['ready', 'away', 'ready']);
});

test('a server that is not there, and one that is no Redis, are away and go on being tried', async () => {
  const port = await freePort();
  const states: RedisState[] = [];
  await using connection = connectRedis({ url: `redis://127.0.0.1:${port}`, onState: (state) => states.push(state) });
  await expect(connection.call('ping')).rejects.toThrow(RedisUnavailableError);
  await eventually(() => expect(states).toEqual(['away']));
  await expect(connection.whenReady(AbortSignal.abort())).rejects.toThrow(/ECONNREFUSED/);
  let tried = 0;
  const server = createServer((socket) => {
    tried += 1;
    socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n');
  }).listen(port, '127.0.0.1');
  await eventually(() => expect(tried).toBeGreaterThan(2));
  expect(connection.state).toBe('away');
  server.close();
  expect(states).toEqual(['away']);
});

test('a password is sent, and a wrong one is named as the reason without being shown', async () => {
  await using redis = await startRedis({ password: 'hunter2/@' });
  await using connection = connectRedis({ url: redis.url, commandTimeoutMs: 5_000 });
  await connection.whenReady(soon());
  expect(await connection.call('ping')).toBe('PONG');
  const reasons: string[] = [];
  await using wrong = connectRedis({ url: `redis://:hunter3@127.0.0.1:${redis.port}`, onState: (_, reason) => reasons.push(reason) });
  await eventually(() => expect(reasons).toEqual([expect.stringMatching(/WRONGPASS/)]));
  expect(wrong.state).toBe('away');
  expect(reasons.join('')).not.toContain('hunter');
});

test('rediss:// speaks TLS and checks the certificate', async () => {
  await using directory = await temporaryDirectory();
  const [certFile, keyFile] = [join(directory.path, 'cert.pem'), join(directory.path, 'key.pem')];
  await promisify(execFile)('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', keyFile, '-out', certFile]);
  await using redis = await startRedis({ tls: { certFile, keyFile } });
  expect(redis.url).toMatch(/^rediss:/);
  await using connection = connectRedis({ url: redis.url, commandTimeoutMs: 5_000, tls: { ca: await readFile(certFile) } });
  await connection.whenReady(soon());
  expect(await connection.call('ping')).toBe('PONG');
  const reasons: string[] = [];
  await using untrusting = connectRedis({ url: redis.url, onState: (_, reason) => reasons.push(reason) });
  await eventually(() => expect(reasons).toEqual([expect.stringMatching(/self.signed/)]));
  expect(untrusting.state).toBe('away');
});

test('closing ends everything: nothing is left that keeps a process alive, and whoever still asks is refused', async () => {
  await using redis = await startRedis();
  const connection = connectRedis({ url: redis.url, commandTimeoutMs: 5_000 });
  await connection.whenReady(soon());
  const pending = connection.call('set', 'a', '1').catch((error: unknown) => error);
  await connection.close();
  await connection.close();
  await pending;
  await expect(connection.call('ping')).rejects.toThrow(/was closed here/);
  // What was written before the end arrived.
  await eventually(async () => expect(await redis.command('GET', 'a')).toBe('1'));
  const never = connectRedis({ url: `redis://127.0.0.1:${await freePort()}` });
  await never.close();
  await expect(never.whenReady()).rejects.toThrow(/was closed here/);
});

test('commands that come while a write is unanswered gather for the next one, hurried ones do not wait, and every answer finds its question', async () => {
  await using redis = await startRedis();
  await using connection = connectRedis({ url: redis.url });
  await connection.whenReady();
  const answers: string[] = [];
  const ask = (name: string): void => connection.send('echo', [name], { binary: false }, (error, reply) => void answers.push(error === null ? String(reply) : error.message));
  let flushes = 0;
  ask('first');
  await nextTurn();
  ask('second');
  connection.atTurnEnd(() => {
    flushes += 1;
    ask('gathered');
  });
  await eventually(() => answers.length === 3);
  expect(answers).toEqual(['first', 'second', 'gathered']);
  expect(flushes).toBe(1);
  redis.freeze();
  ask('unanswered');
  await nextTurn();
  connection.atTurnEnd(() => ask('held'));
  await eventually(() => answers.length === 5);
  // Nobody waits for ever behind a server that stands still: what was held is refused with what was sent.
  expect(answers.slice(3).every((answer) => !['unanswered', 'held'].includes(answer))).toBe(true);
  redis.thaw();
});

test('news of a failover that comes while a sentinel is asked for the master does not end the connection for ever', async () => {
  await using redis = await startRedis();
  const sentinel = await startScriptedSentinel(redis.port);
  await using connection = connectRedis({ url: `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`, commandTimeoutMs: 5_000 });
  await connection.whenReady(soon());
  await eventually(() => expect(sentinel.subscribers).toBe(1));
  sentinel.hold();
  await redis.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await eventually(() => expect(sentinel.held).toBe(1));
  expect(connection.state).toBe('away');
  sentinel.announceFailover();
  // The news is read before the answer: they come on two connections.
  await eventually(() => expect(sentinel.subscribers).toBe(0));
  sentinel.answer();
  await connection.whenReady(soon());
  expect(await connection.call('ping')).toBe('PONG');
  sentinel.close();
});

/** What a sentinel says of one master, at the moment that the test chooses. https://redis.io/docs/latest/develop/reference/sentinel-clients/ */
async function startScriptedSentinel(masterPort: number) {
  const subscribers = new Set<Socket>();
  const held: Socket[] = [];
  let holds = false;
  const bulk = (...parts: readonly string[]): string => `*${parts.length}\r\n${parts.map((part) => `$${part.length}\r\n${part}\r\n`).join('')}`;
  const tellMaster = (socket: Socket): boolean => socket.write(bulk('127.0.0.1', String(masterPort)));
  const server = createServer((socket) => {
    socket.on('error', () => undefined).on('close', () => subscribers.delete(socket));
    socket.on('data', (chunk) => {
      for (const command of chunk.toString().toLowerCase().split(/(?=^\*\d+\r\n)/m)) {
        if (command.includes('get-master-addr-by-name')) {
          if (holds) held.push(socket);
          else tellMaster(socket);
        } else if (command.includes('subscribe')) {
          subscribers.add(socket);
          socket.write('*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n');
        } else socket.write(command.includes('sentinel') ? '*0\r\n' : '+OK\r\n');
      }
    });
  }).listen(await freePort(), '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    get subscribers() {
      return subscribers.size;
    },
    get held() {
      return held.length;
    },
    hold: () => {
      holds = true;
    },
    announceFailover: () => {
      for (const socket of subscribers) socket.write(bulk('message', '+switch-master', `mymaster 127.0.0.1 1 127.0.0.1 ${masterPort}`));
    },
    answer: () => {
      holds = false;
      for (const socket of held.splice(0)) tellMaster(socket);
    },
    close: () => server.close(),
  };
}
