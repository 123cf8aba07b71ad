/** One thing that is wrong with the environment. Never carries the value: it may be a credential in the wrong place. */
export interface SettingsProblem {
  /** The environment variable. */
  readonly variable: string;
  readonly problem: string;
}

/** The environment or the configuration is not usable: `runService` lists the problems and exits with 78 (EX_CONFIG of sysexits.h). */
export class SettingsError extends Error {
  readonly problems: readonly SettingsProblem[];

  constructor(problems: readonly SettingsProblem[]) {
    super(`The settings are not usable: ${problems.map(({ variable, problem }) => `${variable}: ${problem}`).join('; ')}`);
    this.name = 'SettingsError';
    this.problems = problems;
  }
}
