// TCP and the system's resolver, behind the shape of stream.ts. Every socket has its error handlers from the first
// moment, is read only while somebody reads (and a little ahead), and never closes by itself when the other side
// does: who fails a handshake must not be able to tell when.

import { connect as netConnect, createServer, type Socket } from 'node:net'

import { formatIp, parseIp } from '../wire/ip.ts'
import { type ByteStream, type Endpoint, Lost } from './stream.ts'

const READ_AHEAD = 256 * 1024 // bytes kept for a reader that is busy: four reads of the system
const WRITE_AHEAD = 512 * 1024 // bytes the system has not taken yet before write() makes its caller wait

class TcpStream implements ByteStream {
  readonly carrier = 'tcp'
  readonly remote: Endpoint
  readonly closed: Promise<void>
  readonly #socket: Socket
  #chunks: Uint8Array[] = []
  #buffered = 0
  #ended = false
  #lost: Lost | undefined
  #reader: (() => void) | undefined
  #unsent = 0
  #writers: (() => void)[] = []

  constructor(socket: Socket) {
    this.#socket = socket
    this.remote = { ip: canonical(socket.remoteAddress ?? ''), port: socket.remotePort ?? 0 }
    socket.pause() // before 'data' is listened to, or the socket starts to flow
    socket.on('data', (chunk: Uint8Array) => {
      this.#chunks.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length))
      this.#buffered += chunk.length
      if (this.#buffered >= READ_AHEAD) socket.pause()
      this.#wake()
    })
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
    const chunk = this.#chunks.shift()
    if (chunk === undefined) return undefined
    this.#buffered -= chunk.length
    if (this.#buffered < READ_AHEAD / 2 && this.#socket.isPaused()) this.#socket.resume()
    return chunk
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#chunks.unshift(bytes)
    this.#buffered += bytes.length
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
    const socket = netConnect({ host: to.ip, port: to.port, ...local, allowHalfOpen: true, noDelay: true })
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
      resolve(new TcpStream(socket))
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
    onStream(new TcpStream(socket))
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

/** server.close() waits for every connection, which is not what its callers need: the port is free at once. */
function stop(server: ReturnType<typeof createServer>, done: () => void): void {
  server.close()
  server.unref()
  setImmediate(done)
}
