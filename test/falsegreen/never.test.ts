// A promise that never settles: node ends when nothing is left to do.

import { test } from 'uvu'

test('waits for nothing', () => new Promise(() => undefined))

test.run()
