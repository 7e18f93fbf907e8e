// UDP in memory, on a clock that moves by hand: for the tests of what stands above it. Every datagram is kept as it was
// sent; a test may lose, change or redirect it.

import { type Clock } from '../lib/base/clock.ts'
import type { Datagrams, OpenDatagrams, Pipe, PipeEvents } from '../lib/net/datagram.ts'
import type { Endpoint } from '../lib/net/stream.ts'

export interface Sent {
  at: number
  from: Endpoint
  to: Endpoint
  bytes: Uint8Array
  hops: number | undefined
}

const placeOf = ({ ip, port }: Endpoint): string => `${ip}:${port}`

export class UdpNet {
  readonly sent: Sent[] = []
  /** Milliseconds from one end to the other. */
  delay = 10
  /** What is under way in a pipe keeps going to where it was sent first, as in udx. */
  sticks = false
  /** What becomes of a datagram; undefined: it is lost. */
  way: (sent: Sent) => Sent | undefined = (sent) => (sent.hops === undefined ? sent : undefined)
  readonly #clock: Clock
  readonly #hosts = new Map<string, (bytes: Uint8Array, from: Endpoint) => void>()
  readonly #pipes = new Map<string, MemoryPipe>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The door of a host with this address; it may move later. */
  host(ip: string): { open: OpenDatagrams; move: (ip: string) => void } {
    let here: Endpoint = { ip, port: 0 }
    let receive = (_bytes: Uint8Array, _from: Endpoint): void => undefined
    const own = (): Endpoint => here
    return {
      open: async (port, onDatagram) => {
        here = { ip, port }
        receive = onDatagram
        if (this.#hosts.has(placeOf(here))) throw Object.assign(new Error('taken'), { code: 'EADDRINUSE' })
        this.#hosts.set(placeOf(here), onDatagram)
        return this.#datagrams(own)
      },
      move: (other) => {
        this.#hosts.delete(placeOf(here))
        here = { ip: other, port: here.port }
        this.#hosts.set(placeOf(here), receive)
      },
    }
  }

  /** A datagram of anybody's, from anywhere. */
  inject(bytes: Uint8Array, from: Endpoint, to: Endpoint, hops?: number): void {
    const sent = { at: this.#clock.monotonic(), from, to, bytes: new Uint8Array(bytes), hops }
    this.sent.push(sent)
    const arriving = this.way(sent)
    if (arriving === undefined) return
    this.#clock.after(this.delay, () => this.#hosts.get(placeOf(arriving.to))?.(arriving.bytes, arriving.from))
  }

  #datagrams(own: () => Endpoint): Datagrams {
    const { port } = own()
    const pipe = (id: number, remoteId: number, to: Endpoint): Pipe => new MemoryPipe(this, own, id, remoteId, to)
    return {
      port,
      addresses: [own()],
      send: (bytes, to, hops) => {
        this.inject(bytes, own(), to, hops)
        return true
      },
      connect: pipe,
      accept: pipe,
      close: async () => void this.#hosts.delete(placeOf(own())),
    }
  }

  plug(id: number, pipe: MemoryPipe | undefined): void {
    if (pipe === undefined) this.#pipes.delete(String(id))
    else this.#pipes.set(String(id), pipe)
  }

  /** The other end of a pipe, if what is sent there reaches it. */
  far(remoteId: number, to: Endpoint): MemoryPipe | undefined {
    const pipe = this.#pipes.get(String(remoteId))
    return pipe !== undefined && placeOf(pipe.here) === placeOf(to) ? pipe : undefined
  }

  later(run: () => void): void {
    this.#clock.after(this.delay, run)
  }
}

/** Reliable unless the way is cut, or the far end is not where this one sends. */
export class MemoryPipe implements Pipe {
  readonly id: number
  readonly #net: UdpNet
  readonly #own: () => Endpoint
  readonly #remoteId: number
  #to: Endpoint
  #events: PipeEvents | undefined
  #over = false
  #heardEnd = false
  #saidEnd = false
  #unsent: (() => boolean)[] = []

  constructor(net: UdpNet, own: () => Endpoint, id: number, remoteId: number, to: Endpoint) {
    this.id = id
    this.#net = net
    this.#own = own
    this.#remoteId = remoteId
    this.#to = to
    net.plug(id, this)
  }

  get here(): Endpoint {
    return this.#own()
  }

  listen(events: PipeEvents): void {
    this.#events = events
  }

  write(bytes: Uint8Array): boolean {
    const copy = new Uint8Array(bytes)
    this.#queue((far) => far.#events?.data(copy))
    return true
  }

  /** Each piece is given out as it was written. */
  expect(): void {}

  #queue(deliver: (far: MemoryPipe) => void): void {
    this.#unsent.push(() => {
      const far = this.#net.far(this.#remoteId, this.#to)
      if (far !== undefined && !far.#over) deliver(far)
      return far !== undefined
    })
    this.#net.later(() => this.#retry())
  }

  /** In order; what does not get through waits for a redirect. */
  #retry(): void {
    while (this.#unsent[0]?.() === true) this.#unsent.shift()
  }

  end(): void {
    this.#queue((far) => {
      far.#events?.end()
      far.#heardEnd = true
      this.#saidEnd = true
      for (const each of [far, this]) if (each.#heardEnd && each.#saidEnd) each.#finish()
    })
  }

  destroy(): void {
    if (this.#over) return
    this.#queue((far) => far.#finish('ECONNRESET'))
    this.#finish()
  }

  redirect(to: Endpoint): Promise<void> {
    if (this.#net.sticks && this.#unsent.length > 0) return new Promise(() => undefined)
    this.#to = to
    this.#retry()
    return Promise.resolve()
  }

  #finish(code?: string): void {
    if (this.#over) return
    this.#over = true
    this.#net.plug(this.id, undefined)
    setImmediate(() => this.#events?.close(code))
  }
}
