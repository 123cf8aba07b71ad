/** Short messages to every replica. Delivery is not guaranteed: whoever listens must also look for itself now and then. */
export interface Channel {
  publish(topic: string, message: string): Promise<void>;
  /** Survives reconnects. Returns a function that ends the subscription. */
  subscribe(topic: string, listener: (message: string) => void): () => void;
}
