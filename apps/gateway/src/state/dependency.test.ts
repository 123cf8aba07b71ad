import { startTelemetry, type Telemetry } from '@pointsman/telemetry';
import { eventually } from '@pointsman/testing';
import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { AWAY, Dependency, DependencyAwayError, type DependencyOptions } from './dependency.ts';

interface Reported {
  readonly msg: string;
  readonly dependency?: string;
  readonly reason?: string;
}

function setUp(options: Partial<DependencyOptions> = {}) {
  const clock = new ManualClock();
  const lines: string[] = [];
  const telemetry: Telemetry = startTelemetry({ serviceName: 'test', serviceVersion: '0', logLevel: 'info', processMetrics: false, writeLine: (line) => void lines.push(line) });
  const gauges = new Map<string, unknown>();
  const server = { isDown: false, pings: 0 };
  const dependency = new Dependency({
    name: 'postgres', clock, logger: telemetry.logger, breaker: { failures: 5, halfOpenAfterMs: 60_000 }, deadlineMs: 50, pingEveryMs: 5,
    metrics: { degraded: (service, isAway) => void gauges.set(service, isAway), breakerChanged: (target, state) => void gauges.set(`breaker ${target}`, state) },
    prepare: () => Promise.resolve(),
    ping: () => {
      server.pings += 1;
      return server.isDown ? Promise.reject(new Error('refused')) : Promise.resolve();
    },
    ...options,
  });
  return { clock, dependency, gauges, server, reported: (): Reported[] => lines.map((line) => JSON.parse(line) as Reported) };
}

test('an outage is noticed and its end too, without any traffic; each is one log line, and the gauges follow', async () => {
  const { dependency, server, gauges, reported } = setUp();
  dependency.start();
  await dependency.firstAttempt;
  expect(gauges).toEqual(new Map<string, unknown>([['postgres', false], ['breaker postgres', 'closed']]));
  server.isDown = true;
  await eventually(() => expect(dependency.isAway).toBe(true));
  expect(gauges.get('postgres')).toBe(true);
  expect(gauges.get('breaker postgres')).toBe('open');
  const pings = server.pings;
  await eventually(() => expect(server.pings).toBeGreaterThan(pings + 5));
  server.isDown = false;
  await eventually(() => expect(dependency.isAway).toBe(false));
  expect(gauges.get('postgres')).toBe(false);
  expect(reported().map(({ msg, dependency: name, reason }) => [msg, name, reason])).toEqual([['dependency away', 'postgres', 'Error: refused'], ['dependency back', 'postgres', undefined]]);
  await dependency.close();
});

test('what cannot be prepared is away and is tried again until it can', async () => {
  let tries = 0;
  const { dependency, reported } = setUp({ prepare: () => {
    tries += 1;
    return tries < 3 ? Promise.reject(new Error('connection refused')) : Promise.resolve();
  } });
  const early = dependency.run(() => Promise.resolve('answer'));
  dependency.start();
  await expect(early).rejects.toThrow(DependencyAwayError);
  expect(dependency.isAway).toBe(true);
  expect(dependency.attempt(() => 'answer')).toBe(AWAY);
  await eventually(() => expect(dependency.isAway).toBe(false));
  expect(await dependency.run(() => Promise.resolve('answer'))).toBe('answer');
  expect(dependency.attempt(() => 'answer')).toBe('answer');
  expect(reported().map(({ msg }) => msg)).toEqual(['dependency away', 'dependency back']);
  await dependency.close();
});

test('before the first preparation has ended, work waits for it, but not longer than its deadline', async () => {
  const { promise: prepared, resolve: prepare } = Promise.withResolvers<void>();
  const { dependency } = setUp({ prepare: () => prepared });
  dependency.start();
  await expect(dependency.run(() => Promise.resolve('answer'), 5)).rejects.toThrow(DependencyAwayError);
  expect(dependency.isAway).toBe(false);
  const waiting = dependency.run(() => Promise.resolve('answer'), 10_000);
  prepare();
  expect(await waiting).toBe('answer');
  await dependency.close();
});

test('nobody waits past the deadline; after five that did, nobody waits at all', async () => {
  const { dependency } = setUp({ pingEveryMs: 60_000, deadlineMs: 20 });
  dependency.start();
  await dependency.firstAttempt;
  const never = (): Promise<string> => new Promise(() => undefined);
  await Promise.all(Array.from({ length: 4 }, () => expect(dependency.run(never)).rejects.toThrow(DependencyAwayError)));
  expect(await dependency.attempt(() => Promise.reject(new Error('given up')))).toBe(AWAY);
  expect(dependency.isAway).toBe(true);
  expect(dependency.attempt(never)).toBe(AWAY);
  await dependency.close();
});

test('a failure that proves the server alive is thrown and counts for nothing', async () => {
  const { dependency } = setUp({ pingEveryMs: 60_000, isOutage: (failure) => !(failure instanceof RangeError) });
  dependency.start();
  await dependency.firstAttempt;
  for (let call = 0; call < 10; call += 1) await expect(dependency.run(() => Promise.reject(new RangeError('taken')))).rejects.toThrow(RangeError);
  expect(dependency.isAway).toBe(false);
  await dependency.close();
});

test('a server that answers pings and fails calls is not called back with every ping', async () => {
  const { dependency, clock, server } = setUp();
  dependency.start();
  await dependency.firstAttempt;
  const fail = async (): Promise<void> => {
    for (let call = 0; call < 5; call += 1) await dependency.attempt(() => Promise.reject(new Error('no slot')));
  };
  clock.advance(60_000);
  await fail();
  await eventually(() => expect(dependency.isAway).toBe(false));
  await fail();
  const pings = server.pings;
  await eventually(() => expect(server.pings).toBeGreaterThan(pings + 3));
  expect(dependency.isAway).toBe(true);
  clock.advance(1_000);
  await eventually(() => expect(dependency.isAway).toBe(false));
  await dependency.close();
});

test('a part that fails while everything else works is away by itself: one line with its reason, the gauge, and back when its own ping is answered', async () => {
  const part = { isForbidden: false };
  const { dependency, gauges, reported } = setUp({ pingPart: () => (part.isForbidden ? Promise.reject(new Error('NOPERM evalsha')) : Promise.resolve()) });
  dependency.start();
  await dependency.firstAttempt;
  part.isForbidden = true;
  for (let call = 0; call < 5; call += 1) {
    expect(dependency.isAway).toBe(false);
    expect(await dependency.part.attempt(() => Promise.reject(new Error('NOPERM evalsha')))).toBe(AWAY);
    // A success elsewhere says nothing about it.
    expect(await dependency.attempt(() => Promise.resolve('cached'))).toBe('cached');
  }
  expect([dependency.isAway, dependency.isServerAway, gauges.get('postgres'), gauges.get('breaker postgres')]).toEqual([true, false, true, 'open']);
  expect(dependency.part.attempt(() => 'counted')).toBe(AWAY);
  expect(await dependency.attempt(() => Promise.resolve('cached'))).toBe('cached');
  part.isForbidden = false;
  await eventually(() => expect(dependency.isAway).toBe(false));
  expect(await dependency.part.attempt(() => Promise.resolve('counted'))).toBe('counted');
  expect(gauges.get('breaker postgres')).toBe('closed');
  expect(reported().map(({ msg, reason }) => [msg, reason])).toEqual([['dependency away', 'Error: NOPERM evalsha'], ['dependency back', undefined]]);
  await dependency.close();
});

test('a part that its ping alone finds failing is away too', async () => {
  const { dependency, gauges } = setUp({ pingPart: () => Promise.reject(new Error('NOPERM evalsha')) });
  dependency.start();
  await eventually(() => expect(gauges.get('postgres')).toBe(true));
  expect(dependency.isServerAway).toBe(false);
  await dependency.close();
});
