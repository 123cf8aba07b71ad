/** Where the export stands. */
export interface AuditExportPosition {
  /** Every row that arrived up to here is in a part, or was passed over and is remembered as a gap of its chain. */
  readonly arrival: number;
  /** Rises with every segment: who plans says which position it planned from. */
  readonly version: number;
}

/** A row of the audit log with its place in the order of arrival. */
export interface ExportRow {
  readonly arrival: number;
  readonly chain: string;
  readonly seq: number;
  /** UTC day of the row's own time, `2026-11-23`. */
  readonly day: string;
  /** The JSON text as it was appended. */
  readonly line: string;
}

/** How far a chain is exported. */
export interface ExportedChain {
  readonly chain: string;
  /** The highest number. */
  readonly seq: number;
  /** Numbers below it that have not come: ranges, both ends included, ascending. */
  readonly gaps: readonly (readonly [from: number, to: number])[];
}

/** The rows of one chain in one part. */
export interface ExportChain {
  readonly chain: string;
  readonly rows: number;
  readonly first: { readonly seq: number; readonly hash: string };
  readonly last: { readonly seq: number; readonly hash: string };
}

/** One file of rows. */
export interface ExportPart {
  readonly key: string;
  readonly day: string;
  /** Of its rows, ascending; empty once it is written. */
  readonly arrivals: readonly number[];
  readonly first: { readonly id: string; readonly hash: string };
  readonly last: { readonly id: string; readonly hash: string };
  readonly rows: number;
  readonly bytes: number;
  /** Hex, of the whole file. */
  readonly sha256: string;
  readonly chains: readonly ExportChain[];
}

export interface StoredExportPart extends ExportPart {
  /** The order parts were planned in. */
  readonly number: number;
}

/** What becomes true together: parts, and how far the log and its chains are exported with them. */
export interface ExportSegment {
  readonly from: AuditExportPosition;
  /** The new position; that of `from` for rows that came late. */
  readonly arrival: number;
  readonly parts: readonly ExportPart[];
  readonly chains: readonly ExportedChain[];
}

export interface ExportManifest {
  /** 1 for the first manifest of this database, then without gaps. */
  readonly sequence: number;
  readonly day: string;
  /** Of its day, from 1. */
  readonly number: number;
  readonly key: string;
  readonly sha256: string;
  /** Gone once it is written. */
  readonly body?: string;
  readonly signature?: Buffer;
}

/** Of everything that written manifests list. */
export interface ExportTotals {
  readonly parts: number;
  readonly rows: number;
  /** The newest that is written. */
  readonly lastManifest: ExportManifest | undefined;
}

/**
 * The ledger of the audit export. Planning is optimistic: what is planned names what it was planned from, and of several exporters one is first. What is planned fixes
 * every byte, so that any exporter can finish what another began.
 */
export interface AuditExportStore {
  position(signal?: AbortSignal): Promise<AuditExportPosition>;
  /** Rows in order of arrival, those after `arrival`; `limit` at most 10,000. */
  rowsAfter(arrival: number, limit: number, signal?: AbortSignal): Promise<readonly ExportRow[]>;
  rowsAt(arrivals: readonly number[], signal?: AbortSignal): Promise<readonly ExportRow[]>;
  /**
   * Rows at or below the position that are in no part: those in gaps of chains, and among the last `lookback` arrivals those of unknown chains or beyond what their chain
   * is exported to.
   */
  lateRows(options: { readonly position: AuditExportPosition; readonly lookback: number; readonly limit: number }, signal?: AbortSignal): Promise<readonly ExportRow[]>;
  chains(names: readonly string[], signal?: AbortSignal): Promise<readonly ExportedChain[]>;
  /** False when the position is another one by now: read anew. */
  addSegment(segment: ExportSegment, signal?: AbortSignal): Promise<boolean>;
  /** Parts that are planned and not known to be written, oldest first. */
  plannedParts(limit: number, signal?: AbortSignal): Promise<readonly StoredExportPart[]>;
  partWritten(key: string, signal?: AbortSignal): Promise<void>;
  /** Days with written parts that no manifest lists, oldest first. */
  unlistedDays(limit: number, signal?: AbortSignal): Promise<readonly string[]>;
  /** All written parts of a day in the order they were planned. */
  partsOf(day: string, signal?: AbortSignal): Promise<readonly StoredExportPart[]>;
  /** The newest of all, or of a day. */
  lastManifest(day: string | undefined, signal?: AbortSignal): Promise<ExportManifest | undefined>;
  /** Keeps a manifest and that it lists these parts; false when there is one with this sequence or number by now. */
  addManifest(manifest: ExportManifest, partKeys: readonly string[], signal?: AbortSignal): Promise<boolean>;
  plannedManifests(limit: number, signal?: AbortSignal): Promise<readonly ExportManifest[]>;
  manifestWritten(sequence: number, signal?: AbortSignal): Promise<void>;
  /** Takes back the newest manifest, if it is planned and not written: its parts are unlisted again. */
  dropManifest(sequence: number, signal?: AbortSignal): Promise<boolean>;
  totals(signal?: AbortSignal): Promise<ExportTotals>;
  /**
   * Takes or renews the lease of the export for so long, by the database's clock; false while another holds it. `ttlMs` 0 gives it back.
   * A row and not an advisory lock: it works through PgBouncer and does not keep a connection.
   */
  lease(holder: string, ttlMs: number, signal?: AbortSignal): Promise<boolean>;
}
