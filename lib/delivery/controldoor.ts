// The listener's end of the control socket. Whoever may connect is this user, by the mode of the folder it lies in; but
// programs of this user hang, and send what they like: connections, the bytes and the time of a request are bounded, a
// connection asks once, and nothing that is asked can end the listener.

import { createServer, type Server, type Socket } from 'node:net'

import { version } from '../base/version.ts'
import type { Home } from '../disk/home.ts'
import { type Channel, SocketChannel } from './channel.ts'
import { type Message, readLines } from './control.ts'
import { socketPath } from './socketpath.ts'

/** Connections at once; beyond that a command hears nothing and does its work itself. */
const CONNECTIONS_MAX = 64

/** From the greeting to the end of the request. */
const REQUEST_MS = 10_000

/**
 * Answers one request by writing records; the connection closes when it resolves. `upgrade` turns the connection into
 * a channel of bytes, once; nothing may be written after that.
 */
export type Serve = (
  request: Message,
  write: (record: Message) => void,
  gone: AbortSignal,
  upgrade: () => Channel,
) => Promise<void>

/** The listener's end. */
export async function openControl(home: Home, serve: Serve): Promise<{ close(): Promise<void> }> {
  const path = await socketPath(home)
  await home.files.unlink(path) // the listener's lock is held: whoever made it is dead
  const open = new Set<Socket>()
  const server: Server = createServer((socket) => {
    if (open.size >= CONNECTIONS_MAX) {
      socket.destroy()
      return
    }
    open.add(socket)
    const cancel = home.clock.after(REQUEST_MS, () => socket.destroy())
    const gone = new AbortController()
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      open.delete(socket)
      cancel()
      gone.abort()
    })
    let channel: Channel | undefined
    const write = (record: Message): void => {
      if (!socket.destroyed && channel === undefined) socket.write(JSON.stringify({ v: 1, ...record }) + '\n')
    }
    write({ type: 'listener', version, pid: process.pid, home: home.path })
    readLines(socket, (request, detach) => {
      cancel()
      const held = detach()
      const more = (): void => void socket.destroy() // one request a connection, and nothing behind it
      if (held.length > 0) return more()
      socket.on('data', more)
      const upgrade = (): Channel => {
        write({ type: 'channel' })
        socket.off('data', more)
        return (channel ??= new SocketChannel(socket, held))
      }
      serve(request, write, gone.signal, upgrade)
        .catch((error: unknown) => write({ type: 'error', text: error instanceof Error ? error.message : 'failed' }))
        .finally(() => {
          write({ type: 'done' })
          socket.end()
        })
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject) // once it listens: out of descriptors for one connection, the next may work
    server.listen(path, resolve)
  })
  const close = async (): Promise<void> => {
    for (const socket of open) socket.destroy()
    await new Promise<void>((resolve) => server.close(() => resolve()))
    await home.files.unlink(path)
  }
  try {
    await home.files.chmod(path, 0o600)
  } catch (error) {
    await close() // what is left open would keep the process alive
    throw error
  }
  return { close }
}
