// How long a message may be, until when it must be whole, and how many bytes of messages that are not whole yet may be held, for all calls together
// that have this allowance.
// The gRPC server has two: for senders whose token it knows, and for all others, who may ask to become known and hold next to nothing.
// Given to each call; invariant: what was taken is given back once the message is whole, or its call over.
export class MessageAllowance {
  private held = 0

  constructor(
    readonly maxMessageBytes: number,
    private readonly maxHeldBytes: number,
    /** From the head, or from the beginning of a later one; 0: whenever it likes. */
    readonly wholeWithinMs = 0,
  ) {}

  /** False: there are too many now. They are counted all the same, until they are given back. */
  take(bytes: number): boolean {
    this.held += bytes
    return this.held <= this.maxHeldBytes
  }

  give(bytes: number): void {
    this.held -= bytes
  }
}
