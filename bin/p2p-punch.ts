// p2p-punch(1): a way through NATs to a contact.

import { punch } from '../lib/delivery/punching.ts'
import { main } from '../lib/edge/cli.ts'
import { p2pPunch } from '../lib/edge/commands.ts'

main(p2pPunch, { '': punch })
