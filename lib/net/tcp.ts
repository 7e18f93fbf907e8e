// TCP and the system's resolver, behind the shape of stream.ts. Every socket has its error handlers from the first
// moment, is read only while somebody reads (and a little ahead), and never closes by itself when the other side
// does: who fails a handshake must not be able to tell when.

import { connect as netConnect, createServer, Socket } from 'node:net'

import { formatIp, parseIp } from '../wire/ip.ts'
import { Reads } from './reads.ts'
import { type ByteStream, type Endpoint, Lost } from './stream.ts'

const WRITE_AHEAD = 384 * 1024 // bytes the system has not taken yet before write() makes its caller wait: less than one batch

/** Node loads its sockets when they are first used; a caller with time to spare can have that done. */
export function loadSockets(): boolean {
  return typeof netConnect === 'function'
}

class TcpStream implements ByteStream {
  readonly carrier = 'tcp'
  readonly remote: Endpoint
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #reads: Reads
  #ended = false
  /** Why nothing more comes; an Error only for who asks, for making one takes long. */
  #lost: { readonly message: string; readonly code: string | undefined } | undefined
  #reader: (() => void) | undefined
  #unsent = 0
  #writers: (() => void)[] = []

  constructor(socket: Socket, reads: Reads) {
    this.#socket = socket
    this.#reads = reads
    this.remote = { ip: canonical(socket.remoteAddress ?? ''), port: socket.remotePort ?? 0 }
    socket.pause()
    reads.onChunk = () => {
      if (reads.full) socket.pause()
      this.#wake()
    }
    socket.on('end', () => {
      this.#ended = true
      this.#wake()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => this.#lose(error.message, error.code))
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#lose('connection closed')
        resolve()
      })
    })
  }

  #wake(): void {
    this.#reader?.()
    this.#reader = undefined
  }

  #lose(message: string, code?: string): void {
    this.#lost ??= { message, code }
    this.#wake()
    for (const wake of this.#writers.splice(0)) wake()
  }

  /** Throws Lost if it is. */
  #check(): void {
    if (this.#lost !== undefined) throw new Lost(this.#lost.message, this.#lost.code)
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.take()
      if (chunk !== undefined) return chunk
      if (this.#ended) return undefined
      this.#check()
      this.#socket.resume()
      await new Promise<void>((resolve) => (this.#reader = resolve))
    }
  }

  take(): Uint8Array | undefined {
    const chunk = this.#reads.take()
    if (chunk !== undefined && this.#reads.low && this.#socket.isPaused()) this.#socket.resume()
    return chunk
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#reads.putBack(bytes)
  }

  trust(): void {
    this.#reads.become('friend')
  }

  ignore(): void {
    this.#reads.become('nobody')
  }

  async write(parts: readonly Uint8Array[], sent?: () => void): Promise<void> {
    this.#check()
    let size = 0
    const done = (): void => {
      sent?.()
      this.#unsent -= size
      if (this.#unsent <= WRITE_AHEAD / 2) for (const wake of this.#writers.splice(0)) wake()
    }
    this.#socket.cork()
    parts.forEach((part, index) => {
      size += part.length
      if (index === parts.length - 1) this.#socket.write(part, done)
      else this.#socket.write(part)
    })
    this.#unsent += size
    this.#socket.uncork()
    if (this.#unsent <= WRITE_AHEAD) return
    await new Promise<void>((resolve) => this.#writers.push(resolve))
    this.#check()
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

/** Without a zone, a mapped IPv4 address as IPv4. */
function canonical(ip: string): string {
  const bytes = parseIp(ip.replace(/%.*$/, ''))
  return bytes === undefined ? ip : formatIp(bytes)
}

/** A connection to `to`, from a port of this machine if one is given; rejects with the system's error (ECONNREFUSED, ...), or Lost once `signal` aborts. */
export function connect(to: Endpoint, signal: AbortSignal, from?: number): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new Lost('given up'))
    const local = from !== undefined && { localPort: from }
    const reads = new Reads()
    const socket = netConnect({ host: to.ip, port: to.port, ...local, allowHalfOpen: true, noDelay: true, onread: reads.options })
    const giveUp = (): void => {
      socket.destroy()
      reject(new Lost('given up'))
    }
    signal.addEventListener('abort', giveUp, { once: true })
    const settled = (): void => signal.removeEventListener('abort', giveUp)
    socket.once('error', (error) => {
      settled()
      reject(error)
    })
    socket.once('connect', () => {
      settled()
      resolve(new TcpStream(socket, reads))
    })
  })
}

/** All addresses of a host name, in the resolver's order; an IP address gives itself. Empty if there are none. */
export async function resolve(host: string): Promise<string[]> {
  if (parseIp(host) !== undefined) return [host]
  const { lookup } = await import('node:dns/promises') // reads the system's settings as soon as it is loaded
  try {
    const found = await lookup(host, { all: true, verbatim: true })
    return found.map((entry) => canonical(entry.address))
  } catch {
    return []
  }
}

export interface Listening {
  /** As the system gave it, should 0 have been asked for. */
  readonly ip: string
  readonly port: number
  /** No new connections; those there are live on. Resolves when the port is free. */
  close(): Promise<void>
}

/**
 * Listens on one address, alone; `read` is how its connections are. Rejects with the system's error: EADDRINUSE,
 * EAFNOSUPPORT, EADDRNOTAVAIL, EACCES.
 */
export function listen(at: Endpoint, onStream: (stream: ByteStream) => void, read = intoBuffers): Promise<Listening> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
    const reads = new Reads()
    onStream(new TcpStream(read(socket, reads), reads))
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: at.ip, port: at.port, ipv6Only: at.ip.includes(':'), exclusive: true }, () => {
      server.off('error', reject)
      server.on('error', () => {}) // out of descriptors for one connection: the next may work
      const address = server.address()
      if (address === null || typeof address === 'string') return reject(new Error('no TCP address'))
      resolve({
        ip: at.ip,
        port: address.port,
        close: () => new Promise((done) => stop(server, done)),
      })
    })
  })
}

/**
 * A connection of a server that is read into these buffers. Node lets only those say where to read to who make the socket,
 * so another one takes the connection over; should it not be had one day, node's own buffers do.
 */
export function intoBuffers(accepted: Socket, reads: Reads): Socket {
  const bare = accepted as Socket & { _handle?: object | null }
  const { _handle: handle } = bare
  if (handle === undefined || handle === null) return throughNode(accepted, reads)
  bare._handle = null // nothing else of it needs an end, which would be a tenth of what a stranger costs
  const options = { handle, allowHalfOpen: true, pauseOnCreate: true, onread: reads.options }
  return new Socket(options)
}

/** The same by what node documents alone: what it reads ahead, up to 128 KiB, is its own affair. */
export function throughNode(accepted: Socket, reads: Reads): Socket {
  return accepted.on('data', (chunk: Buffer) => reads.push(new Uint8Array(chunk)))
}

/** server.close() waits for every connection, which is not what its callers need: the port is free at once. */
function stop(server: ReturnType<typeof createServer>, done: () => void): void {
  server.close()
  server.unref()
  setImmediate(done)
}
