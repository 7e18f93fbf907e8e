// TCP and the system's resolver, behind the shape of stream.ts. Every socket has its error handlers from the first
// moment, is read only while somebody reads (and a little ahead), and never closes by itself when the other side
// does: who fails a handshake must not be able to tell when.

import { connect as netConnect, createServer, type OnReadOpts, Socket } from 'node:net'

import { formatIp, parseIp } from '../wire/ip.ts'
import { type ByteStream, type Endpoint, Lost } from './stream.ts'

const BUFFER = 64 * 1024 // bytes read from the system at once
const READ_AHEAD = 4 // buffers filled for a reader that is busy
const WRITE_AHEAD = 512 * 1024 // bytes the system has not taken yet before write() makes its caller wait

/**
 * What was read and not taken yet. The system reads into the same few buffers again and again: bytes that lie in fresh
 * memory each time cost twice as much, and another part for the garbage. Of a buffer only the pages are in memory that
 * ever had bytes.
 */
class Reads {
  #chunks: Uint8Array[] = []
  #free: Uint8Array[] = []
  /** The buffer whose bytes the reader has. */
  #taken: Uint8Array | undefined
  onChunk: () => void = () => undefined

  /** For a socket of node. */
  readonly options: OnReadOpts = {
    buffer: () => this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER),
    callback: (size, buffer) => {
      this.#chunks.push(new Uint8Array(buffer.buffer, 0, size))
      this.onChunk()
      return !this.full
    },
  }

  get full(): boolean {
    return this.#chunks.length >= READ_AHEAD
  }

  /** Half of what there may be is taken. */
  get low(): boolean {
    return this.#chunks.length < READ_AHEAD / 2
  }

  take(): Uint8Array | undefined {
    const chunk = this.#chunks.shift()
    if (chunk === undefined) return undefined
    this.#recycle()
    this.#taken = chunk
    return chunk
  }

  /** Puts some of what was taken last back in front. */
  putBack(bytes: Uint8Array): void {
    if (bytes.buffer === this.#taken?.buffer) this.#taken = undefined
    this.#chunks.unshift(bytes)
  }

  #recycle(): void {
    if (this.#taken?.buffer.byteLength === BUFFER) this.#free.push(Buffer.from(this.#taken.buffer))
  }
}

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
  #lost: Lost | undefined
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
    this.#lost ??= new Lost(message, code)
    this.#wake()
    for (const wake of this.#writers.splice(0)) wake()
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.take()
      if (chunk !== undefined) return chunk
      if (this.#ended) return undefined
      if (this.#lost !== undefined) throw this.#lost
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

  async write(parts: readonly Uint8Array[], sent?: () => void): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost
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
    if (this.#lost !== undefined) throw this.#lost
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

/** Listens on one address, alone. Rejects with the system's error: EADDRINUSE, EAFNOSUPPORT, EADDRNOTAVAIL, EACCES. */
export function listen(at: Endpoint, onStream: (stream: ByteStream) => void): Promise<Listening> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
    const reads = new Reads()
    onStream(new TcpStream(reading(socket, reads), reads))
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
function reading(accepted: Socket, reads: Reads): Socket {
  const bare = accepted as Socket & { _handle?: object | null }
  const { _handle: handle } = bare
  if (handle === undefined || handle === null) {
    accepted.on('data', (chunk: Buffer) => void reads.options.callback(chunk.length, Uint8Array.from(chunk)))
    return accepted
  }
  bare._handle = null
  accepted.destroy()
  const options = { handle, allowHalfOpen: true, pauseOnCreate: true, onread: reads.options }
  return new Socket(options)
}

/** server.close() waits for every connection, which is not what its callers need: the port is free at once. */
function stop(server: ReturnType<typeof createServer>, done: () => void): void {
  server.close()
  server.unref()
  setImmediate(done)
}
