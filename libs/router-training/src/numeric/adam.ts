/** Adam with decoupled weight decay (Kingma and Ba, arXiv 1412.6980; Loshchilov and Hutter, arXiv 1711.05101) for one parameter array. */
export class Adam {
  readonly #first: Float64Array;
  readonly #second: Float64Array;
  #step = 0;

  constructor(size: number) {
    this.#first = new Float64Array(size);
    this.#second = new Float64Array(size);
  }

  /** One step; changes `parameters` in place. */
  update(parameters: Float64Array, gradient: Float64Array, { learningRate, weightDecay }: { readonly learningRate: number; readonly weightDecay: number }): void {
    this.#step += 1;
    const rate = (learningRate * Math.sqrt(1 - 0.999 ** this.#step)) / (1 - 0.9 ** this.#step);
    const keep = 1 - learningRate * weightDecay;
    for (let index = 0; index < parameters.length; index += 1) {
      const slope = gradient[index]!;
      const first = 0.9 * this.#first[index]! + 0.1 * slope;
      const second = 0.999 * this.#second[index]! + 0.001 * slope * slope;
      this.#first[index] = first;
      this.#second[index] = second;
      parameters[index] = parameters[index]! * keep - (rate * first) / (Math.sqrt(second) + 1e-8);
    }
  }
}
