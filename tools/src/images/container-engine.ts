import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Whoever builds images here. All three take `build`, `save` (buildah: `push`) and the same Dockerfiles. */
export const ENGINES = ['podman', 'buildah', 'docker'] as const;
export type Engine = (typeof ENGINES)[number];

/** The first engine that is installed; undefined where there is none. */
export function findEngine(path: string = process.env['PATH'] ?? ''): Engine | undefined {
  return ENGINES.find((name) => path.split(delimiter).some((folder) => isExecutable(join(folder, name))));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface ImageOptions {
  readonly tag: string;
  readonly dockerfile: string;
  readonly context: string;
  readonly buildArgs: Readonly<Record<string, string>>;
}

/** The words that build an image. Images in Docker's format: OCI has no place for HEALTHCHECK. */
export function buildWords(engine: Engine, { tag, dockerfile, context, buildArgs }: ImageOptions): readonly string[] {
  const args = Object.entries(buildArgs).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]);
  // Nothing is fetched or run while these images are built: no network.
  const format = engine === 'docker' ? [] : ['--format', 'docker'];
  return ['build', '--network', 'none', ...format, ...args, '-t', tag, '-f', dockerfile, context];
}

/** The words that write an image as an archive to `file`. */
export function saveWords(engine: Engine, tag: string, file: string): readonly string[] {
  return engine === 'buildah' ? ['push', tag, `docker-archive:${file}:${tag}`] : ['save', '-o', file, tag];
}

/** Runs a program to its end. @throws Error with the last lines it printed when it fails */
export async function run(command: string, words: readonly string[]): Promise<void> {
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { said = `${said}${text}`.slice(-4_000); });
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve(status ?? 1));
  });
  if (code !== 0) throw new Error(`${command} ${words[0] ?? ''} failed (${code}):\n${said}`);
}
