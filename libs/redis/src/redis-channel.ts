import { backoffMs } from '@pointsman/timing';
import type { Redis } from 'ioredis';
import type { Channel } from './channel.ts';
import type { RedisConnection } from './connect-redis.ts';
import { createLocalChannel } from './local-channel.ts';

export interface RedisChannelOptions {
  /** How often the listening connection is asked whether it still lives, in milliseconds: nobody else would notice, as it only listens. */
  readonly pingMs?: number;
  /** Told when it listens (again): what was published meanwhile is lost, so whoever keeps a copy of something looks for itself now. */
  readonly onListening?: () => void;
  readonly random?: () => number;
}

export interface RedisChannel extends Channel, AsyncDisposable {
  close(): Promise<void>;
}

/**
 * Messages to every replica by PUBLISH, heard on a connection of its own that is opened with the first subscription and made anew, with all subscriptions, whenever
 * it breaks: also at another server after a failover. On a cluster any server passes messages on to all. `publish` rejects with RedisUnavailableError.
 */
export function createRedisChannel(connection: RedisConnection, { pingMs = 5_000, onListening, random = Math.random }: RedisChannelOptions = {}): RedisChannel {
  const listeners = createLocalChannel();
  const counts = new Map<string, number>();
  const nameOf = (topic: string): string => `pm:${topic}`;
  const stop = new AbortController();
  let subscriber: Redis | undefined;
  let retry: NodeJS.Timeout | undefined;
  let attempts = 0;

  const open = (): void => {
    retry = undefined;
    const opened = connection.openSubscriber();
    subscriber = opened;
    let ping: NodeJS.Timeout | undefined;
    let over = false;
    const end = (): void => {
      if (over) return;
      over = true;
      clearInterval(ping);
      opened.disconnect();
      if (stop.signal.aborted || subscriber !== opened) return;
      subscriber = undefined;
      retry = setTimeout(open, 25 + backoffMs(attempts, { baseMs: 50, maxMs: 2_000 }, random)).unref();
      attempts += 1;
    };
    opened.on('error', () => undefined); // 'end' follows
    opened.once('end', end);
    opened.on('message', (name: string, message: string) => {
      void listeners.publish(name, message);
    });
    opened.once('ready', () => {
      const names = [...counts.keys()].map(nameOf);
      const listening = names.length === 0 ? Promise.resolve(0) : opened.subscribe(...names);
      listening.then(() => {
        attempts = 0;
        // A frozen server closes nothing: the ping goes unanswered and the connection is ended.
        ping = setInterval(() => void opened.ping().catch(end), pingMs).unref();
        onListening?.();
      }, end);
    });
  };

  const close = async (): Promise<void> => {
    stop.abort();
    clearTimeout(retry);
    const last = subscriber;
    subscriber = undefined;
    if (last === undefined || last.status === 'end') return;
    await new Promise<void>((resolve) => {
      last.once('end', resolve);
      last.disconnect();
    });
  };

  return {
    publish: async (topic, message) => {
      await connection.call('publish', nameOf(topic), message);
    },
    subscribe: (topic, listener) => {
      const unsubscribe = listeners.subscribe(nameOf(topic), listener);
      const count = counts.get(topic) ?? 0;
      counts.set(topic, count + 1);
      if (subscriber === undefined && retry === undefined && !stop.signal.aborted) open();
      // Not connected yet, or no longer: it is among the topics when it is.
      else if (count === 0 && subscriber?.status === 'ready') subscriber.subscribe(nameOf(topic)).catch(() => subscriber?.disconnect());
      let ended = false;
      return () => {
        if (ended) return;
        ended = true;
        unsubscribe();
        const left = (counts.get(topic) ?? 1) - 1;
        if (left > 0) return void counts.set(topic, left);
        counts.delete(topic);
        if (subscriber?.status === 'ready') subscriber.unsubscribe(nameOf(topic)).catch(() => undefined);
      };
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
