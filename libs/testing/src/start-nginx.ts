import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { exitCodeOf, rememberProcess, stopProcess } from './running-process.ts';
import { temporaryDirectory } from './temporary-directory.ts';

export interface StartNginxOptions {
  /** What stands inside `http { … }`, `listen 127.0.0.1:${port}` included. */
  readonly http: (place: { readonly port: number; readonly directory: string }) => string;
}

export interface RunningNginx extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Puts another `http` block in place and has nginx load it while it serves. */
  reload(http: StartNginxOptions['http']): Promise<void>;
  /** Everything nginx wrote to stderr. */
  output(): string;
  stop(): Promise<number>;
}

/** A real nginx (Debian's package) with the given configuration, in a directory of its own, on a free port of 127.0.0.1. */
export async function startNginx({ http }: StartNginxOptions): Promise<RunningNginx> {
  const binary = ['/usr/sbin/nginx', '/usr/local/sbin/nginx', '/opt/homebrew/bin/nginx'].find((path) => existsSync(path));
  if (binary === undefined) throw new Error('nginx is not installed: apt-get install nginx');
  // Between asking for a port and nginx taking it, another test may be quicker.
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await startOnce(binary, http);
    } catch (error) {
      if (attempt >= 3 || !String(error).includes('Address already in use')) throw error;
    }
  }
}

async function startOnce(binary: string, http: StartNginxOptions['http']): Promise<RunningNginx> {
  const directory = await temporaryDirectory();
  const port = await freePort();
  const file = join(directory.path, 'nginx.conf');
  await writeFile(file, configOf(directory.path, http({ port, directory: directory.path })));
  const child = spawn(binary, ['-p', directory.path, '-c', file, '-e', 'stderr'], { stdio: ['ignore', 'ignore', 'pipe'] });
  rememberProcess(child);
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    output = (output + chunk).slice(-1_048_576);
  });
  const closed = once(child, 'close');
  // QUIT lets requests end; TERM does not wait for them, which is what a test that is over wants.
  const stop = async (): Promise<number> => {
    const code = await stopProcess(child, { signal: 'SIGTERM', deadlineMs: 20_000, name: 'nginx' });
    await directory[Symbol.asyncDispose]();
    return code;
  };
  try {
    await eventually(async () => {
      if (child.exitCode !== null) return;
      const socket = connect(port, '127.0.0.1');
      await once(socket, 'connect').finally(() => socket.destroy());
    });
    if (child.exitCode !== null) {
      await closed;
      throw new Error(`nginx ended with ${await exitCodeOf(child)}: ${output}`);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    reload: async (next) => {
      await writeFile(file, configOf(directory.path, next({ port, directory: directory.path })));
      const before = output.length;
      child.kill('SIGHUP');
      // A refused configuration is only told on stderr; the old one goes on serving.
      await eventually(() => {
        const news = output.slice(before);
        if (/\[emerg\]/.test(news)) return;
        if (!/start worker process/.test(news)) throw new Error('nginx has not started workers for the new configuration.');
      });
      const refused = /\[emerg\].*/.exec(output.slice(before));
      if (refused !== null) throw new Error(`nginx refused the configuration: ${refused[0]}`);
    },
    output: () => output,
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop();
    },
  };
}

function configOf(directory: string, http: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `  ${name}_temp_path ${directory}/${name};`).join('\n');
  return `daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${directory}/nginx.pid;
error_log stderr notice;
events { worker_connections 1024; }
http {
  access_log off;
${temporary}
${http}
}
`;
}
