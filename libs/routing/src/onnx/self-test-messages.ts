import type { ToldRefusal } from './head-messages.ts';

/** What a directory of a published generation is named after. */
export interface ExpectedArtifact {
  readonly name: string;
  readonly version: string;
  /** `{version}-{first 12 digits of the manifest's digest}`. */
  readonly revision: string;
}

/** What the child is asked, one line of JSON on its standard input. */
export interface SelfTestRequest {
  readonly directory: string;
  readonly maxBytes: number;
  /** Of what the directory must hold to the last byte, by the digests of its manifest; absent: not checked. */
  readonly intact?: ExpectedArtifact | undefined;
  /** URL of the module with `createFeatureExtractor`, and what it is called with beside the embedder's name. */
  readonly extractorModule: string;
  readonly extractorOptions: Readonly<Record<string, unknown>>;
}

export interface SelfTestFigures {
  readonly fileBytes: number;
  readonly weightBytes: number;
  readonly loadMs: number;
  /** Median time of one run of the head. */
  readonly runMs: number;
  /** Most memory that the child had, by the system's count. */
  readonly peakBytes: number;
  /** Largest difference from a golden score. */
  readonly worstDifference: number;
}

/** What the child answers on its descriptor 3. */
export type SelfTestVerdict = { readonly passed: SelfTestFigures } | { readonly refused: ToldRefusal };

export const VERDICT_DESCRIPTOR = 3;
