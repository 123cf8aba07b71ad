import type { LabelValues } from './metric-definition.ts';

/** One label combination of a counter: keep the handle, adding to it is one addition. */
export class CounterSeries {
  value = 0;

  /** Adds `amount` (default 1); a negative or invalid amount is ignored, a counter never falls. */
  inc(amount = 1): void {
    if (amount > 0) this.value += amount;
  }
}

export class GaugeSeries {
  value = 0;

  set(value: number): void {
    this.value = value;
  }
  inc(amount = 1): void {
    this.value += amount;
  }
  dec(amount = 1): void {
    this.value -= amount;
  }
}

export class HistogramSeries {
  /** Observations per bucket, not cumulated; the last one is everything above the highest bound. */
  readonly counts: Float64Array;
  sum = 0;
  readonly #bounds: Float64Array;

  constructor(bounds: Float64Array) {
    this.#bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  /** Counts one observation, in the metric's unit; an invalid number is ignored. */
  observe(value: number): void {
    const bounds = this.#bounds;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (value <= (bounds[middle] as number)) high = middle;
      else low = middle + 1;
    }
    if (value !== value) return;
    this.counts[low] = (this.counts[low] as number) + 1;
    this.sum += value;
  }
}

/** A label value is cut here: what is longer is a mistake that must not fill memory. */
const MAX_LABEL_LENGTH = 256;
const OTHER = 'other';

interface Branch<Series> {
  readonly branches: Map<string, Branch<Series>>;
  series: Series | undefined;
}

function newBranch<Series>(): Branch<Series> {
  return { branches: new Map(), series: undefined };
}

/**
 * The label combinations of one metric, found through one Map per label: no object is hashed and no key is joined.
 * Bounded: past `maxSeries` every new combination is the one series whose labels are all `other`.
 */
export class SeriesTable<Labels extends readonly string[], Series> {
  readonly #labelCount: number;
  readonly #maxSeries: number;
  readonly #create: () => Series;
  readonly #onOverflow: () => void;
  #root: Branch<Series> = newBranch();
  #size = 0;
  #overflow: Series | undefined = undefined;

  constructor({ labels, maxSeries, create, onOverflow }: { labels: Labels; maxSeries: number; create: () => Series; onOverflow: () => void }) {
    this.#labelCount = labels.length;
    this.#maxSeries = maxSeries;
    this.#create = create;
    this.#onOverflow = onOverflow;
  }

  /** Finds or makes the series of these label values, in the order of the definition. */
  find(values: LabelValues<Labels>): Series {
    let branch = this.#root;
    for (let index = 0; index < this.#labelCount; index += 1) {
      const next = branch.branches.get(values[index] as string);
      if (next === undefined) return this.#add(values);
      branch = next;
    }
    return branch.series ?? this.#add(values);
  }

  #add(values: LabelValues<Labels>): Series {
    if (this.#size >= this.#maxSeries) {
      this.#onOverflow();
      return (this.#overflow ??= this.#create());
    }
    let branch = this.#root;
    for (let index = 0; index < this.#labelCount; index += 1) {
      const label = String(values[index]).slice(0, MAX_LABEL_LENGTH);
      let next = branch.branches.get(label);
      if (next === undefined) branch.branches.set(label, (next = newBranch()));
      branch = next;
    }
    if (branch.series === undefined) {
      branch.series = this.#create();
      this.#size += 1;
    }
    return branch.series;
  }

  /** Forgets one combination; a handle to it that somebody keeps counts for nothing from now on. */
  remove(values: LabelValues<Labels>): void {
    const path: Branch<Series>[] = [this.#root];
    for (let index = 0; index < this.#labelCount; index += 1) {
      const next = path[index]?.branches.get(values[index] as string);
      if (next === undefined) return;
      path.push(next);
    }
    const leaf = path[this.#labelCount];
    if (leaf?.series === undefined) return;
    leaf.series = undefined;
    this.#size -= 1;
    for (let index = this.#labelCount - 1; index >= 0; index -= 1) {
      if ((path[index + 1]?.branches.size ?? 0) > 0) break;
      path[index]?.branches.delete(values[index] as string);
    }
  }

  clear(): void {
    this.#root = newBranch();
    this.#size = 0;
    this.#overflow = undefined;
  }

  /** Every series with its label values. */
  entries(): { readonly values: readonly string[]; readonly series: Series }[] {
    const found: { readonly values: readonly string[]; readonly series: Series }[] = [];
    const walk = (branch: Branch<Series>, values: readonly string[]): void => {
      if (branch.series !== undefined) found.push({ values, series: branch.series });
      for (const [label, next] of branch.branches) walk(next, [...values, label]);
    };
    walk(this.#root, []);
    if (this.#overflow !== undefined) found.push({ values: new Array<string>(this.#labelCount).fill(OTHER), series: this.#overflow });
    return found;
  }
}
