// p2p-id(1): identity and keyring. Wiring only: arguments in, one call per verb, records out.

import type { Ask } from '../lib/delivery/ownkeys.ts'
import { token } from '../lib/delivery/owntoken.ts'
import { main, type Call } from '../lib/edge/cli.ts'
import { p2pId } from '../lib/edge/commands.ts'

/** `which` is put before the names of the options that give a passphrase without a terminal. */
const asking = (call: Call): Ask => async (prompt, confirm, which = '') => {
  const [file, fd] = [`${which}passphrase-file`, `${which}passphrase-fd`]
  const options = `--${file} FILE or --${fd} N`
  const { askPassphrase } = await import('../lib/edge/prompt.ts')
  return askPassphrase({ prompt, confirm, file: call.value(file), fd: call.value(fd), options })
}

// Scripts call token again and again; what else there is is loaded when it is wanted.
type Verbs = typeof import('../lib/delivery/idwork.ts').verbs
const work = (verb: keyof Verbs) => async (call: Call): Promise<void> => {
  const { verbs } = await import('../lib/delivery/idwork.ts')
  return verbs[verb](call, asking(call))
}

main(p2pId, {
  init: work('init'),
  token: (call) => token(call, asking(call)),
  invite: work('invite'),
  add: work('add'),
  list: work('list'),
  show: work('show'),
  rename: work('rename'),
  remove: work('remove'),
  block: work('block'),
  unblock: work('unblock'),
  verify: work('verify'),
  requests: work('requests'),
  accept: work('accept'),
  refuse: work('refuse'),
  rotate: work('rotate'),
  revoke: work('revoke'),
  passwd: work('passwd'),
  export: work('export'),
  import: work('import'),
  unretire: work('unretire'),
  doctor: work('doctor'),
  setup: work('setup'),
})
