import { spawnApp, startObjectStore, temporaryDirectory, freePort, eventually, type RunningApp } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { feedbackSpan, requestSpan, rowsOf, sendUntilTaken, stableHex, traces } from './exporter.fixture.ts';

const KILLS = 20;
const BATCH = 50;
const BATCHES_PER_S = 10;
/** So many batches later a row has been written. */
const LATE = 60;

test('killed 20 times under 500 rows a second while the store comes and goes: no row is lost and none is written twice', async () => {
  await using store = await startObjectStore();
  await using directory = await temporaryDirectory();
  const port = await freePort();
  const env = {
    ...store.env, TRACES_BUCKET_URL: `s3://${store.bucket}`, OTLP_PORT: String(port), HEALTH_PORT: '0', HEALTH_HOST: '127.0.0.1', POD_NAME: 'pod-1', SPOOL_DIR: directory.path,
    FLUSH_INTERVAL: '200ms', JOIN_WINDOW: '300ms',
  };
  const start = (): Promise<RunningApp> => spawnApp('trace-exporter', { env });
  let app = await start();
  const sending = new AbortController();
  const sent: Promise<void>[] = [];
  let batches = 0;
  const sendBatch = (): void => {
    const number = batches;
    batches += 1;
    const spans = Array.from({ length: BATCH }, (_, index) => {
      const requestId = `r-${String(number)}-${String(index)}`;
      return requestSpan({ requestId, traceId: stableHex(`t${requestId}`, 16), spanId: stableHex(`s${requestId}`, 8) });
    });
    // Somebody judges a request of the batch before, which may lie in another file by now, and one of long ago, which is written.
    for (const judgedId of [`r-${String(number - 1)}-0`, ...(number >= LATE ? [`r-${String(number - LATE)}-1`] : [])]) {
      spans.push(feedbackSpan({ requestId: judgedId, traceId: stableHex(`ft${judgedId}`, 16), spanId: stableHex(`fs${judgedId}`, 8) }));
    }
    sent.push(sendUntilTaken(() => `http://127.0.0.1:${String(port)}`, traces(...spans), 100, sending.signal));
  };
  const sender = setInterval(sendBatch, 1_000 / BATCHES_PER_S);
  // Flapping: replies that never come although the object was written, refusals, broken connections.
  const faults = [() => store.fail({ match: /^PUT/, lostReply: true }), () => store.fail({ status: 503 }), () => store.fail({ reset: true }), () => store.heal()] as const;
  let flaps = 0;
  const flapper = setInterval(() => {
    store.heal();
    faults[flaps % faults.length]?.();
    flaps += 1;
  }, 350);
  let killed = 0;
  try {
    for (; killed < KILLS; killed += 1) {
      const [taken, spooled] = [batches, store.requests.length];
      // At a moment of its work that differs each time: some batches later, or when it has just begun to write an object.
      await eventually(() => (killed % 2 === 0 ? batches >= taken + 3 + (killed % 5) : store.requests.slice(spooled).some(({ method }) => method === 'PUT')), { intervalMs: 1 });
      expect(await app.stop('SIGKILL')).toBe(137);
      app = await start();
    }
  } finally {
    clearInterval(sender);
    clearInterval(flapper);
    store.heal();
  }
  await Promise.all(sent);
  expect(await app.stop()).toBe(0);
  await app[Symbol.asyncDispose]();

  const rows = await rowsOf(store);
  const requests = rows.filter(({ kind }) => kind === 'request').map(({ request_id: id }) => id);
  expect(new Set(requests).size).toBe(requests.length);
  expect(requests.length).toBe(batches * BATCH);
  // Each verdict once: in the row of its request, or as a row of its own.
  const judged = rows.filter(({ outcome }) => outcome.feedback_score !== undefined).map(({ request_id: id }) => id).sort();
  const expected = Array.from({ length: batches }, (_, number) => [`r-${String(number - 1)}-0`, ...(number >= LATE ? [`r-${String(number - LATE)}-1`] : [])]).flat();
  expect(judged).toEqual(expected.sort());
  expect(rows.some(({ kind }) => kind === 'feedback')).toBe(true);
  expect(rows.some(({ kind, outcome }) => kind === 'request' && outcome.feedback_score !== undefined)).toBe(true);
  expect(store.requests.filter(({ method, status }) => method === 'PUT' && status === 412).length).toBeGreaterThan(0);
  expect(store.requests.filter(({ method, status }) => method === 'PUT' && status === 503).length).toBeGreaterThan(0);
}, 400_000);
