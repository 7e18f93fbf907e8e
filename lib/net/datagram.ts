// The shape of UDP as the net floor sees it, so that a simulated network can stand in for it: datagrams from and to one
// port, and reliable pipes that use the same port and the same way through the NATs between. Nothing here is
// authenticated: whoever knows the number of a pipe can write into it or break it.

import { type Endpoint } from './stream.ts'

/** One UDP port of this machine, IPv4 and IPv6. */
export interface Datagrams {
  readonly port: number
  /** Own addresses that are bound; what is missing, the machine does not have. */
  readonly addresses: readonly Endpoint[]
  /** Sends one datagram as far as `hops` routers (as far as need be without). False if the system refuses. */
  send(bytes: Uint8Array, to: Endpoint, hops?: number): boolean
  /** A pipe `id` to the peer's pipe `remoteId`; sends nothing until something is written. */
  connect(id: number, remoteId: number, to: Endpoint): Pipe
  /** The same, and not a packet leaves it before one for `id` has arrived: writing before that throws. */
  accept(id: number, remoteId: number, to: Endpoint): Pipe
  /** The port is free once it resolves; all pipes must be closed before. */
  close(): Promise<void>
}

export interface PipeEvents {
  /** Bytes in order; `bytes` are the receiver's to keep. */
  data(bytes: Uint8Array): void
  /** Nothing more will come. */
  end(): void
  /** There is room again after write() said false. */
  drain(): void
  /** Over, both ways; with a code if it broke. Last of all events. */
  close(code?: string): void
}

/** Reliable and ordered, without any limit on what arrives: who reads too slowly has to say so to the peer. */
export interface Pipe {
  /** Called once, before anything happens. */
  listen(events: PipeEvents): void
  /** True if there is room for more. `bytes` must not change later. */
  write(bytes: Uint8Array): boolean
  /**
   * So many bytes are still to come of what the other side wrote in one go: they may be given out in few large pieces. What
   * waits for that comes with the next packet at the latest, or, if the pipe breaks before, not at all. To be said anew, in
   * data(), for each piece.
   */
  expect(bytes: number): void
  /** What was written is sent, then the end is. */
  end(): void
  destroy(): void
  /**
   * From now on what is written goes there. Resolves when what was under way has arrived, at the place it was sent to:
   * what is lost on the way goes there again, not to the new place.
   */
  redirect(to: Endpoint): Promise<void>
}

/** The door to UDP: binds the port on all addresses, alone. Rejects with the system's error, EADDRINUSE above all. */
export type OpenDatagrams = (
  port: number,
  onDatagram: (bytes: Uint8Array, from: Endpoint) => void,
) => Promise<Datagrams>
