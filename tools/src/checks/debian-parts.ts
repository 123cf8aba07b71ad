import { spawn } from 'node:child_process';
import { existsSync, globSync, rmSync, writeFileSync } from 'node:fs';

export interface DebianPart {
  /** Debian's package. */
  readonly name: string;
  /** Where its program lies, as a glob: how to tell that it is installed, by whatever means. */
  readonly program: string;
  readonly why: string;
}

/** Programs the tests run for real that npm does not have. */
export const DEBIAN_PARTS: readonly DebianPart[] = [
  { name: 'redis-server', program: '/usr/bin/redis-server', why: 'limits, caches and locks are tested on a real Redis' },
  { name: 'postgresql', program: '/usr/lib/postgresql/*/bin/initdb', why: 'keys, spend and audit records are tested on a real PostgreSQL' },
  { name: 'nginx', program: '/usr/sbin/nginx', why: 'streams, drain and trace context are tested behind a real proxy' },
  { name: 'prometheus', program: '/usr/bin/promtool', why: 'promtool checks the alert rules and tests them' },
  { name: 'prometheus-alertmanager', program: '/usr/bin/amtool', why: 'amtool checks the alert routing' },
];

const POLICY = '/usr/sbin/policy-rc.d';
const INSTALL_LIMIT_MS = 8 * 60_000;

/** The parts whose program is not there. */
export function missingParts(parts: readonly DebianPart[] = DEBIAN_PARTS): DebianPart[] {
  return parts.filter(({ program }) => globSync(program).length === 0);
}

/**
 * Installs missing parts where that is possible: on Debian as root. Elsewhere says in one line what to install and goes on:
 * the tests that need them then say so themselves.
 * @throws Error when apt was there and failed.
 */
export async function ensureDebianParts(say: (text: string) => void): Promise<void> {
  const missing = missingParts();
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name);
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    say(`Not installed: ${names.join(', ')}. Tests that need them will fail; install them first: sudo apt-get install ${names.join(' ')}`);
    return;
  }
  for (const { name, why } of missing) say(`installing ${name}: ${why}`);
  // The tests start their own servers on their own ports; the system's must not come up beside them.
  const hadPolicy = existsSync(POLICY);
  if (!hadPolicy) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    await apt(['update'], say);
    await apt(['install', '--yes', '--no-install-recommends', ...names], say);
  } finally {
    if (!hadPolicy) rmSync(POLICY, { force: true });
  }
  const still = missingParts(missing);
  if (still.length > 0) throw new Error(`apt-get installed ${still.map(({ name }) => name).join(', ')}, but there is no ${still.map(({ program }) => program).join(', ')}.`);
}

async function apt(args: readonly string[], say: (text: string) => void): Promise<void> {
  const started = performance.now();
  const child = spawn('apt-get', ['-o', 'DPkg::Lock::Timeout=120', '-qq', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'], timeout: INSTALL_LIMIT_MS, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (output = (output + chunk).slice(-16_384)));
  const seconds = (): number => Math.round((performance.now() - started) / 1_000);
  const ticker = setInterval(() => say(`apt-get ${args[0] ?? ''}: ${seconds()} s`), 10_000);
  const code = await new Promise<number | null>((resolve, reject) => child.once('close', resolve).once('error', reject)).finally(() => clearInterval(ticker));
  if (code !== 0) throw new Error(`apt-get ${args.join(' ')} failed (${code ?? 'stopped after its time limit'}):\n${output.split('\n').slice(-15).join('\n')}`);
  say(`apt-get ${args[0] ?? ''} took ${seconds()} s`);
}
