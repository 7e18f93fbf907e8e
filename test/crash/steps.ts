// Steps of the file door as points of a sweep: the commands, bundled with a door that counts (door.ts), are killed in
// the middle of the n-th step, or it fails with an error, or the disk is full from it on, or it is a short write.

import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { type Fate, TAKES_ROOM } from '../mortal.ts'
import { bundled } from './bundles.ts'
import type { Cast } from './cast.ts'
import type { Doom, Miss, Play } from './scenes.ts'
import { type Series, soundly } from './series.ts'

const FATES: readonly Fate[] = ['KILL', 'EIO', 'full', 'short']

let serial = 0

/** Plays a scene without a fault, and counts. `bundles`: the folder that bundle() has filled. */
export async function countSteps(cast: Cast, play: Play, bundles: string): Promise<Series[]> {
  let steps: string[] = []
  const listen = (log: string): undefined => {
    steps = log.split('\n').slice(0, -1)
  }
  await soundly(play, doom(cast, bundles, '', listen))
  return FATES.map((fate) => {
    const points = steps.flatMap((step, n) => (meets(fate, step) ? [n] : []))
    return {
      name: `step ${fate}`,
      points,
      total: steps.length - 1,
      strike: (n) => doom(cast, bundles, `${n} ${fate}`, (log) => missed(log, n)),
    }
  })
}

/** Whether a fate makes sense for a step, as the log of the door has it, and is not what strace does as well. */
function meets(fate: Fate, step: string): boolean {
  const what = step.split(' ', 1)[0] ?? ''
  return fate === 'KILL' || (fate === 'full' ? TAKES_ROOM.includes(what) : what === 'write')
}

function missed(log: string, n: number): Miss | undefined {
  const steps = log.split('\n').slice(0, -1)
  if (steps.some((step) => step.startsWith('! '))) return undefined
  return { why: `${steps.length} steps, none met its fate`, made: steps.length, wanted: n + 1 }
}

/** `at`: where what happens; '' nowhere. */
function doom(cast: Cast, bundles: string, at: string, missedIn: (log: string) => Miss | undefined): Doom {
  const log = join(cast.stage.dir, `steps-${++serial}`)
  return {
    argv: (command) => bundled(bundles, command, at === ''),
    env: { UV_THREADPOOL_SIZE: '1', CRASH_LOG: log, CRASH_AT: at },
    missed() {
      const text = existsSync(log) ? readFileSync(log, 'utf8') : ''
      rmSync(log, { force: true })
      return Promise.resolve(missedIn(text))
    },
  }
}
