// p2p-queue(1): the outgoing queue. Looks, moves and removes; every step is one that may be repeated.

import { list } from '../lib/delivery/queuelist.ts'
import { main, type Call } from '../lib/edge/cli.ts'
import { p2pQueue } from '../lib/edge/commands.ts'

// Most calls list; what else there is is loaded when it is wanted.
const work = (verb: 'show' | 'flush' | 'hold' | 'release' | 'retry' | 'drop' | 'stat') => async (call: Call): Promise<void> =>
  (await import('../lib/delivery/queuework.ts'))[verb](call)
const bundling = () => import('../lib/delivery/bundling.ts')

main(p2pQueue, {
  list,
  show: work('show'),
  flush: work('flush'),
  hold: work('hold'),
  release: work('release'),
  retry: work('retry'),
  drop: work('drop'),
  stat: work('stat'),
  export: async (call) => (await bundling()).exportCommand(call),
  import: async (call) => (await bundling()).importCommand(call),
})
