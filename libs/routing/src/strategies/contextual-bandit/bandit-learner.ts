import { ArmSums } from './arm-sums.ts';
import { LinearPosterior } from './linear-posterior.ts';

/** Candidates of one group that are learned about; further ones are decided by what is believed of them beforehand. */
export const MAX_ARMS = 64;

export interface BanditLearnerOptions {
  /** Wall time in milliseconds. */
  readonly now: () => number;
}

interface Arm {
  /** What every replica delivered, as of the last exchange. */
  shared: ArmSums;
  /** On its way; neither delivered nor undelivered until somebody says so. */
  sending: ArmSums | undefined;
  unsent: ArmSums | undefined;
  posterior: LinearPosterior;
}

const NOTHING_LEARNED = new LinearPosterior(new ArmSums());

/**
 * What is learned about the candidates of one group. Outlives snapshots: a reload forgets nothing. Sums in three piles (shared, on the way, not sent yet), so that
 * replicas can put theirs together and each reward counts once; decisions look at all three. Factors are made when something changes, never when something is decided.
 */
export class BanditLearner {
  readonly #arms = new Map<string, Arm>();
  readonly #now: () => number;
  #halfLifeMs = 0;

  constructor({ now }: BanditLearnerOptions) {
    this.#now = now;
  }

  /** In which time what was learned counts half; 0: never. Told by the strategy that serves. */
  set halfLifeMs(value: number) {
    this.#halfLifeMs = value;
  }

  get halfLifeMs(): number {
    return this.#halfLifeMs;
  }

  /** Whether rewards wait to be delivered. */
  get hasUnsent(): boolean {
    for (const { unsent, sending } of this.#arms.values()) if (unsent !== undefined || sending !== undefined) return true;
    return false;
  }

  posterior(arm: string): LinearPosterior {
    return this.#arms.get(arm)?.posterior ?? NOTHING_LEARNED;
  }

  /** A reward from 0 to 1 for a decision made from these features. What is no number in there is not learned from. Returns whether it was learned. */
  learn(armName: string, features: Uint8Array, reward: number): boolean {
    if (!(reward >= 0 && reward <= 1)) return false;
    const arm = this.#arm(armName);
    if (arm === undefined) return false;
    arm.unsent ??= new ArmSums();
    arm.unsent.learn(features, reward, { atMs: this.#now(), halfLifeMs: this.#halfLifeMs });
    this.#solve(arm);
    return true;
  }

  /** Everything known about each candidate, by name: what a snapshot holds. */
  totals(): ReadonlyMap<string, ArmSums> {
    return new Map([...this.#arms].map(([name, arm]) => [name, this.#total(arm)]));
  }

  /** What is to be delivered: the same sums again until `delivered` or `withdrawn`. Empty when there is nothing. */
  beginDelivery(): ReadonlyMap<string, ArmSums> {
    const arms = [...this.#arms];
    if (!arms.some(([, { sending }]) => sending !== undefined)) {
      for (const [, arm] of arms) {
        arm.sending = arm.unsent;
        arm.unsent = undefined;
      }
    }
    return new Map(arms.flatMap(([name, { sending }]) => (sending === undefined ? [] : [[name, sending] as const])));
  }

  /** What was on its way has arrived: it is part of the shared sums that `adopt` brings. */
  delivered(): void {
    for (const arm of this.#arms.values()) arm.sending = undefined;
  }

  /** Sums that were delivered and got lost there: they are delivered again. */
  deliverAgain(lost: ReadonlyMap<string, ArmSums>): void {
    for (const [name, sums] of lost) {
      const arm = this.#arm(name);
      if (arm === undefined) continue;
      if (arm.unsent === undefined) arm.unsent = sums.copy();
      else arm.unsent.add(sums, this.#halfLifeMs);
      this.#solve(arm);
    }
  }

  /** The shared sums of some candidates, as they are now. */
  adopt(shared: ReadonlyMap<string, ArmSums>): void {
    for (const [name, sums] of shared) {
      const arm = this.#arm(name);
      if (arm === undefined) continue;
      arm.shared = sums;
      this.#solve(arm);
    }
  }

  /** The shared sums as this replica knows them. */
  shared(): ReadonlyMap<string, ArmSums> {
    return new Map([...this.#arms].map(([name, { shared }]) => [name, shared]));
  }

  /** Lets what was learned fade to now: called every few seconds, so that nobody waits for it. */
  refresh(): void {
    if (this.#halfLifeMs > 0) for (const arm of this.#arms.values()) this.#solve(arm);
  }

  #arm(name: string): Arm | undefined {
    let arm = this.#arms.get(name);
    if (arm === undefined && this.#arms.size < MAX_ARMS) {
      this.#arms.set(name, arm = { shared: new ArmSums(), sending: undefined, unsent: undefined, posterior: NOTHING_LEARNED });
    }
    return arm;
  }

  #total({ shared, sending, unsent }: Arm): ArmSums {
    const total = shared.copy();
    if (sending !== undefined) total.add(sending, this.#halfLifeMs);
    if (unsent !== undefined) total.add(unsent, this.#halfLifeMs);
    return total;
  }

  #solve(arm: Arm): void {
    const total = this.#total(arm);
    total.fadeTo(this.#now(), this.#halfLifeMs);
    arm.posterior = new LinearPosterior(total);
  }
}
