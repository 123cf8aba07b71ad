import { readFileSync } from 'node:fs';

/** Numbers of a kernel CPU list such as `0-1,4`. */
export function parseCpuList(list: string): readonly number[] {
  return list.split(',').flatMap((part) => {
    const [first = Number.NaN, last = first] = part.trim().split('-').map(Number);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
  });
}

/** Who runs where: one core for the contestant alone, the others for what makes the load. */
export interface Cores {
  readonly contestant: number | undefined;
  readonly load: number | undefined;
}

/** Splits the cores that this process may use; nothing is pinned when there is only one. */
export function chooseCores(): Cores {
  const status = readFileSync('/proc/self/status', 'utf8');
  const allowed = parseCpuList(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? '0');
  return allowed.length < 2 ? { contestant: undefined, load: undefined } : { contestant: allowed[0], load: allowed[1] };
}
