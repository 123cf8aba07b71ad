import { startTelemetry } from '@pointsman/telemetry';
import { eventually } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { followAccessChanges } from './follow-access-changes.ts';
import { FakeDatabase } from './key-access.fixture.ts';

function setUp() {
  const database = new FakeDatabase();
  const changes: (readonly string[] | undefined)[] = [];
  const published: string[] = [];
  let hear: (message: string) => void = () => undefined;
  const { logger } = startTelemetry({ serviceName: 'test', serviceVersion: '0', logLevel: 'silent', processMetrics: false });
  const follower = followAccessChanges({
    database, logger, pollEveryMs: 5, onChange: (tokens) => void changes.push(tokens),
    channel: {
      publish: (_topic, message) => {
        published.push(message);
        return Promise.reject(new Error('nobody there'));
      },
      subscribe: (_topic, listener) => {
        hear = listener;
        return () => {
          hear = () => undefined;
        };
      },
    },
  });
  return { database, changes, published, follower, hear: (message: string) => hear(message) };
}

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);

test('what the journal tells is applied, from the cursor of the last look on; before the first look anything may have changed', async () => {
  const { database, changes, follower } = setUp();
  await eventually(() => expect(changes).toEqual([undefined]));
  database.changes.push([A], undefined);
  await eventually(() => expect(changes).toEqual([undefined, [A], undefined]));
  expect(database.cursors.slice(0, 3)).toEqual([undefined, 'c1', 'c2']);
  await follower.close();
});

test('an outage of the database loses no change', async () => {
  const { database, changes, follower } = setUp();
  await eventually(() => expect(changes).toHaveLength(1));
  database.isAway = true;
  database.changes.push([B]);
  const looks = database.cursors.length;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(database.cursors.length - looks).toBeLessThanOrEqual(1);
  const cursor = `c${String(database.cursors.length)}`;
  database.isAway = false;
  await eventually(() => expect(changes.at(-1)).toEqual([B]));
  expect(database.cursors).toContain(cursor);
  await follower.close();
});

test('messages of other replicas are applied; what is no message is not', async () => {
  const { changes, follower, hear } = setUp();
  await eventually(() => expect(changes).toHaveLength(1));
  hear(JSON.stringify([A, 'not a hash', 7]));
  hear('*');
  for (const nonsense of ['', '{', '{"a":1}', '7', 'null', JSON.stringify(Array.from({ length: 1_001 }, () => A))]) hear(nonsense);
  expect(changes.slice(1)).toEqual([[A], undefined]);
  await follower.close();
});

test('a change made here counts here at once and is told to others, whether anybody hears it or not', async () => {
  const { changes, follower, published } = setUp();
  follower.announce([A]);
  expect(changes).toContainEqual([A]);
  follower.announce(undefined);
  expect(published).toEqual([JSON.stringify([A]), '*']);
  await follower.close();
});
