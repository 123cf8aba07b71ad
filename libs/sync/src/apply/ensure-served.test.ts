import type { GatewayReport } from '@pointsman/schemas';
import { expect, test } from 'vitest';
import { RejectedRevisionError } from '../sync-steps.ts';
import { ensureServed, type EnsureServedOptions } from './ensure-served.ts';
import type { GatewayDoor } from './gateway-door.ts';

const never = new AbortController().signal;
const serving = (revision: string | null, refused?: { readonly revision: string; readonly at: string }): GatewayReport => ({
  config_revision: revision, applied_at: null, models: [], ...(refused === undefined ? {} : { last_rejected: { ...refused, reason: 'model_list[0]: broken' } }),
});

/** A gateway that does something on its n-th nudge; time passes by asking. */
function fakeDoor(reports: { now: GatewayReport | undefined | Error }, onNudge: (count: number) => void = () => undefined): GatewayDoor & { nudges: number; clock: () => number } {
  let time = 0;
  return {
    nudges: 0,
    absence: '/run/gateway.pid does not exist',
    clock: () => time,
    report() {
      time += 10;
      return reports.now instanceof Error ? Promise.reject(reports.now) : Promise.resolve(reports.now);
    },
    nudge() {
      if (reports.now === undefined) return Promise.resolve(false);
      onNudge(this.nudges += 1);
      return Promise.resolve(true);
    },
  };
}

function options(door: { clock: () => number }, more: Partial<EnsureServedOptions> = {}): EnsureServedOptions {
  return {
    revision: 'r2', nudgeEveryMs: 100, timeoutMs: 1_000, askEveryMs: 0, now: door.clock,
    isServed: (report) => report.config_revision === 'r2',
    refusal: ({ last_rejected: rejected }) => (rejected?.revision === 'r2' ? rejected.reason : undefined), ...more,
  };
}

test('a gateway that serves it is not nudged', async () => {
  const door = fakeDoor({ now: serving('r2') });
  await ensureServed(door, options(door), never);
  expect(door.nudges).toBe(0);
});

test('a nudge that was lost is repeated until the gateway serves it', async () => {
  const reports: { now: GatewayReport } = { now: serving('r1') };
  const door = fakeDoor(reports, (count) => {
    if (count === 3) reports.now = serving('r2');
  });
  expect(await ensureServed(door, options(door), never)).toMatchObject({ config_revision: 'r2' });
  expect(door.nudges).toBe(3);
});

test('a gateway that comes up late is waited for', async () => {
  const reports: { now: GatewayReport | undefined } = { now: undefined };
  const door = fakeDoor(reports);
  const ask = door.report.bind(door);
  let asked = 0;
  door.report = (signal) => {
    asked += 1;
    if (asked === 5) reports.now = serving('r2');
    return ask(signal);
  };
  await ensureServed(door, options(door), never);
});

test('a refusal is thrown with the gateway’s reason', async () => {
  const reports: { now: GatewayReport } = { now: serving('r1') };
  const door = fakeDoor(reports, () => {
    reports.now = serving('r1', { revision: 'r2', at: 'now' });
  });
  await expect(ensureServed(door, options(door), never)).rejects.toThrow(new RejectedRevisionError('r2', 'The gateway refuses it: model_list[0]: broken'));
  expect(door.nudges).toBe(1);
});

test('a refusal from before is not believed until the gateway was asked again', async () => {
  const old = serving('r1', { revision: 'r2', at: 'yesterday' });
  const reports: { now: GatewayReport } = { now: old };
  const door = fakeDoor(reports, () => {
    reports.now = serving('r2');
  });
  await ensureServed(door, options(door), never);
  const slow: { now: GatewayReport } = { now: old };
  const busy = fakeDoor(slow);
  const ask = busy.report.bind(busy);
  let asked = 0;
  busy.report = (signal) => {
    asked += 1;
    if (asked === 5) slow.now = serving('r2');
    return ask(signal);
  };
  await ensureServed(busy, options(busy), never);
  expect(busy.nudges).toBe(1);
  const stubborn = fakeDoor({ now: old });
  await expect(ensureServed(stubborn, options(stubborn), never)).rejects.toBeInstanceOf(RejectedRevisionError);
});

test.each([
  ['nobody is there', undefined, 'No gateway runs in this pod: /run/gateway.pid does not exist.'],
  ['it cannot be asked', new Error('applied.json is not what a gateway writes.'), 'The gateway could not be asked whether it serves r2: applied.json is not what a gateway writes.'],
  ['it does not follow', serving('r1'), 'does not serve r2 within 1000 ms: see its log'],
])('when %s in time, the error says what to look at', async (_name, now, words) => {
  const door = fakeDoor({ now });
  const failure: unknown = await ensureServed(door, options(door), never).catch((error: unknown) => error);
  expect(failure).not.toBeInstanceOf(RejectedRevisionError);
  expect(String(failure)).toContain(words);
});

test('the signal ends the waiting', async () => {
  const stop = new AbortController();
  const door = fakeDoor({ now: serving('r1') }, () => stop.abort());
  await expect(ensureServed(door, options(door), stop.signal)).rejects.toMatchObject({ name: 'AbortError' });
});
