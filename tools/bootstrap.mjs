// Makes a fresh clone runnable: installs node_modules when they are missing or do not match package-lock.json.
// Runs before `npm start`, `npm test` and the rest on whatever Node is there, so: plain JavaScript, nothing but Node.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const modules = join(root, 'node_modules');
const stampFile = join(modules, '.pointsman-stamp');
const lockFile = join(root, '.pointsman', 'bootstrap.lock');
const localNode = join(modules, '.bin', process.platform === 'win32' ? 'node.cmd' : 'node');
const INSTALL_LIMIT_MS = 15 * 60_000;
const WANTED_MAJOR = 24;

const say = (text) => process.stdout.write(`pointsman: ${text}\n`);
const complain = (text) => process.stderr.write(`pointsman: ${text}\n`);

/** What the installed tree depends on: the lock file's bytes and the platform that binaries were fetched for. */
function wantedStamp() {
  const digest = createHash('sha256').update(readFileSync(join(root, 'package-lock.json'))).digest('hex');
  return `${digest} ${process.platform}-${process.arch}`;
}

function readIfThere(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** Identity of the binary that was last seen to be the right Node; running it every time would cost more than all the rest. */
function localNodeIdentity() {
  try {
    const { size, mtimeMs } = statSync(localNode);
    return `node-${size}-${Math.round(mtimeMs)}`;
  } catch {
    return 'node-missing';
  }
}

/** The major version of the Node that the `node` package put into node_modules; undefined when it cannot run. */
function localNodeMajor() {
  const asked = spawnSync(localNode, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  const major = /^v(\d+)\./.exec(asked.stdout ?? '')?.[1];
  return major === undefined ? undefined : Number(major);
}

/**
 * Whether npm's own record of what it installed agrees with package-lock.json: true after a developer's `npm install`,
 * which leaves no stamp of ours. Optional packages may be missing: they are for other platforms.
 */
function installedAgreesWithLock() {
  const record = readIfThere(join(modules, '.package-lock.json'));
  if (record === undefined) return false;
  try {
    const installed = JSON.parse(record).packages;
    const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
    return Object.entries(wanted).every(([path, entry]) => {
      if (!path.includes('node_modules/')) return true;
      const there = installed[path];
      if (there === undefined) return entry.optional === true || entry.devOptional === true;
      return there.version === entry.version && there.resolved === entry.resolved;
    });
  } catch {
    return false;
  }
}

/** Why an install is needed, in words; undefined when nothing is to do. */
function reasonToInstall(stamp) {
  if (!existsSync(modules)) return 'node_modules is missing';
  const found = readIfThere(stampFile)?.trim();
  if (found === `${stamp} ${localNodeIdentity()}`) return undefined;
  if (found === undefined || !found.startsWith(`${stamp} `)) {
    const platform = found?.split(' ')[1];
    if (platform !== undefined && platform !== stamp.split(' ')[1]) return `node_modules was installed for ${platform}`;
    if (!installedAgreesWithLock()) return 'node_modules does not match package-lock.json';
  }
  if (localNodeMajor() !== WANTED_MAJOR) return `node_modules/.bin/node is not Node ${WANTED_MAJOR}`;
  writeFileSync(stampFile, `${stamp} ${localNodeIdentity()}\n`);
  return undefined;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function tryLock() {
  try {
    const handle = openSync(lockFile, 'wx');
    writeFileSync(handle, String(process.pid));
    closeSync(handle);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Removes the lock of a run that died: its process is gone, or it is older than any install may take. */
function breakStaleLock() {
  const holder = Number(readIfThere(lockFile));
  let ageMs;
  try {
    ageMs = Date.now() - statSync(lockFile).mtimeMs;
  } catch {
    return;
  }
  // An empty file is a holder between open and write: give it a moment.
  const dead = holder > 0 ? !isAlive(holder) : ageMs > 5_000;
  if (!dead && ageMs < INSTALL_LIMIT_MS + 60_000) return;
  const aside = `${lockFile}.${process.pid}`;
  try {
    renameSync(lockFile, aside);
    // Between reading and renaming another waiter may have put its own, living lock there: give it back.
    if (Number(readIfThere(aside)) !== holder) renameSync(aside, lockFile);
    else rmSync(aside, { force: true });
  } catch {
    // Somebody else was quicker; the next round sees what they made of it.
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function takeLock() {
  mkdirSync(dirname(lockFile), { recursive: true });
  const deadline = Date.now() + 2 * INSTALL_LIMIT_MS;
  let told = false;
  while (!tryLock()) {
    breakStaleLock();
    if (!told) say(`another run (process ${readIfThere(lockFile) ?? 'unknown'}) is installing; waiting for it`);
    told = true;
    if (Date.now() > deadline) {
      complain(`gave up waiting for ${lockFile}; remove that file if no other run is installing.`);
      process.exit(1);
    }
    await pause(200);
  }
  process.on('exit', () => rmSync(lockFile, { force: true }));
}

/** The npm that started us when there is one: another npm on PATH may read the lock file differently. */
function npmCommand() {
  const fromNpm = process.env.npm_execpath;
  if (fromNpm !== undefined && /npm-cli\.c?js$/.test(fromNpm) && existsSync(fromNpm)) return [process.execPath, fromNpm];
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm'];
}

function countPackages() {
  try {
    return readdirSync(modules).length;
  } catch {
    return 0;
  }
}

/** Runs npm with its output kept back, showing elapsed time: a line that redraws on a terminal, one line every 10 s elsewhere. */
function runNpm(args, title) {
  const [command, ...before] = npmCommand();
  const started = Date.now();
  const seconds = () => Math.round((Date.now() - started) / 1000);
  const terminal = process.stdout.isTTY === true;
  const child = spawn(command, [...before, ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], shell: process.platform === 'win32' });
  let output = '';
  const keep = (chunk) => {
    output = (output + chunk).slice(-16_384);
  };
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);
  const frames = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏';
  let frame = 0;
  const draw = () => {
    frame = (frame + 1) % frames.length;
    process.stdout.write(`\r\u001b[K${frames[frame]} ${title} ${seconds()} s, ${countPackages()} folders`);
  };
  const ticker = terminal ? setInterval(draw, 120) : setInterval(() => say(`${title} ${seconds()} s, ${countPackages()} folders`), 10_000);
  const limit = setTimeout(() => {
    output += `\nstopped: it took longer than ${INSTALL_LIMIT_MS / 60_000} minutes (ETIMEDOUT)`;
    child.kill('SIGTERM');
  }, INSTALL_LIMIT_MS);
  const forward = (signal) => child.kill(signal);
  process.on('SIGINT', forward).on('SIGTERM', forward);
  return new Promise((resolve) => {
    const end = (code) => {
      clearInterval(ticker);
      clearTimeout(limit);
      process.off('SIGINT', forward).off('SIGTERM', forward);
      if (terminal) process.stdout.write('\r\u001b[K');
      resolve({ code, output, seconds: seconds() });
    };
    child.once('error', (error) => {
      output += `\n${error.message}`;
      end(127);
    });
    child.once('close', (code, signal) => end(code ?? (signal === 'SIGINT' ? 130 : 143)));
  });
}

const ADVICE = [
  [/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT|network/i,
    'npm could not reach its package registry. Check the network, and `npm config get registry`, `npm config get proxy`; then run the same command again. It goes on from what is in npm\'s cache.'],
  [/E401|E403|ENEEDAUTH/, 'The package registry refused the request. Check the credentials of `npm config get registry` (`npm login`), then run the same command again.'],
  [/E404|ETARGET/, 'The package registry does not have a package that package-lock.json names. If `npm config get registry` is a mirror, it may be behind; otherwise check package-lock.json.'],
  [/ENOSPC/, 'The disk is full. Node modules need about 1 GB; make room and run the same command again.'],
  [/EACCES|EPERM/, 'A file could not be written. node_modules or npm\'s cache may belong to another user: check `ls -ld node_modules ~/.npm`.'],
  [/EUSAGE|can only install packages when|not in sync/i, 'package.json and package-lock.json disagree. Run `npm install` once and commit package-lock.json.'],
  [/EINTEGRITY/, 'A downloaded package is not the one package-lock.json names. Run `npm cache clean --force` and the same command again.'],
];

function explainFailure(what, { code, output }) {
  // npm puts its manual page behind some errors: what went wrong stands before it.
  const words = output.split(/^npm error (?:Clean install a project|Usage:)/m)[0] ?? output;
  const tail = words.trimEnd().split('\n').slice(-15).join('\n');
  const advice = ADVICE.find(([pattern]) => pattern.test(output))?.[1] ?? 'Read npm\'s own words above, mend that, and run the same command again.';
  complain(`${what} failed with exit code ${code}.\n${tail}\n`);
  complain(advice);
}

async function install(stamp, reason) {
  say(`${reason}: running \`npm ci\` (about a minute, only this once)`);
  // The tests and Node itself are development dependencies: NODE_ENV=production must not leave them out.
  const result = await runNpm(['ci', '--include=dev', '--no-audit', '--no-fund'], 'installing packages');
  if (result.code !== 0) {
    explainFailure('npm ci', result);
    process.exit(result.code);
  }
  say(`installed in ${result.seconds} s`);
  if (localNodeMajor() !== WANTED_MAJOR) {
    // npm 11 runs install scripts only for packages named in allowScripts; `ignore-scripts` turns all of them off.
    say(`Node ${WANTED_MAJOR} is not in place yet: asking npm to run its install step`);
    const rebuilt = await runNpm(['rebuild', 'node', '--ignore-scripts=false', '--foreground-scripts'], 'fetching Node');
    if (rebuilt.code !== 0) {
      explainFailure('npm rebuild node', rebuilt);
      process.exit(rebuilt.code);
    }
  }
  const found = localNodeMajor();
  if (found !== WANTED_MAJOR) {
    complain(`node_modules/.bin/node is ${found === undefined ? 'missing or cannot run' : `Node ${found}`}, and Node ${WANTED_MAJOR} is needed. Check \`npm config get ignore-scripts\` (must be false), then remove node_modules and run the same command again.`);
    process.exit(1);
  }
  writeFileSync(stampFile, `${stamp} ${localNodeIdentity()}\n`);
}

async function main() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 20) {
    complain(`Node ${process.versions.node} is too old: Node 20 or newer is needed to start. Install a newer one (for instance with nvm: \`nvm install 24\`) and run the same command again.`);
    process.exit(1);
  }
  // An image installs at build time what it needs and no more; it must not try again at every start.
  if (process.env.POINTSMAN_BOOTSTRAP === 'off') return;
  const stamp = wantedStamp();
  if (reasonToInstall(stamp) === undefined) return;
  await takeLock();
  // The run that held the lock may have done the work meanwhile.
  const reason = reasonToInstall(stamp);
  if (reason !== undefined) await install(stamp, reason);
}

await main();
