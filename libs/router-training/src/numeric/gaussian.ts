/** Standard normal numbers by Box and Muller. */
export function gaussianArray(size: number, scale: number, random: () => number): Float64Array {
  return Float64Array.from({ length: size }, () => scale * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()));
}
