// The shape of a connection as the net floor sees it, so that a simulated network can stand in for TCP: bytes in
// order, backpressure both ways, three ways to end. Nothing here is authenticated.

/** The connection is gone: reset, timed out, or closed at this end. `code` is the system's word where there is one. */
export class Lost extends Error {
  readonly code: string | undefined

  constructor(message: string, code?: string) {
    super(message)
    this.name = 'Lost'
    this.code = code
  }
}

export interface Endpoint {
  /** Text of an IPv4 or IPv6 address. */
  readonly ip: string
  readonly port: number
}

/** What can be ended at once to make room. */
export type Ending = Pick<ByteStream, 'destroy'>

/** One reader and one writer at a time. */
export interface ByteStream {
  readonly carrier: 'tcp' | 'udp'
  /** The other side as the system sees it. */
  readonly remote: Endpoint
  /**
   * The next bytes, at least one; undefined at the end of what the other side sent. Throws Lost. They stay as they are
   * until the next read() or take(), as those do that were put back.
   */
  read(): Promise<Uint8Array | undefined>
  /** Bytes that are here already, without waiting; undefined if there are none (or at the end). */
  take(): Uint8Array | undefined
  /** Puts bytes back in front of what read() and take() return next. Never while a read() is under way. */
  unread(bytes: Uint8Array): void
  /** The other side has shown who it is: from now on more may be read ahead for it. */
  trust?(): void
  /** Nobody will look at what still comes: what read() gives from now on may hold anything, and no memory for it is kept. */
  ignore?(): void
  /**
   * Sends all parts in one go; resolves when there is room for more. Throws Lost. The parts must not change until
   * `sent` is called, which may be never.
   */
  write(parts: readonly Uint8Array[], sent?: () => void): Promise<void>
  /** Everything written is sent, then the end is; reading goes on. */
  end(): void
  /** Over, both ways, at once. Unread bytes make this a reset in TCP: see p2p-wire(7), SILENCE. Twice is fine. */
  destroy(): void
  /** Lost because the other side has moved: it was at `remote` a moment ago. */
  readonly displaced?: boolean
  /** Tells the other side where this one is now, should the address have changed; nothing over TCP. */
  announce?(): void
  /** Resolves when both directions are over and the system's resources are free. Never rejects. */
  readonly closed: Promise<void>
}
