import { availableParallelism, cpus, release, totalmem } from 'node:os';

/** What a reader must know of the machine; nothing that names it. */
export interface MachineFacts {
  readonly cores: number;
  readonly cpuModel: string;
  readonly memoryGb: number;
  readonly kernel: string;
  readonly nodeVersion: string;
}

export function machineFacts(): MachineFacts {
  return {
    cores: availableParallelism(),
    cpuModel: cpus()[0]?.model.trim() ?? 'unknown CPU',
    memoryGb: Math.round(totalmem() / 1024 ** 3),
    // Suffixes of a kernel release may tell whose machine it is.
    kernel: `Linux ${/^\d+\.\d+/.exec(release())?.[0] ?? ''}`.trim(),
    nodeVersion: process.versions.node,
  };
}
