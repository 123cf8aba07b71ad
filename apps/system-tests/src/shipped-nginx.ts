import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startNginx, type RunningNginx } from '@pointsman/testing';

const shipped = join(import.meta.dirname, '..', '..', '..', 'deploy', 'nginx', 'nginx.conf');

export interface ShippedNginx extends RunningNginx {
  /** The lines of the access log so far. */
  accessLog(): Promise<readonly Readonly<Record<string, unknown>>[]>;
}

/** nginx with the `http` block of `deploy/nginx/nginx.conf`, on another port and with these gateways in place of the three names. */
export async function startShippedNginx({ gateways, makesSpans = false }: { readonly gateways: readonly { readonly url: string }[]; readonly makesSpans?: boolean }): Promise<ShippedNginx> {
  const text = await readFile(shipped, 'utf8');
  const http = /^http \{\n([\s\S]*)^\}/m.exec(text)?.[1];
  if (http === undefined) throw new Error(`${shipped} has no http block`);
  let log = '';
  const nginx = await startNginx({
    http: ({ port, directory }) => {
      log = join(directory, 'access.jsonl');
      let block = replaced(http, /^ *(client_body|proxy|fastcgi|uwsgi|scgi)_temp_path .*;\n/gm, '');
      const servers = gateways.map(({ url }) => `    server ${new URL(url).host} max_fails=3 fail_timeout=5s;\n`).join('');
      block = replaced(block, /(^ *server gateway-\d:4000 max_fails=3 fail_timeout=5s;\n)+/m, servers);
      block = replaced(block, 'listen 8080', `listen 127.0.0.1:${String(port)}`);
      if (makesSpans) block = replaced(block, 'default off;', 'default on;');
      return replaced(block, '/dev/stdout json', `${log} json`);
    },
  });
  return {
    ...nginx,
    accessLog: async () => (await readFile(log, 'utf8')).split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>),
  };
}

function replaced(text: string, what: string | RegExp, by: string): string {
  const next = text.replace(what, () => by);
  if (next === text) throw new Error(`${shipped} has no ${String(what)} to put ${by} in place of`);
  return next;
}
