import { eventually } from '@pointsman/testing';
import { describe, expect, test } from 'vitest';
import type { Channel } from './channel.ts';

export interface ChannelsUnderTest extends AsyncDisposable {
  /** Where is published and where is heard; two replicas, or one and the same. */
  readonly here: Channel;
  readonly there: Channel;
}

/** Publishes until it is heard: a subscription takes a moment to reach the server. */
export async function untilHeard(channel: Channel, topic: string, heard: readonly string[]): Promise<void> {
  let count = 0;
  await eventually(async () => {
    const message = `try ${count++}`;
    await channel.publish(topic, message);
    await eventually(() => heard.includes(message), { timeoutMs: 200, intervalMs: 5 });
  }, { timeoutMs: 25_000 });
}

/** What every Channel must do, whatever it stands on. */
export function describeChannel(name: string, start: () => Promise<ChannelsUnderTest>): void {
  describe(name, () => {
    test('every listener of a topic hears every message in order, and nobody else does', async () => {
      await using under = await start();
      const [one, two, other]: [string[], string[], string[]] = [[], [], []];
      under.there.subscribe('keys', (message) => one.push(message));
      under.here.subscribe('keys', (message) => two.push(message));
      under.there.subscribe('config', (message) => other.push(message));
      await Promise.all([untilHeard(under.here, 'keys', one), untilHeard(under.here, 'keys', two)]);
      await untilHeard(under.here, 'config', other);
      const known = [one.length, two.length];
      const messages = ['a', '', '\u{1f600} b', '{"json":true}\r\n'];
      for (const message of messages) await under.here.publish('keys', message);
      await eventually(() => expect([one.slice(known[0]), two.slice(known[1])]).toEqual([messages, messages]));
      expect(other.every((message) => message.startsWith('try '))).toBe(true);
    });

    test('who unsubscribed hears nothing more, and others of the topic still do', async () => {
      await using under = await start();
      const [gone, stays]: [string[], string[]] = [[], []];
      const unsubscribe = under.there.subscribe('keys', (message) => gone.push(message));
      under.there.subscribe('keys', (message) => stays.push(message));
      await untilHeard(under.here, 'keys', stays);
      await untilHeard(under.here, 'keys', gone);
      unsubscribe();
      unsubscribe();
      const before = gone.length;
      await under.here.publish('keys', 'last');
      await eventually(() => stays.includes('last'));
      expect(gone).toHaveLength(before);
    });
  });
}
