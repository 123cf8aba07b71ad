/** What a line of an app's log is about, for a person at a terminal. */
export interface ReadableLine {
  readonly text: string;
  readonly isWarning: boolean;
}

const LEVELS: ReadonlyMap<number, string> = new Map([[10, 'trace'], [20, 'debug'], [30, 'info'], [40, 'warn'], [50, 'error'], [60, 'fatal']]);
/** Fields that say when and where rather than what. */
const PLUMBING: ReadonlySet<string> = new Set(['level', 'time', 'msg', 'message', 'pid', 'hostname', 'service', 'app', 'trace_id', 'span_id', 'trace_flags']);

/**
 * One line of a JSON log as `12:30:01 warn gateway message key=value`. A line that is not JSON was not meant for machines and is shown as it is:
 * the stack of a crash, a warning of Node.
 */
export function readableLine(app: string, line: string): ReadableLine {
  const entry = parseEntry(line);
  if (entry === undefined) return { text: `${app}: ${line}`, isWarning: true };
  const level = typeof entry['level'] === 'number' ? (LEVELS.get(entry['level']) ?? String(entry['level'])) : String(entry['level'] ?? 'info').toLowerCase();
  const time = typeof entry['time'] === 'number' ? new Date(entry['time']) : new Date(String(entry['time'] ?? ''));
  const clock = Number.isNaN(time.getTime()) ? '' : `${time.toTimeString().slice(0, 8)} `;
  const facts = Object.entries(entry).filter(([key]) => !PLUMBING.has(key)).map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`).join('');
  return { text: `${clock}${level} ${app} ${String(entry['msg'] ?? entry['message'] ?? '')}${facts}`.slice(0, 1_000), isWarning: ['warn', 'warning', 'error', 'fatal'].includes(level) };
}

/** The URL of the line `"msg":"listening"`, by which an app says that it is ready. */
export function listeningUrl(line: string): string | undefined {
  const entry = parseEntry(line);
  return entry?.['msg'] === 'listening' && typeof entry['url'] === 'string' ? entry['url'] : undefined;
}

function parseEntry(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}
