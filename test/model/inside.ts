import { Explorer, type Found, type Limits } from './explore.ts'
import { scenarios, worldOf } from './scenarios.ts'

Error.stackTraceLimit = 0

export async function explore(name: string, limits: Limits): Promise<Found> {
  const scenario = scenarios[name]
  if (scenario === undefined) throw new Error(`no scenario ${name}`)
  return new Explorer(await worldOf(scenario), limits).run()
}

export async function probe(): Promise<void> {
  for (const arg of process.argv.slice(2)) {
    const [name = '', crashes = '1', blows = '0', pairs = '300000'] = arg.split(':')
      const t = cpu()
      const found = await explore(name, { crashes: +crashes, blows: +blows, pairs: +pairs })
      console.log(arg, JSON.stringify({ ...found, faults: found.faults.length }), 'ms', cpu() - t)
      for (const { fault, story } of found.faults.slice(0, 1)) console.log(fault, story.join("\n").slice(0,9000))
  }
}
const cpu = (): number => { const u = process.cpuUsage(); return (u.user + u.system) / 1000 }
export { Listener } from '../../lib/delivery/listener.ts'
export { SeenIndex } from '../../lib/disk/seenindex.ts'
