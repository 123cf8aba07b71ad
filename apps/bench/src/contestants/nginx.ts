import { existsSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '@pointsman/testing';
import { startProcess } from '../measure/start-process.ts';
import type { Contestant } from './contestant.ts';

const binary = ['/usr/sbin/nginx', '/usr/bin/nginx', '/usr/local/bin/nginx'].find((path) => existsSync(path));

/** A proxy in C that looks at nothing either: how far Node is from the metal. */
export const nginx: Contestant = {
  name: 'nginx',
  about: 'nginx as a plain proxy: 1 worker, kept-alive upstream, proxy_buffering off, no access log',
  pace: 'fast',
  quick: true,
  defersWork: false,
  async prepare() {
    if (binary === undefined) throw new Error('nginx is not installed (apt-get install nginx).');
  },
  async start({ upstreamUrl, core, directory }) {
    const port = await freePort();
    const file = join(directory, 'nginx.conf');
    // The worker runs as another user and must reach its temporary folders.
    await chmod(directory, 0o755);
    await writeFile(file, configuration({ port, upstream: new URL(upstreamUrl).host, directory }));
    const started = startProcess({ command: binary ?? 'nginx', arguments: ['-p', directory, '-c', file, '-e', join(directory, 'error.log'), '-g', 'daemon off;'], core, directory });
    const baseUrl = `http://127.0.0.1:${port}`;
    await started.answering(`${baseUrl}/`, 10_000);
    return { baseUrl, headers: { authorization: 'Bearer sk-bench' }, pid: started.pid, stop: started.stop };
  },
};

function configuration({ port, upstream, directory }: { readonly port: number; readonly upstream: string; readonly directory: string }): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `  ${name}_temp_path ${join(directory, name)};`).join('\n');
  return `worker_processes 1;
pid ${join(directory, 'nginx.pid')};
events { worker_connections 1024; }
http {
  access_log off;
${temporary}
  client_body_buffer_size 128k;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  upstream provider { server ${upstream}; keepalive 128; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`;
}
