import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until no other bench runs on this machine: two at once would measure each other.
 * The turn is an abstract Unix socket (Linux), which the kernel gives back however the holder ends. `onWait` is called once when there is a wait.
 */
export async function takeTurn({ name = 'pointsman-bench', onWait, pollMs = 500 }: { readonly name?: string; readonly onWait: () => void; readonly pollMs?: number }): Promise<AsyncDisposable> {
  for (let tries = 0; ; tries += 1) {
    const server = createServer((socket) => socket.destroy());
    server.listen(`\0${name}`);
    try {
      await once(server, 'listening');
      server.unref();
      return {
        async [Symbol.asyncDispose]() {
          server.close();
          await once(server, 'close');
        },
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      if (tries === 0) onWait();
      await sleep(pollMs);
    }
  }
}
