import { openObjectStore, type ObjectStore } from '@pointsman/object-store';
import { eventually, startObjectStore, startRedis, temporaryDirectory, type RunningObjectStore } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { decodeSnapshot } from './bandit-snapshot.ts';
import { candidate, GROUP, opened, type OpenedBandits } from './bandits.fixture.ts';

/** Opens the bucket, by one of the server's two names: its access log tells who came. */
const opener = (server: RunningObjectStore, name = '127.0.0.1') => (): Promise<ObjectStore> => openObjectStore(`s3://${server.bucket}`, {
  endpoint: `http://${name}:${String(server.port)}`, region: server.region, credentials: { accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey },
});

function learn({ bandits }: OpenedBandits, times: number, score = 0.5): void {
  for (let each = 0; each < times; each += 1) bandits.judged({ candidate, features: undefined, score });
}

/** How many rewards the one snapshot in the bucket knows of. */
async function savedCount(server: RunningObjectStore): Promise<number> {
  const [key = '', ...others] = server.keys();
  expect(others).toEqual([]);
  expect(key).toMatch(/^bandit\/prod\/sha256-[0-9a-f]{32}\.json$/);
  return decodeSnapshot(GROUP, String(await server.get(key)))?.sums.get('openai/one')?.count ?? 0;
}

test('of two replicas that share a Redis one writes the snapshot into S3, with what both learned; when it leaves the other one goes on', async () => {
  await using directory = await temporaryDirectory();
  await using redis = await startRedis();
  await using server = await startObjectStore();
  const often = { redisUrl: redis.url, exchangeEveryMs: 10, snapshotEveryMs: 10 };
  const replicas = new Map(['127.0.0.1', 'localhost'].map((name) => [name, opened(directory.path, { ...often, openStore: opener(server, name) })]));
  for (const { bandits } of replicas.values()) bandits.learner(GROUP);
  const writers = (): string[] => server.requests.filter(({ method }) => method === 'PUT').map(({ headers }) => String(headers['host']).replace(/:\d+$/, ''));
  let learned = 0;
  // Both have something new to write all the time.
  await eventually(() => {
    for (const replica of replicas.values()) learn(replica, 1);
    learned += 2;
    expect(writers().length).toBeGreaterThan(15);
  });
  const [first = '', ...others] = new Set(writers());
  expect(others).toEqual([]);
  expect(server.requests.filter(({ method, status }) => method === 'PUT' && status >= 300)).toEqual([]);
  await eventually(async () => expect(await savedCount(server)).toBe(learned));

  await replicas.get(first)?.bandits.close();
  const [[second, other] = []] = [...replicas].filter(([name]) => name !== first);
  if (other === undefined) throw new Error('there is no other replica');
  // The snapshot that it finds is one that it never saw, and what it learned last must be in it all the same.
  learn(other, 3);
  await other.bandits.close();
  // First one, then the other: never the one between two writes of the other.
  const all = writers();
  const handedOver = all.indexOf(String(second));
  expect(new Set(all.slice(0, handedOver))).toEqual(new Set([first]));
  expect(new Set(all.slice(handedOver))).toEqual(new Set([second]));
  expect(await savedCount(server)).toBe(learned + 3);
});

test('when nobody is left and Redis is empty, the next replicas know from S3 what was learned, and Redis has it again', async () => {
  await using directory = await temporaryDirectory();
  await using redis = await startRedis();
  await using server = await startObjectStore();
  const open = (): OpenedBandits => opened(directory.path, { redisUrl: redis.url, openStore: opener(server) });
  const before = [open(), open()];
  for (const { bandits } of before) bandits.learner(GROUP);
  for (const replica of before) learn(replica, 1, 0.25);
  await eventually(async () => {
    for (const { bandits } of before) await bandits.exchange();
    for (const { count } of before) expect(count()).toBe(2);
  });
  // Delivered and written by closing alone.
  for (const [index, replica] of before.entries()) learn(replica, 19 + index, 0.25);
  for (const { bandits } of before) await bandits.close();
  expect(await savedCount(server)).toBe(41);
  await redis.command('FLUSHALL');
  const after = [open(), open()];
  for (const { bandits } of after) bandits.learner(GROUP);
  await eventually(async () => {
    for (const { bandits } of after) await bandits.exchange();
    expect(await redis.command('DBSIZE')).toBeGreaterThan(0);
    for (const { count, sum } of after) expect([count(), sum()]).toEqual([41, 10.25]);
  });
  for (const replica of after) learn(replica, 1, 1);
  for (let round = 0; round < 2; round += 1) for (const { bandits } of after) await bandits.exchange();
  for (const { count, sum } of after) expect([count(), sum()]).toEqual([43, 12.25]);
  for (const { bandits } of after) await bandits.close();
});

test('Redis is emptied while replicas live, and a new one that knows nothing but the snapshot is the first to come: each reward counts once', async () => {
  await using directory = await temporaryDirectory();
  await using redis = await startRedis();
  await using server = await startObjectStore();
  const open = (): OpenedBandits => {
    const replica = opened(directory.path, { redisUrl: redis.url, openStore: opener(server) });
    replica.bandits.learner(GROUP);
    return replica;
  };
  const live = [open(), open()];
  const exchangeAll = async (replicas: readonly OpenedBandits[]): Promise<void> => {
    for (const { bandits } of replicas) await bandits.exchange();
  };
  const knowEach = async (replicas: readonly OpenedBandits[], known: readonly [number, number]): Promise<void> => {
    await eventually(async () => {
      await exchangeAll(replicas);
      for (const { count, sum } of replicas) expect([count(), sum()]).toEqual(known);
    });
  };
  for (const replica of live) {
    learn(replica, 4);
    await replica.bandits.exchange();
  }
  const writer = open();
  await knowEach([...live, writer], [8, 4]);
  await writer.bandits.close();
  expect(await savedCount(server)).toBe(8);
  // Delivered after the snapshot was written, and in it not.
  for (const replica of live) learn(replica, 3);
  await knowEach(live, [14, 7]);
  await redis.command('FLUSHALL');
  const late = open();
  await eventually(async () => {
    await late.bandits.exchange();
    expect(await redis.command('DBSIZE')).toBeGreaterThan(0);
  });
  await knowEach([...live, late], [14, 7]);
  // Nor is anything counted again later.
  await exchangeAll([...live, late]);
  for (const { count } of [...live, late]) expect(count()).toBe(14);
  for (const { bandits } of [...live, late]) await bandits.close();
  expect(await savedCount(server)).toBe(14);
});
