// In the place of lib/delivery/control.ts: the socket of a home's listener, without a socket. A request reaches the
// process that listens for this home, if it lives, and its answers come back until either dies.

import type { Line as RealLine } from '../../lib/delivery/control.ts'
import { aborted } from '../../lib/delivery/requests.ts'
import type { Home } from '../../lib/disk/home.ts'
import type { SimFiles } from './files.ts'
import type { Machine, Proc } from './machine.ts'

export type Message = Record<string, unknown>

/** Nothing is gained here by connecting early. */
export class Line implements Pick<RealLine, keyof RealLine> {
  readonly take = (): Promise<undefined> => Promise.resolve(undefined)
  readonly close = (): Promise<void> => Promise.resolve()
}

type Serve = (request: Message, write: (record: Message) => void, gone: AbortSignal) => Promise<void>

const listeners = new WeakMap<Machine, { process: Proc; serve: Serve }>()

function processOf(home: Home): Proc {
  return (home.files as SimFiles).process
}

export function openControl(home: Home, serve: Serve): Promise<{ close(): Promise<void> }> {
  const process = processOf(home)
  const { machine } = process
  listeners.set(machine, { process, serve })
  return Promise.resolve({
    close() {
      if (listeners.get(machine)?.process === process) listeners.delete(machine)
      return Promise.resolve()
    },
  })
}

export async function findListener(home: Home): Promise<{ pid: number; version: string } | undefined> {
  const process = listeners.get(processOf(home).machine)?.process
  return process?.alive === true ? { pid: process.pid, version: '' } : undefined
}

export async function mayListen(home: Home): Promise<boolean> {
  return listeners.get(processOf(home).machine)?.process.alive === true
}

export async function ask(
  home: Home,
  request: Message,
  options: { signal?: AbortSignal; timeoutMs?: number },
  onRecord: (record: Message) => void,
): Promise<boolean> {
  const process = processOf(home)
  const listener = listeners.get(process.machine)
  if (listener?.process.alive !== true) return false
  const over = new AbortController()
  const end = (): void => over.abort()
  const { timeoutMs, signal } = options
  if (timeoutMs !== undefined && Number.isFinite(timeoutMs)) home.clock.after(timeoutMs, end)
  signal?.addEventListener('abort', end, { once: true })
  if (signal?.aborted === true) end()
  process.onDeath.add(end)
  listener.process.onDeath.add(end)
  let served = true
  const write = (record: Message): void => {
    if (over.signal.aborted) return
    if (record['type'] === 'error') served = false
    else onRecord(record)
  }
  await Promise.race([listener.serve(request, write, over.signal), aborted(over.signal)])
  over.abort()
  return served
}

export async function tellListener(home: Home, op: 'reload' | 'queue', keys: string[] = []): Promise<void> {
  await ask(home, { op, keys }, {}, () => undefined)
}
