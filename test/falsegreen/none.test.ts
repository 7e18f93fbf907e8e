// No tests at all.

import { test } from 'uvu'

test.run()
