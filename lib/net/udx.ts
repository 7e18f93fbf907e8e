// The one door to udx-native (libudx: reliable streams over UDP with congestion control, and plain datagrams on the same
// sockets). The package is optional and holds machine code: it is loaded when UDP is first wanted, and whoever has none
// for this machine does without UDP. It checks no sender; everything above it is authenticated elsewhere.

import { systemClock } from '../base/clock.ts'
import { formatIp, parseIp } from '../wire/ip.ts'
import type { Datagrams, OpenDatagrams, Pipe, PipeEvents } from './datagram.ts'
import type { Endpoint } from './stream.ts'

/** As much of the package as is used here; it has no types of its own. */
interface Udx {
  createSocket(options: { ipv6Only?: boolean }): UdxSocket
  createStream(id: number, options: { firewall?: () => boolean }): UdxStream
}

interface UdxSocket {
  bind(port: number, host: string): void
  address(): { host: string; port: number } | null
  trySend(bytes: Uint8Array, port: number, host: string, ttl: number): void
  on(event: 'message', run: (bytes: Uint8Array, from: { host: string; port: number }) => void): void
  close(): Promise<void>
}

interface UdxStream {
  connect(socket: UdxSocket, remoteId: number, port: number, host: string): void
  /** Null if it happened at once. Throws while another change is under way, and on a closed stream. */
  changeRemote(socket: UdxSocket, remoteId: number, port: number, host: string): Promise<void> | null
  /** False: gives out what has come when hardly another packet has room where it lies, or at the end. */
  setInteractive(interactive: boolean): void
  readonly _handle: Uint8Array
  readonly connected: boolean
  readonly destroying: boolean
  on(event: 'data', run: (bytes: Uint8Array) => void): void
  on(event: 'end' | 'drain' | 'close', run: () => void): void
  on(event: 'error', run: (error: NodeJS.ErrnoException) => void): void
  write(bytes: Uint8Array): boolean
  end(): void
  destroy(): void
}

type Loaded = { udx: Udx } | { missing: string }

let loading: Promise<Loaded> | undefined

/** The package, or why it can not be had here, in words. Loads it once for the process. */
function load(): Promise<Loaded> {
  loading ??= loadPackage().catch((error: unknown) => ({ missing: reasonOf(error) }))
  return loading
}

async function loadPackage(): Promise<Loaded> {
  // @ts-expect-error: it has no types
  const loaded = (await import('udx-native')) as { default: new () => Udx }
  return { udx: new loaded.default() }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') return 'the package udx-native is not installed'
  const [line = ''] = String(message).split('\n')
  return `the package udx-native does not run on this machine: ${line}`
}

/** Why this machine can do no UDP; undefined if it can. */
export async function missingUdp(): Promise<string | undefined> {
  const loaded = await load()
  return 'missing' in loaded ? loaded.missing : undefined
}

/** What a stream gathers before it gives it out, if it may, is less than this: the package's buffer. */
const PIECE = 65_536 + 2048

/** It may as long as so many take no longer: then packets come faster than a call for each is worth. */
const PIECE_MS = 20

class UdxPipe implements Pipe {
  readonly #stream: UdxStream
  readonly #remoteId: number
  readonly #socketFor: (to: Endpoint) => UdxSocket | undefined
  #to: Endpoint | undefined
  #changing: Promise<void> | undefined
  #closed = false

  #gathers = false
  #quick = false
  /** When that was judged, and what has come since. */
  #since = 0
  #came = 0
  /** Of what happens when it is not quick any more: the next packet brings what was gathered with it. */
  #cancelStalled: () => void = () => undefined

  constructor(stream: UdxStream, remoteId: number, socketFor: (to: Endpoint) => UdxSocket | undefined) {
    this.#stream = stream
    this.#remoteId = remoteId
    this.#socketFor = socketFor
  }

  listen(events: PipeEvents): void {
    let code: string | undefined
    this.#stream.on('data', (bytes) => {
      this.#came += bytes.length
      events.data(bytes)
    })
    this.#stream.on('end', () => events.end())
    this.#stream.on('drain', () => events.drain())
    this.#stream.on('error', (error) => (code = error.code ?? 'EPROTO'))
    this.#stream.on('close', () => {
      this.#closed = true
      this.#cancelStalled()
      events.close(code)
    })
  }

  write(bytes: Uint8Array): boolean {
    if (!this.#stream.connected && !this.#stream.destroying) throw new Error('nothing came through this pipe yet')
    return this.#stream.write(bytes)
  }

  expect(bytes: number): void {
    this.#gather(bytes >= PIECE && this.#isQuick())
    this.#cancelStalled()
    if (this.#gathers) this.#cancelStalled = systemClock.after(PIECE_MS, () => this.#gather((this.#quick = false)), true)
  }

  #isQuick(): boolean {
    if (this.#came < PIECE) return this.#quick
    const now = systemClock.monotonic()
    this.#quick = now - this.#since < (PIECE_MS * this.#came) / PIECE
    this.#since = now
    this.#came = 0
    return this.#quick
  }

  #gather(gathers: boolean): void {
    if (gathers === this.#gathers || this.#closed) return
    this.#gathers = gathers
    setInteractive(this.#stream, !gathers)
  }

  end(): void {
    if (this.#stream.connected) this.#stream.end()
    else this.#stream.destroy()
  }

  destroy(): void {
    this.#stream.destroy()
  }

  redirect(to: Endpoint): Promise<void> {
    this.#to = to
    this.#changing ??= this.#follow().finally(() => (this.#changing = undefined))
    return this.#changing
  }

  async #follow(): Promise<void> {
    while (this.#to !== undefined && !this.#closed && this.#stream.connected && !this.#stream.destroying) {
      const to = this.#to
      this.#to = undefined
      const socket = this.#socketFor(to)
      if (socket === undefined) continue
      try {
        await this.#stream.changeRemote(socket, this.#remoteId, to.port, to.ip)
      } catch {
        break // it closed meanwhile
      }
    }
  }
}

/** The package's own does it to closed streams alone, which is the wrong way round: it is given one that looks closed. */
function setInteractive(stream: UdxStream, interactive: boolean): void {
  stream.setInteractive.call({ _closed: true, _handle: stream._handle } as unknown as UdxStream, interactive)
}

type Family = readonly [4, '0.0.0.0'] | readonly [6, '::']

/** Throws an Error that says why if the package can not be had. */
export const openUdx: OpenDatagrams = (port, onDatagram) => open(port, onDatagram, [[4, '0.0.0.0'], [6, '::']])

/** The same for IPv4 alone. */
export const openUdx4: OpenDatagrams = (port, onDatagram) => open(port, onDatagram, [[4, '0.0.0.0']])

async function open(
  port: number,
  onDatagram: Parameters<OpenDatagrams>[1],
  families: readonly Family[],
): Promise<Datagrams> {
  const loaded = await load()
  if ('missing' in loaded) throw new Error(loaded.missing)
  const { udx } = loaded
  const sockets = new Map<4 | 6, UdxSocket>()
  let missing: unknown
  for (const [family, host] of families) {
    const socket = udx.createSocket({ ipv6Only: family === 6 })
    try {
      socket.bind(portOf(sockets) ?? port, host)
    } catch (error) {
      await socket.close()
      missing = error
      if (isAbsent(error)) continue
      await Promise.all([...sockets.values()].map((other) => other.close()))
      throw error
    }
    socket.on('message', (bytes, { host: ip, port: from }) => onDatagram(bytes, { ip: canonical(ip), port: from }))
    sockets.set(family, socket)
  }
  if (sockets.size === 0) throw missing
  return new UdxDatagrams(udx, sockets)
}

class UdxDatagrams implements Datagrams {
  readonly port: number
  readonly addresses: readonly Endpoint[]
  readonly #udx: Udx
  readonly #sockets: ReadonlyMap<4 | 6, UdxSocket>

  constructor(udx: Udx, sockets: ReadonlyMap<4 | 6, UdxSocket>) {
    this.#udx = udx
    this.#sockets = sockets
    this.port = portOf(sockets) ?? 0
    this.addresses = [...sockets.keys()].map((family) => ({ ip: family === 4 ? '0.0.0.0' : '::', port: this.port }))
  }

  #socketFor = ({ ip }: Endpoint): UdxSocket | undefined => this.#sockets.get(ip.includes(':') ? 6 : 4)

  send(bytes: Uint8Array, to: Endpoint, hops = 0): boolean {
    const socket = this.#socketFor(to)
    if (socket === undefined) return false
    try {
      socket.trySend(bytes, to.port, to.ip, hops)
      return true
    } catch {
      return false // no route, a local firewall
    }
  }

  connect(id: number, remoteId: number, to: Endpoint): Pipe {
    const stream = this.#udx.createStream(id, {})
    const socket = this.#socketFor(to)
    if (socket === undefined) stream.destroy()
    else stream.connect(socket, remoteId, to.port, to.ip)
    return new UdxPipe(stream, remoteId, this.#socketFor)
  }

  accept(id: number, remoteId: number, to: Endpoint): Pipe {
    const socket = this.#socketFor(to)
    const stream: UdxStream = this.#udx.createStream(id, {
      firewall: () => {
        if (socket !== undefined && !stream.connected) stream.connect(socket, remoteId, to.port, to.ip)
        return false // true would turn the packet away
      },
    })
    return new UdxPipe(stream, remoteId, this.#socketFor)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sockets.values()].map((socket) => socket.close()))
  }
}

function portOf(sockets: ReadonlyMap<number, UdxSocket>): number | undefined {
  for (const socket of sockets.values()) return socket.address()?.port
  return undefined
}

/** This machine has no such family of addresses. */
function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL'
}

function canonical(ip: string): string {
  const bytes = parseIp(ip.replace(/%.*$/, ''))
  return bytes === undefined ? ip : formatIp(bytes)
}
