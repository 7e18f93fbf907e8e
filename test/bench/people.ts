// Two people for a row: homes made by the library, commands run from the built bundles, a listener whose records go
// nowhere. Everything is under one temporary folder, on the disk that $TMPDIR is on, and on 127.0.0.1.

import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { type Peer, type Running, Stage, until } from '../peer.ts'
import { ground } from './ground.ts'
import { listens, timed, type TimedOptions, type Took } from './measure.ts'

const DIST = fileURLToPath(new URL('../../dist', import.meta.url))

/** argv of a built command. */
export function built(command: string): string[] {
  const path = `${DIST}/${command}.cjs`
  if (!existsSync(path)) throw new Error(`${path} is not built: make all`)
  return [process.execPath, path]
}

export class People {
  readonly stage: Stage
  readonly alice: Peer
  readonly bob: Peer

  constructor(stage: Stage, alice: Peer, bob: Peer) {
    this.stage = stage
    this.alice = alice
    this.bob = bob
  }

  /** Runs `work` with two people who know each other. */
  static async with(work: (people: People) => Promise<void>): Promise<void> {
    const stage = new Stage(ground())
    try {
      const [alice, bob] = await stage.pair({ alone: false }, { alone: false })
      await work(new People(stage, alice, bob))
    } finally {
      await stage.close()
    }
  }

  /** A command to its end, as alice if nobody else is named. */
  run(command: string, args: string[], options: TimedOptions & { peer?: Peer } = {}): Promise<Took> {
    const { peer = this.alice, env, ...rest } = options
    return timed([...built(command), ...args], { ...rest, env: { P2P_HOME: peer.path, ...env } })
  }

  /** Messages that have arrived at bob. */
  arrived(): number {
    return readdirSync(this.bob.at('inbox', 'new')).length
  }

  /** A listener of `peer`, up and idle, that prints nothing, as the unit for systemd has it: nobody pays for reading it. */
  async listen(peer: Peer): Promise<Running> {
    const running = this.stage.start('p2p-listen', ['-q'], { home: peer.path })
    await until('p2p-listen', () => running.over || listens(peer.home.port))
    if (running.over) throw new Error(`p2p-listen: ${running.err}`)
    return running
  }
}
