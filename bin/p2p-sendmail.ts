// p2p-sendmail(1): sendmail's interface, for mail programs.

import { sendmail } from '../lib/delivery/sendmail.ts'
import { main } from '../lib/edge/cli.ts'
import { p2pSendmail } from '../lib/edge/commands.ts'

main(p2pSendmail, { '': sendmail })
