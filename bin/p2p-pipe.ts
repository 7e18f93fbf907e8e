// p2p-pipe(1): a byte stream to a contact.

import { pipe } from '../lib/delivery/piping.ts'
import { main } from '../lib/edge/cli.ts'
import { p2pPipe } from '../lib/edge/commands.ts'

main(p2pPipe, { '': pipe })
