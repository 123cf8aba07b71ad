/** The parts of V8's `.cpuprofile` format that are used here (Chrome DevTools Protocol, `Profiler.Profile`). */
export interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number } }[];
  readonly samples: readonly number[];
  /** Microseconds since the sample before; the first since `startTime`. */
  readonly timeDeltas: readonly number[];
  /** Microseconds on the monotonic clock, the one of `process.hrtime`. */
  readonly startTime: number;
}

export interface SelfTime {
  /** `function file:line`. */
  readonly where: string;
  readonly microseconds: number;
  /** Of all samples in the window that were not idle. */
  readonly share: number;
}

export interface ProfileSummary {
  readonly busyMicros: number;
  readonly functions: readonly SelfTime[];
  /** The same by room: `libs/routing`, `node_modules/undici`, `node:internal`, … */
  readonly rooms: readonly SelfTime[];
}

/** Self times within a window of the monotonic clock in microseconds, greatest first; waiting is left out. */
export function summariseProfile(profile: CpuProfile, window: { readonly from: number; readonly to: number }): ProfileSummary {
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const functions = new Map<string, number>();
  const rooms = new Map<string, number>();
  let [at, busy] = [profile.startTime, 0];
  for (const [index, id] of profile.samples.entries()) {
    // A sample stands for the time until the next one.
    at += profile.timeDeltas[index] ?? 0;
    const micros = profile.timeDeltas[index + 1] ?? 0;
    const frame = frames.get(id);
    if (frame === undefined || at < window.from || at > window.to || frame.functionName === '(idle)') continue;
    busy += micros;
    const file = shortPath(frame.url);
    const name = frame.functionName === '' ? '(anonymous)' : frame.functionName;
    add(functions, file === '' ? name : `${name} ${file}:${frame.lineNumber + 1}`, micros);
    add(rooms, roomOf(file, name), micros);
  }
  return { busyMicros: busy, functions: ranked(functions, busy), rooms: ranked(rooms, busy) };
}

/** A path from the repository's or the package's root on, without what lies above. */
export function shortPath(url: string): string {
  const path = url.replace(/^file:\/\//, '');
  const packageAt = path.lastIndexOf('/node_modules/');
  if (packageAt >= 0) return path.slice(packageAt + 1);
  return /\/((?:apps|libs|tools)\/.*)$/.exec(path)?.[1] ?? path;
}

function roomOf(file: string, functionName: string): string {
  if (file === '') return functionName.startsWith('(') && functionName !== '(anonymous)' ? functionName : '(native)';
  if (file.startsWith('node:')) return file.split('/').slice(0, 2).join('/');
  const parts = file.split('/');
  if (parts[0] === 'node_modules') return parts.slice(0, parts[1]?.startsWith('@') === true ? 3 : 2).join('/');
  return parts[0] === 'apps' && parts.length > 4 ? parts.slice(0, 4).join('/') : parts.slice(0, 2).join('/');
}

function add(to: Map<string, number>, key: string, micros: number): void {
  to.set(key, (to.get(key) ?? 0) + micros);
}

function ranked(from: ReadonlyMap<string, number>, busy: number): readonly SelfTime[] {
  return [...from].map(([where, microseconds]) => ({ where, microseconds, share: microseconds / Math.max(1, busy) })).toSorted((left, right) => right.microseconds - left.microseconds);
}
