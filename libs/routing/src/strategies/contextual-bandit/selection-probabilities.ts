/** Bins of the line of scores. */
const BINS = 128;
/** Scores beyond so many standard deviations are left out: 7 in a million. */
const REACH = 4.5;
/** Entries of the table of Φ per standard deviation. */
const PER_SD = 256;
const TABLE = makeTable();

/**
 * P(i) that candidate i has the highest of independent normal scores: Σ over bins of [Φ((u₊−mᵢ)/sᵢ) − Φ((u₋−mᵢ)/sᵢ)] · Π_{j≠i} Φ((u−mⱼ)/sⱼ), made to sum to 1.
 * Thompson sampling draws one score per candidate and takes the highest; drawing a candidate from these probabilities is the same choice, and its
 * probability is known without drawing again. What the bins round off (below 0.005 for up to 20 candidates) changes who is drawn by that much, never
 * the truth of the number: the choice is drawn from the numbers returned here.
 */
export function selectionProbabilities(means: readonly number[], deviations: readonly number[]): Float64Array {
  const count = means.length;
  const result = new Float64Array(count);
  let low = -Infinity;
  let high = -Infinity;
  for (let index = 0; index < count; index += 1) {
    const [mean = 0, reach = 0] = [means[index], (deviations[index] ?? 0) * REACH];
    if (mean - reach > low) low = mean - reach; // below everything that this one may score, nobody wins
    if (mean + reach > high) high = mean + reach;
  }
  const width = (high - low) / BINS;
  if (!(width > 0)) {
    for (let index = 0; index < count; index += 1) if ((means[index] ?? 0) >= high) result[index] = 1;
    return normalised(result);
  }
  const middles = new Float64Array(count);
  const lower = new Float64Array(count);
  // The lowest bin reaches down without end: whoever is best with a score there shares what is left.
  for (let bin = 0; bin < BINS; bin += 1) {
    const from = low + bin * width;
    let product = 1;
    let zeros = 0;
    for (let index = 0; index < count; index += 1) {
      const below = standard((from + width / 2 - (means[index] ?? 0)) / (deviations[index] ?? 0));
      middles[index] = below;
      if (below > 0) product *= below;
      else zeros += 1;
    }
    for (let index = 0; index < count; index += 1) {
      const upTo = standard((from + width - (means[index] ?? 0)) / (deviations[index] ?? 0));
      const own = middles[index] ?? 0;
      const others = zeros === 0 ? product / own : zeros === 1 && own === 0 ? product : 0;
      result[index] = (result[index] ?? 0) + (upTo - (lower[index] ?? 0)) * others;
      lower[index] = upTo;
    }
  }
  return normalised(result);
}

function normalised(shares: Float64Array): Float64Array {
  let sum = 0;
  for (const share of shares) sum += share;
  for (let index = 0; index < shares.length; index += 1) shares[index] = sum > 0 ? (shares[index] ?? 0) / sum : 1 / shares.length;
  return shares;
}

/** Φ(z), by a table with linear interpolation; 0 and 1 beyond its reach, and a step where the deviation is 0. Error below 1e-5. */
function standard(z: number): number {
  if (!(z > -REACH)) return 0;
  if (z >= REACH) return 1;
  const place = (z + REACH) * PER_SD;
  const index = Math.trunc(place);
  const from = TABLE[index] ?? 0;
  return from + (place - index) * ((TABLE[index + 1] ?? 1) - from);
}

/** By Simpson's rule over the density, scaled so that it ends at 1. */
function makeTable(): Float64Array {
  const count = 2 * REACH * PER_SD;
  const table = new Float64Array(count + 2);
  const density = (z: number): number => Math.exp((-z * z) / 2);
  const step = 1 / PER_SD;
  for (let index = 1; index <= count + 1; index += 1) {
    const z = (index - 1) * step - REACH;
    table[index] = (table[index - 1] ?? 0) + (step / 6) * (density(z) + 4 * density(z + step / 2) + density(z + step));
  }
  const whole = table[count] ?? 1;
  return table.map((value) => value / whole);
}
