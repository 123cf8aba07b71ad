import type { Channel } from './channel.ts';

/** A channel within one process, for when there is no Redis: listeners hear it after the publisher's turn, as they would over a wire. */
export function createLocalChannel(): Channel {
  const topics = new Map<string, Set<(message: string) => void>>();
  return {
    publish: async (topic, message) => {
      for (const listener of [...(topics.get(topic) ?? [])]) {
        queueMicrotask(() => {
          // It may have unsubscribed meanwhile.
          if (topics.get(topic)?.has(listener) !== true) return;
          try {
            listener(message);
          } catch (error) {
            // One message must not end every replica that hears it.
            process.emitWarning(error instanceof Error ? error : String(error));
          }
        });
      }
    },
    subscribe: (topic, listener) => {
      // One function may subscribe twice; each subscription ends by itself.
      const own = (message: string): void => listener(message);
      const listeners = topics.get(topic) ?? new Set();
      topics.set(topic, listeners.add(own));
      return () => {
        listeners.delete(own);
        if (listeners.size === 0 && topics.get(topic) === listeners) topics.delete(topic);
      };
    },
  };
}
