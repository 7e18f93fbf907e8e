// The file door (lib/disk/files.ts) of one simulated process. What it offers beyond Files stands in for what the
// shipped code takes from elsewhere: see seams.ts.

import type { FileHandle } from '../../lib/disk/filehandle.ts'
import type { Files, OpenMode, Stat } from '../../lib/disk/files.ts'
import type { ByteStream, Endpoint } from '../../lib/net/stream.ts'
import type { Listening } from '../../lib/net/tcp.ts'
import { diskError } from './disk.ts'
import type { Machine, Proc } from './machine.ts'
import type { Network } from './net.ts'
import type { Answer, Look, Op } from './ops.ts'

const DEVICE = 1
const uid = process.getuid?.() ?? 0

export class SimFiles implements Files {
  readonly process: Proc
  /** The way to others; set where there is a network. */
  network: Network | undefined

  constructor(process: Proc) {
    this.process = process
  }

  // What lock.ts and others ask of the system.

  get pid(): number {
    return this.process.pid
  }

  kill(pid: number): void {
    if (!this.#machine.isAlive(pid)) throw diskError('ESRCH')
  }

  /** The part of proper-lockfile that lib/disk/lock.ts uses. */
  get locks(): { lock: (path: string, options: { lockfilePath: string; stale: number }) => Promise<() => Promise<void>> } {
    return {
      lock: async (_, { lockfilePath: path, stale }) => {
        await this.#do({ do: 'lock', path, stale, pid: this.pid })
        return () => this.#do({ do: 'unlock', path }) as Promise<undefined>
      },
    }
  }

  get connect(): (to: Endpoint, signal: AbortSignal) => Promise<ByteStream> {
    return (to, signal) => (this.network as Network).connect(this.process, to, signal)
  }

  get listen(): (at: Endpoint, onStream: (stream: ByteStream) => void) => Promise<Listening> {
    return (at, onStream) => (this.network as Network).listen(this.process, at, onStream)
  }

  // Files

  get #machine(): Machine {
    return this.process.machine
  }

  #do(op: Op): Promise<Answer> {
    return this.#machine.host.perform(this.process, op)
  }

  read(path: string): Promise<Uint8Array> {
    if (path.startsWith('/proc/')) return this.#system(path)
    return this.#do({ do: 'read', path }).then(copy)
  }

  async short(path: string, size: number): Promise<Uint8Array | undefined> {
    const bytes = await this.read(path)
    return bytes.length < size ? bytes : undefined
  }

  #system(path: string): Promise<Uint8Array> {
    if (path === '/proc/sys/kernel/random/boot_id') return Promise.resolve(Buffer.from(`boot-${this.#machine.boot}\n`))
    const pid = Number(path.split('/')[2])
    if (!this.#machine.isAlive(pid)) return Promise.reject(diskError('ENOENT'))
    return Promise.resolve(Buffer.from(`${pid} (node) S ${'0 '.repeat(18)}${pid * 7} 0\n`))
  }

  async open(path: string, mode: OpenMode): Promise<FileHandle> {
    return new SimHandle(this.process, path, (await this.#do({ do: 'open', path, mode })) as number)
  }

  async stat(path: string): Promise<Stat | undefined> {
    const look = (await this.#do({ do: 'stat', path })) as Look
    if (look === undefined) return undefined
    const { kind, size, mtime: mtimeMs } = look
    return { size, mtimeMs, mode: kind === 'file' ? 0o600 : 0o700, uid, dev: DEVICE, ino: 1, kind }
  }

  readlink(path: string): Promise<string | undefined> {
    return Promise.resolve(path === '/proc/self/ns/pid' ? 'pid:[1]' : undefined)
  }

  list(path: string): Promise<string[]> {
    return this.#do({ do: 'list', path }) as Promise<string[]>
  }

  async *pieces(path: string): AsyncGenerator<string[]> {
    yield await this.list(path)
  }

  mkdir(path: string): Promise<boolean> {
    return this.#do({ do: 'mkdir', path }) as Promise<boolean>
  }

  symlink(): Promise<void> {
    throw new Error('no links in a home')
  }

  rmdir(path: string): Promise<void> {
    return this.#do({ do: 'rmdir', path }) as Promise<undefined>
  }

  rename(from: string, to: string): Promise<void> {
    return this.#do({ do: 'rename', path: to, from }) as Promise<undefined>
  }

  link(from: string, to: string): Promise<void> {
    return this.#do({ do: 'link', path: to, from }) as Promise<undefined>
  }

  unlink(path: string): Promise<boolean> {
    return this.#do({ do: 'unlink', path }) as Promise<boolean>
  }

  syncDir(path: string): Promise<void> {
    return this.#do({ do: 'syncDir', path }) as Promise<undefined>
  }

  chmod(): Promise<void> {
    return Promise.resolve()
  }

  utimes(path: string, ms: number): Promise<void> {
    return this.#do({ do: 'utimes', path, ms }) as Promise<undefined>
  }

  watch(path: string, onChange: () => void): () => void {
    const { watchers, host } = this.#machine
    const tell = (): void => {
      host.soon(this.process, () => {
        if (watchers.get(path)?.has(tell) === true) onChange()
      })
    }
    const list = watchers.get(path) ?? new Set()
    watchers.set(path, list.add(tell))
    const end = (): void => {
      list.delete(tell)
      if (list.size === 0) watchers.delete(path)
    }
    this.process.onDeath.add(end)
    return end
  }

  statfs(): Promise<{ free: number; total: number; type: number }> {
    return Promise.resolve({ free: this.#machine.free, total: 2 ** 40, type: 0xef53 })
  }
}

/** Of a Buffer slice() would give a view. */
function copy(bytes: Answer): Uint8Array {
  return new Uint8Array(bytes as Uint8Array)
}

class SimHandle implements FileHandle {
  readonly #process: Proc
  readonly #path: string
  readonly #file: number

  constructor(process: Proc, path: string, file: number) {
    this.#process = process
    this.#path = path
    this.#file = file
  }

  #do(op: Op): Promise<Answer> {
    return this.#process.machine.host.perform(this.#process, op)
  }

  async read(at: number, size: number): Promise<Uint8Array> {
    return copy(await this.#do({ do: 'readAt', path: this.#path, file: this.#file, at, size }))
  }

  write(bytes: Uint8Array, at?: number): Promise<void> {
    if (bytes.length === 0) return Promise.resolve()
    return this.#do({ do: 'write', path: this.#path, file: this.#file, bytes: copy(bytes), at }) as Promise<undefined>
  }

  sync(): Promise<void> {
    return this.#do({ do: 'sync', path: this.#path, file: this.#file }) as Promise<undefined>
  }

  truncate(size: number): Promise<void> {
    return this.#do({ do: 'truncate', path: this.#path, file: this.#file, size }) as Promise<undefined>
  }

  size(): Promise<number> {
    return this.#do({ do: 'size', path: this.#path, file: this.#file }) as Promise<number>
  }

  close(): Promise<void> {
    return this.#do({ do: 'close', path: this.#path, file: this.#file }) as Promise<undefined>
  }
}
