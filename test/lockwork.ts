// Every named lock of the program, and work that takes it: for locks.test.ts, which has processes die with each of them.
// As a program (HOME NAME WHEN) it does the work of one lock and dies WHEN it is `made` and not noted yet (or no more) or
// `held`, or is `stopped` while it holds it.

import { writeSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'

import { type Clock, systemClock } from '../lib/base/clock.ts'
import { nodeSuite } from '../lib/crypto/suite-node.ts'
import { flushAll } from '../lib/delivery/flush.ts'
import { Listener } from '../lib/delivery/listener.ts'
import { acceptAll } from '../lib/disk/accept.ts'
import { Config } from '../lib/disk/config.ts'
import type { Contact } from '../lib/disk/contact.ts'
import type { FileHandle } from '../lib/disk/filehandle.ts'
import { type Files, nodeFiles } from '../lib/disk/files.ts'
import { nextHelloTime } from '../lib/disk/hellos.ts'
import { type Home, openHome, realDoors } from '../lib/disk/home.ts'
import { instanceOf } from '../lib/disk/instance.ts'
import { type Keyring, loadKeyring } from '../lib/disk/keyring.ts'
import { renameContact } from '../lib/disk/contacts.ts'
import { note } from '../lib/disk/queuelog.ts'
import { queuePath } from '../lib/disk/queued.ts'
import { noteReceipts } from '../lib/disk/receipts.ts'
import { reserveStamps } from '../lib/disk/stamp.ts'
import { discard, stageBody } from '../lib/disk/staging.ts'
import { sweep } from '../lib/disk/sweep.ts'
import { mayTry } from '../lib/disk/tried.ts'

export type When = 'made' | 'held' | 'stopped'

interface Scene {
  home: Home
  keyring: Keyring
  contact: Contact
}

interface Work {
  /** So that the work wants the lock. */
  prepare?(scene: Scene): Promise<unknown>
  run(scene: Scene): Promise<unknown>
  /** Others may pass one who was stopped: p2p-spool(5). */
  overtakes: boolean
  /** Who does not get it goes on all the same, and leaves this file as it is. */
  without?: string
}

const LONG = '\n'.repeat((1 << 20) + 100)
const config = new Config({ environment: new Map<string, boolean>([['map', false], ['lan', false]]) })
const nobody = (): void => undefined

async function listen({ home, keyring }: Scene): Promise<void> {
  const options = {
    home,
    keyring,
    config,
    reread: () => Promise.resolve(config),
    once: false,
    exec: 'true',
    call: false,
    signal: new AbortController().signal,
    onReady: () => home.clock.after(300, () => listener.finish()),
    onMessage: nobody,
    onDelivered: nobody,
    onDeferred: nobody,
    onFailed: nobody,
    onPeer: nobody,
    onContact: nobody,
    onRequest: nobody,
    onNotice: nobody,
  }
  const listener: Listener = new Listener(options as never)
  await listener.run()
}

/** A message came, and its command has not run yet. */
async function pend({ home }: Scene): Promise<void> {
  const name = `1700000000000000.${'0'.repeat(32)}.p2p`
  await writeFile(home.at('hooks', 'pending', name), 'From: x\n\ntext\n', { mode: 0o600 })
}

async function queueOne({ home, keyring, contact }: Scene): Promise<void> {
  const staged = await stageBody(home, nodeSuite, [{ type: 'text/plain', content: new TextEncoder().encode('hello\n') }])
  await acceptAll(home, nodeSuite, keyring.self, [{ to: contact, staged, header: {} }])
  await discard(home, staged)
}

function flush({ home, keyring }: Scene): Promise<unknown> {
  return flushAll(home, keyring, keyring.all(), {
    waitMs: 3000,
    lingerMs: 0,
    signal: new AbortController().signal,
    config,
    reread: () => Promise.resolve(config),
    onOutcome: nobody,
    onReceived: nobody,
    onNotice: nobody,
  })
}

const listener: Work = { run: listen, overtakes: false }

/** By NAME of p2p-spool(5), lock/NAME.lock. */
export const WORK: Record<string, Work> = {
  listener,
  port: listener,
  'receiver.TAG': listener,
  'hook.ID32': { ...listener, prepare: pend },
  flush: { prepare: queueOne, run: flush, overtakes: true },
  'flush.KEY': { prepare: queueOne, run: flush, overtakes: true },
  sweep: { run: ({ home }) => sweep(home), overtakes: true },
  keyring: { run: ({ home, contact }) => renameContact(home, contact.key, contact.name), overtakes: false },
  identity: {
    prepare: async ({ home }) => {
      const text = JSON.parse(Buffer.from(await home.files.read(home.at('home.json'))).toString()) as object
      await writeFile(home.at('home.json'), JSON.stringify({ ...text, place: '0'.repeat(16) }))
    },
    run: ({ home }) => instanceOf(home, nodeSuite),
    overtakes: false,
    without: 'home.json',
  },
  hello: { run: ({ home }) => nextHelloTime(home), overtakes: true },
  tried: {
    run: ({ home, contact }) => mayTry(home, contact.key, [{ host: '10.0.0.9', port: 9, tcp: true, udp: false }]),
    overtakes: true,
  },
  clock: {
    prepare: async ({ home }) => {
      for (const name of await home.files.list(home.at('queue', 'clock'))) await home.files.unlink(home.at('queue', 'clock', name))
    },
    run: ({ home }) => reserveStamps(home, 1),
    overtakes: true,
  },
  'log.KEY': {
    prepare: async ({ home, contact }) => {
      await home.files.mkdir(queuePath(home, contact.key))
      await writeFile(queuePath(home, contact.key, 'log'), LONG)
    },
    run: ({ home, contact }) => note(home, contact.key, { event: 'session' }),
    overtakes: true,
  },
  'receipts.KEY': {
    prepare: async ({ home, contact }) => {
      await home.files.mkdir(queuePath(home, contact.key))
      await writeFile(queuePath(home, contact.key, 'receipts'), LONG)
    },
    run: ({ home, contact }) => noteReceipts(home, contact.key, [{ id: 'f'.repeat(64), proof: new Uint8Array(32) }]),
    overtakes: true,
  },
}

export function patternOf(name: string): RegExp {
  return new RegExp(`^${name.replace('.', '\\.').replace(/KEY|ID32|TAG/, '[0-9A-Za-z]+')}\\.(?:lock|owner)$`)
}

export async function sceneOf(path: string, files: Files = nodeFiles, clock: Clock = systemClock): Promise<Scene> {
  const home = await openHome({ flag: path, env: {} }, { ...realDoors, files, clock })
  const keyring = await loadKeyring(home)
  return { home, keyring, contact: keyring.all()[0] as Contact }
}

/** The disk of a process that dies with this lock. */
function dying(name: string, when: When): Files {
  const owner = patternOf(name)
  let held = false
  const isNote = (path: string): boolean => path.endsWith('.owner') && owner.test(path.slice(path.lastIndexOf('/') + 1))
  const end = (): void => {
    if (when !== 'stopped') process.kill(process.pid, 'SIGKILL')
    writeSync(1, 'stopped\n')
    process.kill(process.pid, 'SIGSTOP')
  }
  const before = (path: string): void => {
    if (!held || isNote(path)) return
    held = false
    end()
  }
  const wrap = <A extends [string, ...unknown[]], R>(work: (...args: A) => R) =>
    (...args: A): R => {
      before(args[0])
      return work(...args)
    }
  const disk = nodeFiles
  return {
    ...disk,
    read: wrap(disk.read.bind(disk)),
    stat: wrap(disk.stat.bind(disk)),
    list: wrap(disk.list.bind(disk)),
    mkdir: wrap(disk.mkdir.bind(disk)),
    rename: wrap(disk.rename.bind(disk)),
    async open(path, mode): Promise<FileHandle> {
      before(path)
      if (isNote(path) && mode === 'append') {
        if (when === 'made') end()
        const handle = await disk.open(path, mode)
        return Object.assign(Object.create(handle) as FileHandle, {
          write: (bytes: Uint8Array) => handle.write(bytes),
          async close() {
            await handle.close()
            held = true
          },
        })
      }
      return disk.open(path, mode)
    },
    unlink(path) {
      if (isNote(path) && held) {
        held = false
        end()
      }
      before(path)
      return disk.unlink(path)
    },
  }
}

async function main([path = '', name = '', when = '']: string[]): Promise<void> {
  await WORK[name]?.run(await sceneOf(path, dying(name, when as When)))
}

if (process.argv[1]?.endsWith('lockwork.ts') === true) void main(process.argv.slice(2))
