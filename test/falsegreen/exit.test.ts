// process.exit(0) before anything ran.

import { test } from 'uvu'

test('never runs', () => undefined)

process.exit(0)

test.run()
