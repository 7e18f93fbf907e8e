// The socket through which commands talk to the running listener of their home: NDJSON both ways, only for this user.
// It speeds things up and avoids work done twice; without it every command does its work itself.

import { connect, createServer, type Socket } from 'node:net'

import { utf8 } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { EX, Failure, isCode, Malformed } from '../base/fail.ts'
import type { Home } from '../disk/home.ts'
import { type Channel, SocketChannel } from './channel.ts'
import { ownUid, PATH_MAX, socketPath } from './socketpath.ts'

/** Bytes of one line: ids of some thousand messages. */
export const LINE_MAX = 4 << 20

/** How a socket fails that nobody listens at, or somebody who dies right now. */
const NOBODY = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOTDIR', 'EACCES', 'EAGAIN']

/** A listener that does not greet by then is hung: the command does its work itself. */
const GREETING_MS = 2000

/** A connection without a request is ended by the listener after 10 s: controldoor.ts. */
const FRESH_MS = 5000

export type Message = Record<string, unknown>

/** A connection to the running listener, made while it is not known yet what will be asked. */
export class Line {
  readonly #clock: Clock
  readonly #since: number
  #socket: Promise<Socket | undefined> | undefined

  constructor(home: Home) {
    this.#clock = home.clock
    this.#since = home.clock.monotonic()
    this.#socket = reach(home).catch(() => undefined) // what goes wrong here goes wrong again, and is told, when it is asked
  }

  /** The connection, once; undefined if nobody listened, or if it is too old by now. */
  async take(): Promise<Socket | undefined> {
    const socket = await this.#socket
    this.#socket = undefined
    if (socket === undefined || (!socket.destroyed && this.#clock.monotonic() - this.#since < FRESH_MS)) return socket
    socket.destroy()
    return undefined
  }

  async close(): Promise<void> {
    ;(await this.take())?.destroy()
  }
}

/**
 * Sends one request to the running listener and hands over each record of the answer. False if no listener answers, or
 * with an error, as one that is older and does not know the request; true once it has (or the time is over). Throws 75
 * if the listener is of another major version. A `line` whose listener has gone is as none.
 */
export async function ask(
  home: Home,
  request: Message,
  options: { signal?: AbortSignal; timeoutMs?: number; line?: Line | undefined },
  onRecord: (record: Message) => void,
): Promise<boolean> {
  const early = await options.line?.take()
  const answer = early === undefined ? 'gone' : await talk(home, early, request, options, onRecord)
  if (answer !== 'gone') return answer === 'served'
  const socket = await reach(home)
  if (socket === undefined) return false
  return (await talk(home, socket, request, options, onRecord)) !== 'not served'
}

/** 'gone': the listener has greeted and ended the connection, and that is all. */
function talk(
  home: Home,
  socket: Socket,
  request: Message,
  options: { signal?: AbortSignal; timeoutMs?: number },
  onRecord: (record: Message) => void,
): Promise<'served' | 'not served' | 'gone'> {
  return new Promise((resolve, reject) => {
    let greeted = false
    let served = true
    let heard = false // anything but the greeting
    const finish = (): void => {
      cancels.forEach((cancel) => cancel())
      options.signal?.removeEventListener('abort', finish)
      socket.destroy()
      resolve(greeted && served ? 'served' : 'not served')
    }
    const cancels = [home.clock.after(GREETING_MS, () => greeted || finish())]
    const { timeoutMs } = options
    if (timeoutMs !== undefined && Number.isFinite(timeoutMs)) cancels.push(home.clock.after(timeoutMs, finish))
    options.signal?.addEventListener('abort', finish, { once: true })
    socket.on('close', () => {
      if (greeted && !heard) resolve('gone')
      finish()
    })
    readLines(socket, (record) => {
      heard = greeted
      if (!greeted) {
        greeted = true
        if (record['type'] !== 'listener' || record['v'] !== 1) {
          reject(new Failure(EX.TEMPORARY, 'the running p2p-listen is of another version', 'restart p2p-listen'))
          return finish()
        }
        socket.write(JSON.stringify({ v: 1, ...request }) + '\n')
      } else if (record['type'] === 'done') {
        finish()
      } else if (record['type'] === 'error') {
        served = false
      } else {
        onRecord(record)
      }
    })
    if (options.signal?.aborted === true) finish()
  })
}

/** Who listens for this home; 'hung' if something holds the socket and does not greet, undefined if nobody does. */
export async function findListener(home: Home): Promise<{ pid: number; version: string } | 'hung' | undefined> {
  const socket = await reach(home)
  if (socket === undefined) return undefined
  return new Promise((resolve) => {
    const finish = (found: { pid: number; version: string } | 'hung'): void => {
      cancel()
      socket.destroy()
      resolve(found)
    }
    const cancel = home.clock.after(GREETING_MS, () => finish('hung'))
    socket.on('close', () => finish('hung'))
    readLines(socket, ({ type, pid, version: other }) => {
      finish(type === 'listener' && typeof pid === 'number' ? { pid, version: String(other) } : 'hung')
    })
  })
}

/** True if the folder of the socket takes Unix sockets: some file systems know none. */
export async function probeSocket(home: Home): Promise<boolean> {
  const path = `${await socketPath(home)}.probe` // 6 bytes more: checked, since Node cuts a longer one silently
  if (utf8(path).length > PATH_MAX) return true
  await home.files.unlink(path)
  const server = createServer()
  const good = await new Promise<boolean>((resolve) => {
    server.on('error', () => resolve(false))
    server.listen(path, () => resolve(true))
  })
  if (good) await new Promise<void>((resolve) => server.close(() => resolve()))
  await home.files.unlink(path)
  return good
}

/**
 * Tells a running listener that the keyring changed (reload), or that what waits for the contacts `keys` is to be
 * tried now (queue). Without a listener there is nobody to tell.
 */
export async function tellListener(home: Home, op: 'reload' | 'queue', keys: string[] = []): Promise<void> {
  await ask(home, { op, keys }, { timeoutMs: GREETING_MS }, () => undefined)
}

/** Undefined if nobody listens, or if what lies there is another user's. The connection closes by itself when it fails. */
async function reach(home: Home): Promise<Socket | undefined> {
  const path = await socketPath(home)
  const stat = await home.files.stat(path)
  if (stat === undefined || stat.uid !== ownUid()) return undefined
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.removeAllListeners('error')
      socket.on('error', () => socket.destroy())
      resolve(socket)
    })
    socket.once('error', (error) => {
      if (isCode(error, ...NOBODY)) resolve(undefined)
      else reject(error)
    })
  })
}

/**
 * Asks the running listener for a channel. Undefined if no listener answers; 'refused' if it does not know the request,
 * as an older one. Throws 75 if the listener is of another major version.
 */
export async function openChannel(home: Home, request: Message): Promise<Channel | 'refused' | undefined> {
  const socket = await reach(home)
  if (socket === undefined) return undefined
  return new Promise((resolve, reject) => {
    let greeted = false
    const cancel = home.clock.after(GREETING_MS, () => socket.destroy())
    socket.on('close', () => resolve(undefined))
    readLines(socket, ({ type, v }, detach) => {
      cancel()
      if (!greeted) {
        greeted = true
        if (type === 'listener' && v === 1) return socket.write(JSON.stringify({ v: 1, ...request }) + '\n')
        reject(new Failure(EX.TEMPORARY, 'the running p2p-listen is of another version', 'restart p2p-listen'))
      } else if (type === 'channel') {
        return resolve(new SocketChannel(socket, detach()))
      }
      resolve('refused')
      return socket.destroy()
    })
  })
}

/**
 * Calls back with each line that is a JSON object; a line that is none, or too long, ends the connection. `detach` ends
 * that, and returns what came behind the line.
 */
export function readLines(socket: Socket, onLine: (message: Message, detach: () => Buffer) => void): void {
  let held: Buffer[] = []
  let size = 0
  let attached = true
  const keep = (piece: Buffer): void => {
    held.push(piece)
    size += piece.length
    if (size > LINE_MAX) socket.destroy()
  }
  const onData = (chunk: Buffer): void => {
    let rest = chunk
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = Buffer.concat([...held, rest.subarray(0, end)])
      rest = rest.subarray(end + 1)
      held = [rest]
      try {
        onLine(asMessage(line), detach)
      } catch {
        socket.destroy()
      }
      if (socket.destroyed || !attached) return
      held = []
      size = 0
    }
    keep(rest)
  }
  const detach = (): Buffer => {
    socket.off('data', onData)
    attached = false
    const rest = Buffer.concat(held)
    held = []
    return rest
  }
  socket.on('data', onData)
}

/** Throws for what is no JSON object of a bearable size. */
function asMessage(line: Buffer): Message {
  if (line.length > LINE_MAX) throw new Malformed('line too long')
  const message: unknown = JSON.parse(line.toString('utf8'))
  if (typeof message !== 'object' || message === null || Array.isArray(message)) throw new Malformed('no object')
  return message as Message
}
