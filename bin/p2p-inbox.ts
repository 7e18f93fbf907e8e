// p2p-inbox: read what came. Lists, shows, prints, saves and marks messages of the own Maildir; touches nothing else.

import { list, openInbox } from '../lib/delivery/inboxlist.ts'
import { main, type Call } from '../lib/edge/cli.ts'
import { p2pInbox } from '../lib/edge/commands.ts'

// Most calls list; what else there is is loaded when it is wanted.
const work = (verb: 'show' | 'cat' | 'save' | 'seen' | 'remove') => async (call: Call): Promise<void> =>
  (await import('../lib/delivery/inboxwork.ts'))[verb](call)

main(p2pInbox, {
  list: async (call) => list(await openInbox(call)),
  show: work('show'),
  thread: async (call) => (await import('../lib/delivery/inboxthread.ts')).thread(await openInbox(call)),
  cat: work('cat'),
  save: work('save'),
  seen: work('seen'),
  delete: work('remove'),
  export: async (call) => (await import('../lib/delivery/inboxexport.ts')).exportMail(await openInbox(call)),
})
