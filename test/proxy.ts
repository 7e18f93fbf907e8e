// A TCP proxy for tests: sees every byte that crosses between two listeners' doors, counts it, keeps it if wanted, and
// cuts, resets, stalls or silences a connection at a byte.

import { connect, createServer, type Server, type Socket } from 'node:net'

export interface Crossing {
  /** Bytes from whoever called, and from whoever was called. */
  up: number
  down: number
  upBytes: Buffer[]
  downBytes: Buffer[]
  /** ms since the connection, of the first byte each way. */
  firstUp: number | undefined
  firstDown: number | undefined
  open: boolean
  cut(): void
  /** The same with RST both ways. */
  reset(): void
  /** As if the cable was pulled: nothing passes any more, not even the end of either side. */
  silence(): void
  /** Stops and goes on carrying what the caller sends. */
  hold(): void
  go(): void
}

export interface ProxyOptions {
  /** Where connections go on to. */
  to: number
  /** Keep what crosses. */
  keep?: boolean
}

/** What to do with a connection: cut it (or as `how` says) once so many bytes went up or down. */
export interface Cut {
  up?: number
  down?: number
  how?: 'cut' | 'reset' | 'silence'
}

export class Proxy {
  readonly crossings: Crossing[] = []
  /** For the next connections, one each. */
  readonly cuts: (Cut | undefined)[] = []
  /** Called after each piece. */
  onBytes: (crossing: Crossing) => void = () => undefined
  readonly #server: Server
  readonly #options: ProxyOptions

  private constructor(server: Server, options: ProxyOptions) {
    this.#server = server
    this.#options = options
  }

  static async open(options: ProxyOptions, port = 0): Promise<Proxy> {
    const server = createServer({ allowHalfOpen: true })
    const proxy = new Proxy(server, options)
    server.on('connection', (socket) => proxy.#meet(socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
    return proxy
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  get total(): number {
    return this.crossings.reduce((sum, { up, down }) => sum + up + down, 0)
  }

  async close(): Promise<void> {
    for (const crossing of this.crossings) crossing.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #meet(caller: Socket): void {
    const { to, keep = false } = this.#options
    const called = connect({ host: '127.0.0.1', port: to, allowHalfOpen: true })
    const since = performance.now()
    const limit = this.cuts.shift()
    const how = limit?.how ?? 'cut'
    let held = false
    let silent = false
    const crossing: Crossing = {
      up: 0,
      down: 0,
      upBytes: [],
      downBytes: [],
      firstUp: undefined,
      firstDown: undefined,
      open: true,
      cut() {
        crossing.open = false
        caller.destroy()
        called.destroy()
      },
      reset() {
        crossing.open = false
        caller.resetAndDestroy()
        called.resetAndDestroy()
      },
      silence() {
        silent = true
        caller.pause()
        called.pause()
      },
      hold: () => (held = true),
      go() {
        held = false
        caller.resume()
      },
    }
    this.crossings.push(crossing)
    const carry = (from: Socket, into: Socket, way: 'up' | 'down'): void => {
      from.on('data', (chunk: Buffer) => {
        const left = (limit?.[way] ?? Infinity) - crossing[way]
        const piece = chunk.length > left ? chunk.subarray(0, left) : chunk
        crossing[way === 'up' ? 'firstUp' : 'firstDown'] ??= performance.now() - since
        crossing[way] += piece.length
        if (keep) crossing[`${way}Bytes`].push(piece)
        const whole = piece.length < left
        if (!whole) {
          from.pause()
          if (piece.length > 0) into.write(piece, () => crossing[how]())
          else crossing[how]()
          return
        }
        const room = into.write(piece)
        this.onBytes(crossing)
        const stays = (): boolean => silent || (way === 'up' && held)
        if (!room) into.once('drain', () => stays() || from.resume())
        if (!room || stays()) from.pause()
      })
      from.on('end', () => silent || into.end())
      from.on('error', () => silent || crossing.cut())
      from.on('close', () => {
        if (silent) return
        if (from.errored === null && from.readableEnded) into.end()
        else crossing.cut()
        if (caller.destroyed && called.destroyed) crossing.open = false
      })
    }
    carry(caller, called, 'up')
    carry(called, caller, 'down')
  }
}
